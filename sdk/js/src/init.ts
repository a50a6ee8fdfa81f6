import { instance } from "./client";
import { type Options, options } from "./options";
import { drain, leave, soon } from "./send";
import { quietly } from "./store";

/** Begin. Later calls do nothing. */
export const init = (given: Options): void => {
  if (options.key) return;
  if (!given?.url || !given.key) return console.warn("sillok: no url or key");
  quietly(() => {
    // First, because it throws where there is no page: then nothing is ever recorded.
    instance.context = {
      platform: "web",
      language: navigator.language,
      timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      screen_width: screen.width,
      screen_height: screen.height,
      ...given.context,
    };
    for (const name in given) options[name as never] = (given[name as never] ?? options[name as never]) as never;
    options.url = options.url.replace(/\/$/, "");
    options.use?.forEach(quietly);
    // After the parts: what they record as the page goes goes with it.
    addEventListener("pagehide", leave);
    addEventListener("visibilitychange", drain, true);
    // Whatever earlier pages left.
    soon(options.flushMs);
  });
};
