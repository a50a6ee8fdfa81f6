/**
 * A visitor who leaves the site, not only the page.
 *
 * The Navigation API tells of every navigation that begins in the page. A page that goes without one to the site itself is
 * left: for another site, or because its tab is closed. A reload looks the same to a page as its tab's closing, in every
 * browser; so its keys are looked at, and by the browser's button it is an exit that a view of the same session follows.
 * Without the API only a link tells where a page goes, and only that is said.
 */
import { record } from "./client";
import { taken } from "./copies";
import { on } from "./guard";
import { options } from "./options";

// A server may be slow to answer; one that is slower makes an exit of a page of its site.
const STAYING_MS = 6e4;
// A navigation that is not over by then was a download, or was stopped.
const LEAVING_MS = 1e4;
// What is followed into this very tab.
const LINK = ":is(a,area)[href]:not([target],[download])";

/** Whether an address is the site's own: its host, or one below it, or below the domain that shares its cookies. */
export const isOurs = (url: string): boolean => {
  const { host, hostname } = new URL(url);
  const domain = options.cookieDomain?.replace(/^\./, "").toLowerCase();
  return ("." + (domain ? hostname : host)).endsWith("." + (domain || location.host.replace(/^(www|m)\.(?=.*\.)/, "")));
};

export const exits = (): void => {
  if (taken("exits")) return;
  const { navigation } = window as { navigation?: EventTarget };
  let staying = 0;
  let leaving = 0;
  if (navigation) {
    on(
      "navigate",
      ({ destination: { url, sameDocument } }) => {
        // A route of the same page takes nobody to another.
        staying = !sameDocument && isOurs(url) ? Date.now() : 0;
      },
      navigation,
    );
    on("keydown", ({ key, code, ctrlKey, metaKey }) => {
      // The key's place: with a Korean keyboard its letter is another.
      if (key == "F5" || key == "BrowserRefresh" || ((ctrlKey || metaKey) && code == "KeyR")) staying = Date.now();
    });
  } else {
    on("click", (event: MouseEvent) => {
      // Whatever begins calls off what began before.
      leaving = 0;
      const { button, ctrlKey, metaKey, shiftKey, altKey, defaultPrevented } = event;
      if (button || ctrlKey || metaKey || shiftKey || altKey || defaultPrevented || document.querySelector("base[target]")) return;
      const { href } = (event.composedPath() as Element[]).find((element) => element.matches?.(LINK)) as HTMLAnchorElement;
      // An address for another program, tel: or an app's, takes nobody away.
      if (/^http/.test(href) && !isOurs(href)) leaving = Date.now();
    });
  }
  on("pagehide", () => {
    const now = Date.now();
    if (navigation ? now - staying > STAYING_MS : now - leaving < LEAVING_MS) {
      record("exit", { exit_menu: document.title || undefined });
    }
    staying = leaving = 0;
  });
};
