/**
 * Fields as the collector takes them, from callers that no compiler has checked.
 *
 * A number is a text where a text belongs, and `"3"` a number where a number does. What cannot be is left out, with a line
 * on the console: one field, not the event, which the collector would refuse as a whole. What is no field goes to `props`.
 */
import type { EventFields } from "./client";
import { note, quietly, warn } from "./guard";
import { flagOf, isNamed, numberOf } from "./kinds";
import { isNobody } from "./nobody";
import { clean, cut, whole } from "./text";

const TEXT =
  /^((event|page|click|tab|popup|checkbox|flow|step|app|os)_name|(page|error)_code|(click|search)_text|(session|anonymous|customer|ad_click)_id|utm_(source|medium|campaign|term|content)|error_(message|page)|(app|os)_version|network_type|page_url|referrer|exit_menu|platform|device_model|language|timezone)$/;
const OTHER = /^(time|step_position|screen_(width|height)|checkbox_checked|props)$/;
const ID = /^(session|anonymous|customer)_/;
// Ours to give.
const OURS = /^(event_id|event_type|seq|client_id)$/;
// The rest are pixels.
const MOST: Record<string, number> = { time: 8.64e15, step_position: 999 };
const PIXELS_MAX = 1e6;
const REPORTED_MAX = 64;

const isField = (name: string): boolean => TEXT.test(name) || OTHER.test(name);

/** Return the value as the field has it; null is nobody, and nothing what cannot be. */
const fitted = (name: string, given: unknown): unknown => {
  if (name == "props") return isNamed(given) ? { ...given } : undefined;
  // A boxed text, a date.
  const value = Object(given) === given ? (given as object).valueOf() : given;
  if (Object(value) === value || (typeof value == "number" && !isFinite(value))) return;
  // Of a symbol this throws.
  const text = value + "";
  if (name == "checkbox_checked") return flagOf(text);
  if (OTHER.test(name)) {
    const isStep = name == "step_position";
    // Pixels and milliseconds have fractions on some devices; a step has none.
    const number = isStep ? numberOf(value) : Math.round(numberOf(value));
    return number >= +isStep && number <= (MOST[name] ?? PIXELS_MAX) && number % 1 == 0 ? number : undefined;
  }
  if (name == "platform") return /^(web|android|ios|server)$/i.test(text) ? text.toLowerCase() : undefined;
  // A report with a longer one is refused.
  if (name == "app_version") return cut(text, REPORTED_MAX);
  if (!ID.test(name)) return text;
  if (typeof value == "boolean" || isNobody(text)) return null;
  // A cut identifier is a wrong one, and one with a person's number is refused.
  return text.length > (name[0] == "c" ? 128 : 64) || /\[rrn]/.test(clean(text)) ? undefined : whole(text);
};

/** Return the fields that can be, and in `props` what is no field; of what is no object nothing. */
export const typed = (given: unknown): EventFields => {
  const found: Record<string, unknown> = {};
  const rest: [string, unknown][] = [];
  if (given && !isNamed(given)) warn("fields are an object");
  else
    for (const name of quietly(() => Object.keys(given ?? {})) ?? []) {
      const value = quietly(() => (given as typeof found)[name]);
      if (value == null || OURS.test(name)) continue;
      if (!isField(name)) {
        // `pageCode` for `page_code`.
        const near = name.replace(/([a-z])(?=[A-Z])|\W/g, "$1_").toLowerCase();
        note("no field, goes to props: " + name + (isField(near) ? ", but " + near : ""));
        rest.push([name, value]);
      } else {
        const fit = quietly(() => fitted(name, value));
        if (fit === undefined) warn("left out: " + name);
        else if (fit !== null) found[name] = fit;
      }
    }
  if (rest[0]) found["props"] = { ...Object.fromEntries(rest), ...(found["props"] as object) };
  return found;
};
