/** What keeps a fault of ours, and whatever a page or a browser hands us, from the page. */

import { options } from "./options";

/** Return what `work` returns, or nothing when it throws. */
export const quietly = <T>(work: () => T): T | undefined => {
  try {
    return work();
  } catch {
    return;
  }
};

/** Listen, and never throw. */
export const on = (type: string, work: (event: any) => unknown, target?: EventTarget, how?: object): void =>
  (target ?? window).addEventListener(type, (event) => quietly(() => work(event)), how);

const said: Record<string, boolean> = {};

/** Say it on the console, once. */
export const warn = (what: string, ...more: unknown[]): void => {
  if (!said[what]) quietly(() => console.warn("sillok: " + what, ...more));
  said[what] = true;
};

/** Say it on the console while somebody looks for what is wrong. */
export const note = (what: string, ...more: unknown[]): void => {
  if (options.debug) quietly(() => console.log("sillok: " + what, ...more));
};
