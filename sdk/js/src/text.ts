/** Texts as they may leave: well-formed, masked, and cut where a character ends. */
let mask = (text: string): string => text;
export const useMask = (found: typeof mask): void => {
  mask = found;
};

/** Return the text well-formed: half of a surrogate pair is no character, and makes a body unreadable. */
export const whole = (text: string): string => text.replace(/[\ud800-\udfff]/gu, "\ufffd");

export const clean = (text: string): string => mask(whole(text));

export const cut = (text: string, length: number): string => text.slice(0, length).replace(/[\ud800-\udbff]$/, "");

export const bytes = (text: string): number => new TextEncoder().encode(text).length;
