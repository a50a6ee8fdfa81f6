/**
 * A visitor who leaves the site, not only the page: said only where the page knows that another site comes next.
 *
 * As a page goes, the browser's reload, a typed address of the same site and a closed tab look alike, in every engine. A
 * wrong exit is worse than a missing one, so none of them is one. What is known is where a navigation leads that began in
 * the page: the Navigation API says it of all of them, and without it links do.
 */
import { record } from "./client";
import { options } from "./options";
import { quietly } from "./store";

// A navigation that is not over by then was a download, or was stopped.
const LEAVING_MS = 1e4;
// What is followed into this very tab.
const LINK = ":is(a,area)[href]:not([target],[download])";

type Link = HTMLAnchorElement;
/** What the Navigation API's events say. */
type Navigation = { destination?: { url: string } };

/** Whether an address is the site's own: its host, or one below it, or below the domain that shares its cookies. */
export const isOurs = (url: string): boolean => {
  const { host, hostname } = new URL(url);
  const domain = options.cookieDomain?.replace(/^\./, "").toLowerCase();
  return ("." + (domain ? hostname : host)).endsWith("." + (domain || location.host.replace(/^(www|m)\./, "")));
};

export const exits = (): void => {
  let left = 0;
  const { navigation } = window as { navigation?: EventTarget };
  (navigation ?? window).addEventListener(navigation ? "navigate" : "click", (event) =>
    quietly(() => {
      // Whatever begins calls off what began before.
      left = 0;
      const { destination, button, ctrlKey, metaKey, shiftKey, altKey, defaultPrevented } = event as Navigation & MouseEvent;
      const isElsewhere = button || ctrlKey || metaKey || shiftKey || altKey || document.querySelector("base[target]");
      const link = (): Link => (event.composedPath() as Element[]).find((element) => element.matches?.(LINK)) as Link;
      const url = destination?.url ?? (isElsewhere || defaultPrevented ? "" : link().href);
      // An address for another program, tel: or an app's, takes nobody away.
      if (/^http/.test(url) && !isOurs(url)) left = Date.now();
    }),
  );
  addEventListener("pagehide", () => {
    if (Date.now() - left < LEAVING_MS) record("exit", { exit_menu: document.title || undefined });
    left = 0;
  });
};
