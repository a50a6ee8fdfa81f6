/** Page views: the first load, routes of the History API and in the fragment, and pages that come back. */
import { masks } from "./mask";
import { hooks, record, setPage } from "./client";
import { marks } from "./marks";
import { here, plainUrl } from "./urls";

export const pages = (): void => {
  masks();
  let shown = "";
  let referrer = plainUrl(document.referrer) || undefined;
  let isDue = false;
  const view = (): void => {
    isDue = false;
    shown = here();
    // <body data-sillok-page-code="M0301">
    const page = marks(document.body) ?? {};
    setPage(page);
    record("page_view", { page_name: document.title || undefined, referrer, ...page });
    referrer = shown;
  };
  const flush = (): unknown => isDue && view();
  // A route is shown once the page has had its turn to change the title; whatever is recorded before then comes after.
  const later = (): void => {
    if (here() != shown && !isDue) {
      isDue = true;
      setTimeout(flush);
    }
  };
  for (const name of ["pushState", "replaceState"] as const) {
    const original = history[name];
    history[name] = function (...given) {
      original.apply(this, given);
      later();
    };
  }
  addEventListener("popstate", later);
  addEventListener("hashchange", later);
  addEventListener("pageshow", (event) => event.persisted && view());
  addEventListener("pagehide", flush);
  hooks.push(() => void flush());
  if ((document as { prerendering?: boolean }).prerendering) document.addEventListener("prerenderingchange", view);
  else view();
};
