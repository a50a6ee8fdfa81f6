/** Popups and steps: recorded when they come into sight, by observers, which make the browser lay out nothing. */
import { record } from "./client";
import { taken } from "./copies";
import { quietly } from "./guard";
import { marks, matches } from "./marks";

const PAUSE_MS = 200;

export const sights = (): void => {
  if (taken("sights")) return;
  const shown = new Set<Element>();
  const inSight = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      quietly(() => {
        const { target, isIntersecting } = entry;
        const found = isIntersecting && !shown.has(target) && marks(target);
        shown[isIntersecting ? "add" : "delete"](target);
        if (found) record(matches(target, "[data-sillok-popup]") ? "popup" : "step", found);
      });
    }
  });
  // A page of quotes changes a thousand times a second: it is looked at five times.
  const changes = new MutationObserver(() => {
    changes.disconnect();
    setTimeout(watch, PAUSE_MS);
  });
  const watch = (): unknown =>
    quietly(() => {
      document.querySelectorAll("[data-sillok-popup],[data-sillok-step]").forEach((element) => inSight.observe(element));
      changes.observe(document, { childList: true, subtree: true });
    });
  watch();
};
