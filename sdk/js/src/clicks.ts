/** Clicks on controls, chosen tabs, and boxes ticked or cleared. */
import { masks } from "./mask";
import { type EventFields, record } from "./client";
import { marks, textOf } from "./marks";
import { quietly } from "./store";
import { plainUrl } from "./urls";

const TAB = "[role=tab],[data-sillok-tab]";
const CONTROL =
  "a,button,summary,[type=submit],[type=button],[type=image],[role=button],[role=link],[role=menuitem],[role=option],[role=switch],[onclick],[data-sillok-click]," +
  TAB;
const BOX = "[type=checkbox],[type=radio]";

const on = (type: string, selector: string, work: (control: HTMLElement, found: EventFields) => void): void =>
  addEventListener(
    type,
    (event) =>
      quietly(() => {
        const control = (event.composedPath()[0] as Element).closest<HTMLElement>(selector);
        const found = marks(control);
        if (control && found) work(control, found);
      }),
    { capture: true, passive: true },
  );

export const clicks = (): void => {
  masks();
  on("click", CONTROL, (control, found) => {
    const text = textOf(control);
    if (control.matches(TAB)) record("tab", { tab_name: text, ...found });
    else {
      const { href } = control as HTMLAnchorElement;
      // Of tel: and mailto: the scheme will do.
      if (href) found.props!["link"] ??= /^http/.test(href) ? plainUrl(href) : href.split(":")[0];
      record("click", { click_name: control.id || control.getAttribute("name") || undefined, ...found, click_text: text });
    }
  });
  on("change", BOX, (control, found) => {
    const { labels, name, id, checked } = control as HTMLInputElement;
    const click_text = labels?.[0] && textOf(labels[0]);
    record("checkbox", { checkbox_name: name || id || click_text, ...found, checkbox_checked: checked, click_text });
  });
};
