/** JavaScript errors and rejected promises. */
import { type EventFields, client, drop, instance, record } from "./client";
import { taken } from "./copies";
import { on, quietly } from "./guard";
import { isNamed } from "./kinds";
import { masks } from "./mask";
import { clean, cut } from "./text";
import { typed } from "./typed";
import { here } from "./urls";

const PER_PAGE_MAX = 50;
const RAW_MAX = 4e3;
const MESSAGE_MAX = 1e3;
const CODE_MAX = 64;
const NAMES_MAX = 20;
let count = 0;

// Masked, then cut, for half a number is one.
const short = (text: string, length: number): string => cut(clean(cut(text, RAW_MAX)), length);

/** Return fields that speak of whatever was thrown. Of an object that says nothing, the names; its values may be anybody's. */
const fieldsOf = (found: any, where = ""): EventFields => {
  const isObject = Object(found) === found;
  const said = (name: string): unknown => isObject && quietly(() => (found[name] == null ? "" : found[name] + ""));
  const message = said("message") || quietly(() => String(found) + (isObject ? ` {${Object.keys(found).slice(0, NAMES_MAX)}}` : ""));
  return { error_code: short(String(said("name") || "Error"), CODE_MAX), error_message: short(message + where, MESSAGE_MAX) };
};

const told = (fields: EventFields): string => record("error", { error_page: here(), ...typed(fields) });

/** Record what was caught, or fields that speak of it. */
export const error = (found: unknown): string =>
  told(isNamed(found) && quietly(() => found["message"] == null) ? found : fieldsOf(found));

/** Record what nobody asked for: an error in a loop is one error, and the rest is counted. */
export const unasked = (fields: EventFields): void => {
  if (count++ < PER_PAGE_MAX) told(fields);
  else {
    instance.created++;
    drop(client, "error_limit");
  }
};

export const errors = (): void => {
  masks();
  if (taken("errors")) return;
  on("error", ({ error: found, message, filename, lineno }) => {
    // A component's event of the same name has neither.
    if (found != null || message != null) {
      unasked(fieldsOf(found ?? message, filename && ` (${(filename + "").split("?")[0]}:${lineno})`));
    }
  });
  on("unhandledrejection", ({ reason, detail }) => unasked(fieldsOf(reason === undefined ? detail?.reason : reason)));
};
