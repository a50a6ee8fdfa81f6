/** What a page says of its parts in `data-sillok-…`, and what can be read of them without looking at an input. */
import type { EventFields } from "./client";
import { masked } from "./mask";

// `data-sillok-tab` is short for `data-sillok-tab-name`.
const SHORT = /^(click|popup|tab|flow|checkbox)$/;
const FIELD = /^(page|click|popup|tab|flow|step|checkbox|exit)_/;
const UNREAD = "[hidden],[data-sillok-mask],input,textarea,select,script,style,[contenteditable]";
const CHILDREN_MAX = 60;
const RAW_MAX = 600;
const TEXT_MAX = 200;

/** Collect the attributes of an element and those around it, the nearest first; nothing when it is to be ignored. */
export const marks = (element?: Element | null): EventFields | undefined => {
  const found: Record<string, unknown> = {};
  const props: Record<string, unknown> = {};
  while (element) {
    for (const { name, value } of element.attributes) {
      let field = name.split("data-sillok-")[1]?.replace(/-/g, "_").replace(SHORT, "$1_name");
      if (field == "ignore") return;
      if (field == "step") field = "step_position";
      if (field && field != "mask") (FIELD.test(field) ? found : props)[field] ??= /position/.test(field) ? +value : value;
    }
    element = element.parentElement ?? (element.getRootNode() as ShadowRoot).host;
  }
  return { ...found, props };
};

const raw = (node: Node): string =>
  (node as Text).data ??
  ((node as Element).matches(UNREAD)
    ? ""
    : ((node as Element).getAttribute("alt") ?? [...node.childNodes].slice(0, CHILDREN_MAX).map(raw).join(" ")));

/** Return the text of a control: masked, then cut, for half a number is one. */
export const textOf = (element: HTMLElement): string | undefined =>
  element.closest("[data-sillok-mask]")
    ? undefined
    : masked(
        // The label of a button that is written as an input is an attribute; what a person types never is.
        (
          (/submit|button/.test((element as HTMLInputElement).type) && element.getAttribute("value")) ||
          raw(element).trim() ||
          element.ariaLabel ||
          element.title
        )
          .slice(0, RAW_MAX)
          .replace(/\s+/g, " "),
      ).slice(0, TEXT_MAX) || undefined;
