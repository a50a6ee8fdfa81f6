/** The JSON of an event's fields: masked, well-formed, and no larger or deeper than the collector takes. */
import { quietly } from "./guard";
import { json, parse } from "./json";
import type { Fields } from "./fields";
import { bytes, clean, cut } from "./text";

const PROPS_BYTES = 8e3;
const EVENT_BYTES = 32e3;
const DEPTH_MAX = 32;
// A character is at most three bytes; so few need no counting.
const CHARACTERS_SAFE = 2.6e3;
// What every text may still have when all of them together are too long.
const CHARACTERS_LEFT = 200;

const depth = (value: unknown): number =>
  Object(value) === value ? 1 + Math.max(0, ...Object.values(value as object).map(depth)) : 0;

/** Return how to change the values: texts, numbers that are somebody's, and names. */
const tidy =
  (length: number) =>
  (value: unknown): unknown => {
    if (/string|number|bigint/.test(typeof value)) {
      const text = cut(clean(value + ""), length);
      return typeof value == "number" && text == value + "" ? value : text;
    }
    const isNamed = Object(value) === value && Object.keys(value as object).some((name) => clean(name) != name);
    return isNamed && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value as object).map(([name, found]) => [clean(name), found]))
      : value;
  };

const tidied = (fields: Fields, length = PROPS_BYTES): string | undefined =>
  quietly(() => {
    const text = json(fields, tidy(length));
    const found = parse(text);
    return bytes(text) < EVENT_BYTES && depth(found) <= DEPTH_MAX && bytes(json(found.props) ?? "") < PROPS_BYTES
      ? text
      : undefined;
  });

/** Return the text; what is too much is trimmed, and says so. */
export const serialise = (fields: Fields): string => {
  const trimmed = { ...fields, props: { sillok_trimmed: true } };
  return (
    quietly(() => {
      // One look at the whole instead of one at every value; but what is escaped hides from it.
      const text = json(fields);
      const isSafe = text.length < CHARACTERS_SAFE && text.split(/[[{]/).length <= DEPTH_MAX && !/\\[a-z]/.test(text);
      return isSafe && clean(text) == text ? text : undefined;
    }) ??
    tidied(fields) ??
    tidied(trimmed) ??
    json(trimmed, tidy(CHARACTERS_LEFT))
  );
};
