import { on, quietly } from "./guard";

/** Whether a browser prepares the page, which nobody may ever open. */
export const isAhead = (): unknown => (document as { prerendering?: boolean }).prerendering;

/** Do it once somebody sees the page. */
export const seen = (work: () => unknown): unknown =>
  isAhead() ? on("prerenderingchange", work, document, { once: true }) : quietly(work);
