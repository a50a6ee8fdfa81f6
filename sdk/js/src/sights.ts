/** Popups and steps: recorded when they come into sight, by observers, which make the browser lay out nothing. */
import { record } from "./client";
import { marks } from "./marks";

const PAUSE_MS = 200;

export const sights = (): void => {
  const shown = new Set<Element>();
  const inSight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const found = isIntersecting && !shown.has(target) && marks(target);
      shown[isIntersecting ? "add" : "delete"](target);
      if (found) record(target.matches("[data-sillok-popup]") ? "popup" : "step", found);
    }
  });
  // A page of quotes changes a thousand times a second: it is looked at five times.
  const changes = new MutationObserver(() => {
    changes.disconnect();
    setTimeout(watch, PAUSE_MS);
  });
  const watch = (): void => {
    document.querySelectorAll("[data-sillok-popup],[data-sillok-step]").forEach((element) => inSight.observe(element));
    changes.observe(document, { childList: true, subtree: true });
  };
  watch();
};
