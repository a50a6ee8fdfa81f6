/**
 * Small texts under names, kept where the page's death cannot take them.
 *
 * localStorage, because it alone has taken a value when the call returns; what it will not take (blocked, full, or
 * more than a guest should take of the page's quota) stays in memory, and goes on to the overflow when there is one.
 *
 *     <name>:q:<client_id>:<seq>   one event            <name>:a   anonymous id     <name>:o   opted out (1) or in (0)
 *     <name>:c:<client_id>         what it is part of   <name>:w   wait until       <name>:t   first and last touch
 *     <name>:s                     session, when it was last renewed, customer
 */
import { quietly } from "./guard";
import { options } from "./options";

// Few enough to be listed in a few milliseconds.
const CHARACTERS_MAX = 5e5;
const YEAR_S = 3e7;

const disk = quietly(() => localStorage);
// Not a `Map`, under which name old pages have things of their own.
const memory: Record<string, string> = Object.create(null);
let loaded = 0;
let held = 0;

/** Where more fits than localStorage takes, and later than at once. */
export interface Overflow {
  put(key: string, value: string): void;
  /** Bring some of it back, by `load`. */
  fetch(): Promise<unknown>;
  remove(key: string): unknown;
}
let overflow: Overflow | undefined;
export const useOverflow = (found: Overflow): void => {
  overflow = found;
};

export const named = (key: string): string => options.name + ":" + key;

export const read = (key: string): string | null | undefined => memory[key] ?? quietly(() => disk!.getItem(key));

/** Return whether the browser has it; otherwise it is in memory. */
export const write = (key: string, value: string): boolean =>
  quietly(() => {
    disk!.setItem(key, value);
    unload(key);
    return true;
  }) ?? !load(key, value);

/** The same, and what is in memory goes on to the overflow. */
export const store = (key: string, value: string): unknown => write(key, value) || overflow?.put(key, value);

export const forget = (key: string): void => {
  unload(key);
  overflow?.remove(key);
  quietly(() => disk!.removeItem(key));
};

/** Keep an event; return whether there was room. */
export const keep = (key: string, value: string): unknown =>
  ((held += value.length) < CHARACTERS_MAX && write(key, value)) ||
  (load(key, value), loaded > options.queueMax ? unload(key) : (overflow?.put(key, value), key));

export const load = (key: string, value: string): unknown => {
  if (!(key in memory)) loaded++;
  return (memory[key] = value);
};
export const unload = (key: string): void => {
  if (key in memory) loaded--;
  delete memory[key];
};

/** Return every key that begins so, in order. `Object.keys` would look at every value. */
export const keys = (begin: string): string[] =>
  [memory, disk ?? {}].flatMap(Object.getOwnPropertyNames).filter((key) => key.startsWith(begin)).sort();

/** Return the keys of waiting events and of instances; when no event waits, some that did not fit are fetched first. */
export const queue = async (): Promise<[events: string[], instances: string[]]> => {
  const list = (): [string[], string[]] => [keys(named("q:")), keys(named("c:"))];
  const found = list();
  if (found[0][0]) return found;
  held = 0;
  await overflow?.fetch();
  return list();
};

/** The same for who a visitor is, which sub-domains may share by cookie. */
export const recall = (key: string): string =>
  (options.cookieDomain
    ? // Another app's name may end like ours.
      quietly(() => decodeURIComponent(("; " + document.cookie).split(`; ${named(key)}=`)[1]!.split(";")[0]!))
    : read(named(key))) ?? "";

export const remember = (key: string, value: string): void => {
  key = named(key);
  if (options.cookieDomain) {
    quietly(
      () =>
        (document.cookie = `${key}=${encodeURIComponent(value)};domain=${options.cookieDomain};path=/;max-age=${value && YEAR_S}`),
    );
  } else if (value) write(key, value);
  else forget(key);
};
