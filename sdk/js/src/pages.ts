/** Page views: the first load, routes of the History API and in the fragment, and pages that come back. */
import { type EventFields, hooks, record, setPage } from "./client";
import { taken } from "./copies";
import { on, quietly } from "./guard";
import { marks } from "./marks";
import { masks } from "./mask";
import { seen } from "./seen";
import { TOUCH, here, plainUrl } from "./urls";

const CAMPAIGN = RegExp(`^(${TOUCH})$`, "i");

/**
 * Return what an address shows: its path, its route, and what is kept of its query. A value that is dropped, a campaign
 * and the root of a router in the fragment (`#/`) make no other page.
 */
export const shownAt = (url: string): string =>
  url
    .replace(/[?&;#]([^=&;#?]*)=([^&;#]*)/g, (_, name, value) => (value && !CAMPAIGN.test(name) ? `&${name}=${value}` : ""))
    .replace(/#!?\/?$/, "");

export const pages = (): void => {
  masks();
  const marked = (): EventFields => quietly(() => marks(document.body)) ?? {};
  if (taken("pages")) return void hooks.push(() => setPage(marked()));
  let shown = "";
  let referrer = quietly(() => plainUrl(document.referrer)) || undefined;
  let isDue = false;
  const view = (): void => {
    isDue = false;
    const url = here();
    shown = shownAt(url);
    // <body data-sillok-page-code="M0301">
    const page = marked();
    setPage(page);
    record("page_view", { page_name: document.title || undefined, referrer, ...page });
    referrer = url;
  };
  const flush = (): unknown => isDue && quietly(view);
  // A route is shown once the page has had its turn to change the title; whatever is recorded before then comes after.
  const later = (): void => {
    if (shownAt(here()) != shown && !isDue) {
      isDue = true;
      setTimeout(flush);
    }
  };
  for (const name of ["pushState", "replaceState"] as const) {
    const original = history[name];
    history[name] = function (...given) {
      original.apply(this, given);
      quietly(later);
    };
  }
  on("popstate", later);
  on("hashchange", later);
  on("pageshow", ({ persisted }) => persisted && view());
  on("pagehide", flush);
  hooks.push(() => void flush());
  seen(view);
};
