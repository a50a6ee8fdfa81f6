/** A visitor who leaves the site, not only the page. */
import { record } from "./client";
import { options } from "./options";

const NEXT_PAGE_MS = 3e3;

/** Whether an address is the site's own: its host, or one below it, or below the domain that shares its cookies. */
export const isOurs = (url: string): boolean => {
  const { host, hostname } = new URL(url);
  const domain = options.cookieDomain?.replace(/^\./, "").toLowerCase();
  return ("." + (domain ? hostname : host)).endsWith("." + (domain || location.host));
};

export const exits = (): void => {
  let staying = 0;
  const { navigation } = window as { navigation?: EventTarget };
  // Where a browser does not say where it goes, nobody can tell the site's next page from none.
  navigation?.addEventListener("navigate", (event) => {
    const { url, sameDocument } = (event as unknown as { destination: { url: string; sameDocument: boolean } }).destination;
    // A route of the same page takes nobody to another.
    staying = !sameDocument && isOurs(url) ? Date.now() : 0;
  });
  addEventListener("pagehide", () => {
    if (navigation && Date.now() - staying > NEXT_PAGE_MS) record("exit", { exit_menu: document.title || undefined });
  });
};
