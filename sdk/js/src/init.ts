import { instance } from "./client";
import { note, on, quietly, warn } from "./guard";
import { type Options, options } from "./options";
import { drain, leave, soon } from "./send";
import { typed } from "./typed";

const KNOWN =
  /^(url|key|context|name|batchEvents|batchBytes|flushMs|sessionMinutes|newSessionOnCampaign|cookieDomain|consent|accounts|queryNames|queueMax|requestHosts|debug|use|spill|gzip|network|bridge|campaigns|pages|clicks|sights|errors|requests|exits)$/;
// Texts that a tag or an untyped caller may give for something else.
const LISTS = /^(accounts|queryNames|requestHosts)$/;

/** Return an option's value of the kind it must have; nothing when it cannot. */
const fitted = (name: string, given: unknown): unknown => {
  const usual = options[name as "flushMs"];
  if (given == null) return;
  if (typeof usual == "number") return +(given as number) >= 0 ? +(given as number) : undefined;
  if (/^(url|key|name|cookieDomain)$/.test(name)) return given + "";
  if (typeof given != "string") return given;
  if (LISTS.test(name)) return given.split(/[\s,]+/);
  return isOff(given) ? false : given;
};

/** Whether somebody says no, in whatever way. */
export const isOff = (given: unknown): boolean => given != null && /^(false|0|off|no)$/i.test(given + "");

/** Begin. Later calls do nothing. */
export const init = (given: Options): void =>
  quietly(() => {
    if (options.key) return;
    if (!given?.url || !given.key) return warn("no url or key");
    // First, because it throws where there is no page: then nothing is ever recorded.
    instance.context = typed({
      platform: "web",
      language: navigator.language,
      timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      screen_width: screen.width,
      screen_height: screen.height,
      ...typed(given.context),
    });
    const unknown: string[] = [];
    for (const name of Object.keys(given)) {
      if (!KNOWN.test(name)) unknown.push(name);
      options[name as never] = (fitted(name, given[name as never]) ?? options[name as never]) as never;
    }
    if (unknown[0]) note("no such option: " + unknown);
    options.url = options.url.replace(/\/$/, "");
    // It is part of the names of keys and cookies.
    options.name = encodeURIComponent(options.name);
    options.use?.forEach((part) => quietly(part));
    // After the parts: what they record as the page goes goes with it.
    on("pagehide", leave);
    on("visibilitychange", drain, window, true as never);
    // Whatever earlier pages left.
    soon(options.flushMs);
  });
