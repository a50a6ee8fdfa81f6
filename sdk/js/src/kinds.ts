/** What untyped callers give for what they were asked for. */
import { quietly } from "./guard";

/** Whether it is an object of names: no list, no event, no text in a box. */
export const isNamed = (given: unknown): given is Record<string, unknown> =>
  quietly(() => ({}).toString.call(given) == "[object Object]")!;

/** Return the number that a text is, or none. */
export const numberOf = (value: unknown): number => (typeof value != "boolean" && (value + "").trim() ? +(value as string) : NaN);

/** Return whether somebody says yes or no, in whatever way; nothing when he says neither. */
export const flagOf = (value: unknown): boolean | undefined =>
  /^(true|1|on|yes)$/i.test(value as never) || (/^(false|0|off|no)$/i.test(value as never) ? false : undefined);
