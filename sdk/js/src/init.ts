import { instance } from "./client";
import { note, on, quietly, warn } from "./guard";
import { flagOf, numberOf } from "./kinds";
import { type Options, options } from "./options";
import { drain, leave, soon } from "./send";
import { whole } from "./text";
import { typed } from "./typed";

/** Return an option's value, of the kind that the usual one is of; nothing when it cannot be. */
const fitted = (usual: unknown, given: unknown): unknown => {
  if (typeof usual == "string") return given + "";
  if (typeof usual == "boolean") return flagOf(given);
  if (typeof usual == "number") return numberOf(given) >= 0 ? numberOf(given) : undefined;
  if (!Array.isArray(usual)) return given;
  // Of a tag, or an untyped caller; a comma may be a part of an expression.
  return (typeof given == "string" ? given.split(/\s+|,(?!\d*})/) : [given].flat()).filter(Boolean);
};

/** Return the expression, or the one that a text is, for every place and not the first alone. */
const everyOne = (given: RegExp | string): RegExp | undefined =>
  quietly(() => {
    const { source, flags = "" } = given as RegExp;
    return RegExp(source ?? (given as string).trim(), "g" + flags.replace(/[gy]/g, ""));
  });

/** Begin. Later calls do nothing. */
export const init = (given: Options): void =>
  quietly(() => {
    if (options.key) return note("begun already");
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
    for (const name of Object.keys(given) as (keyof Options)[]) {
      const usual = options[name];
      const value = given[name] ?? usual;
      const fit = quietly(() => fitted(usual, value));
      if (usual === undefined) unknown.push(name);
      else if (fit === undefined) warn("left out: " + name);
      else options[name] = fit as never;
    }
    if (unknown[0]) note("no such option: " + unknown);
    options.accounts = options.accounts.flatMap((account) => everyOne(account) ?? (warn("left out: accounts"), []));
    options.url = options.url.replace(/\/$/, "");
    // It is part of the names of keys and cookies.
    options.name = encodeURIComponent(whole(options.name));
    options.use.forEach((part) => quietly(part));
    // After the parts: what they record as the page goes goes with it.
    on("pagehide", leave);
    on("visibilitychange", drain, window, true as never);
    // Whatever earlier pages left.
    soon(options.flushMs);
  });
