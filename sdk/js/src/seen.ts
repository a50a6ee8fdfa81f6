import { on, quietly } from "./guard";

/** Do it once somebody sees the page: a browser may prepare one that nobody ever opens. */
export const seen = (work: () => void): unknown =>
  (document as { prerendering?: boolean }).prerendering
    ? on("prerenderingchange", work, document, { once: true })
    : quietly(work);
