/** What a page says of its parts in `data-sillok-…`, and what can be read of them without looking at an input. */
import type { EventFields } from "./client";
import { masked } from "./mask";
import { cut } from "./text";

// `data-sillok-tab` is short for `data-sillok-tab-name`.
const SHORT = /^(click|popup|tab|flow|checkbox)$/;
const FIELD = /^(page|click|popup|tab|flow|step|checkbox|exit)_/;
const UNREAD = "[hidden],[data-sillok-mask],input,textarea,select,script,style,[contenteditable]";
const CHILDREN_MAX = 60;
const RAW_MAX = 600;
const TEXT_MAX = 200;
// Kinds of nodes.
const ELEMENT = 1;
const TEXT = 3;
const FRAGMENT = 11;

/**
 * Return a property of a node as browsers define it. In a form, `<input name="attributes">` is what `form.attributes` says.
 */
export const plain = <Name extends keyof HTMLElement>(node: Node, name: Name): HTMLElement[Name] =>
  Reflect.get(HTMLElement.prototype, name, node);
export const attribute = (element: Element, name: string): string | null => plain(element, "getAttribute").call(element, name);
export const matches = (element: Element, selector: string): boolean => plain(element, "matches").call(element, selector);
/** Return the nearest element around a node, or itself, that a selector finds. */
export const closest = (node: Node, selector: string): HTMLElement | null => {
  const element = plain(node, "nodeType") == ELEMENT ? (node as Element) : plain(node, "parentElement");
  return element && (plain(element, "closest").call(element, selector) as HTMLElement | null);
};

/** Collect the attributes of an element and those around it, the nearest first; nothing when it is to be ignored. */
export const marks = (element?: Element | null): EventFields | undefined => {
  const found: Record<string, unknown> = Object.create(null);
  const props: Record<string, unknown> = Object.create(null);
  while (element) {
    for (const { name, value } of plain(element, "attributes")) {
      let field = name.split("data-sillok-")[1]?.replace(/-/g, "_").replace(SHORT, "$1_name");
      if (field == "ignore") return;
      if (field == "step") field = "step_position";
      if (field && field != "mask") (FIELD.test(field) ? found : props)[field] ??= value;
    }
    const root = plain(element, "getRootNode").call(element);
    // Of a document it would be whatever the page calls so.
    element = plain(element, "parentElement") ?? (root.nodeType == FRAGMENT ? (root as ShadowRoot).host : null);
  }
  return { ...found, props };
};

const raw = (node: Node): string => {
  const type = plain(node, "nodeType");
  return type == TEXT
    ? (node as Text).data
    : type != ELEMENT || matches(node as Element, UNREAD)
      ? ""
      : (attribute(node as Element, "alt") ?? [...plain(node, "childNodes")].slice(0, CHILDREN_MAX).map(raw).join(" "));
};

/** Return the text of a control: masked, then cut, for half a number is one. */
export const textOf = (element: HTMLElement): string | undefined =>
  closest(element, "[data-sillok-mask]")
    ? undefined
    : cut(
        masked(
          // The label of a button that is written as an input is an attribute; what a person types never is.
          cut(
            (/submit|button/.test(attribute(element, "type")!) && attribute(element, "value")) ||
              raw(element).trim() ||
              attribute(element, "aria-label") ||
              attribute(element, "title") ||
              "",
            RAW_MAX,
          ).replace(/\s+/g, " "),
        ),
        TEXT_MAX,
      ) || undefined;
