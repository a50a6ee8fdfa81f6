/** A visitor who leaves the site, not only the page. */
import { record } from "./client";
import { options } from "./options";

const NEXT_PAGE_MS = 3e3;

export const exits = (): void => {
  let staying = 0;
  const { navigation } = window as { navigation?: EventTarget };
  // Where a browser does not say where it goes, nobody can tell the site's next page from none.
  navigation?.addEventListener("navigate", (event) => {
    const { url } = (event as unknown as { destination: { url: string } }).destination;
    staying = new URL(url).host.endsWith(options.cookieDomain || location.host) ? Date.now() : 0;
  });
  addEventListener("pagehide", () => {
    if (navigation && Date.now() - staying > NEXT_PAGE_MS) record("exit", { exit_menu: document.title || undefined });
  });
};
