import { named } from "./store";

/** Say whether another copy of this SDK does it already, of whatever version; if not, this one does from now on. */
export const taken = (part: string): unknown => {
  const page = window as unknown as Record<symbol, boolean>;
  const mark = Symbol.for(named(part));
  return page[mark] || !(page[mark] = true);
};
