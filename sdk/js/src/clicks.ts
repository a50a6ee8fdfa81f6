/** Clicks on controls, chosen tabs, and boxes ticked or cleared. */
import { type EventFields, record } from "./client";
import { taken } from "./copies";
import { on, quietly } from "./guard";
import { attribute, closest, marks, matches, textOf } from "./marks";
import { masks } from "./mask";
import { plainUrl } from "./urls";

const TAB = "[role=tab],[data-sillok-tab]";
const CONTROL =
  "a,button,summary,[type=submit],[type=button],[type=image],[role=button],[role=link],[role=menuitem],[role=option],[role=switch],[onclick],[data-sillok-click]," +
  TAB;
const BOX = "[type=checkbox],[type=radio]";

const every = (type: string, selector: string, work: (control: HTMLElement, found: EventFields) => void): void =>
  on(
    type,
    (event) => {
      const control = closest(event.composedPath()[0], selector);
      const found = marks(control);
      if (control && found) work(control, found);
    },
    window,
    { capture: true, passive: true },
  );

/** Return where a link goes, of HTML or SVG; of tel: and mailto: the scheme will do. */
const linkOf = (control: Element): string | undefined => {
  const href = attribute(control, "href") ?? attribute(control, "xlink:href");
  const url = href && new URL(href, document.baseURI);
  return url ? (/^http/.test(url.protocol) ? plainUrl(url.href) : url.protocol.slice(0, -1)) : undefined;
};

export const clicks = (): void => {
  masks();
  if (taken("clicks")) return;
  every("click", CONTROL, (control, found) => {
    const text = textOf(control);
    if (matches(control, TAB)) record("tab", { tab_name: text, ...found });
    else {
      found.props!["link"] ??= quietly(() => linkOf(control));
      record("click", { click_name: attribute(control, "id") || attribute(control, "name") || undefined, ...found, click_text: text });
    }
  });
  every("change", BOX, (control, found) => {
    const { labels, name, id, checked } = control as HTMLInputElement;
    const click_text = labels?.[0] && textOf(labels[0]);
    record("checkbox", { checkbox_name: name || id || click_text, ...found, checkbox_checked: checked, click_text });
  });
};
