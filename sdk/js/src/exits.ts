/** A visitor who leaves the site, not only the page. */
import { record } from "./client";
import { taken } from "./copies";
import { on } from "./guard";
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
  if (!navigation || taken("exits")) return;
  // Where a browser does not say where it goes, nobody can tell the site's next page from none.
  on(
    "navigate",
    ({ destination: { url, sameDocument } }) => {
      // A route of the same page takes nobody to another.
      staying = !sameDocument && isOurs(url) ? Date.now() : 0;
    },
    navigation,
  );
  on("pagehide", () => Date.now() - staying > NEXT_PAGE_MS && record("exit", { exit_menu: document.title || undefined }));
};
