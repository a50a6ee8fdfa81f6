/** The calls an app makes. None throws, whatever it is given. */
import {
  type EventFields,
  identify as named,
  optIn as isIn,
  optOut as isOut,
  record,
  reset as forgotten,
  sessionId as sessionOf,
  set as laid,
} from "./client";
import { error as found } from "./errors";
import type { EventType } from "./fields";
import { quietly } from "./guard";
import { drain } from "./send";

const of =
  (type: EventType) =>
  (fields?: EventFields): string =>
    record(type, fields);

const safely =
  <Given extends unknown[], Result>(call: (...given: Given) => Result) =>
  (...given: Given): Result | undefined =>
    quietly(() => call(...given));

/** Record an event of the site's own, by its name. */
export const track = (event_name: string, fields?: EventFields): string => record("custom", fields, event_name);
export const pageView = /* @__PURE__ */ of("page_view");
export const click = /* @__PURE__ */ of("click");
export const checkbox = /* @__PURE__ */ of("checkbox");
export const popup = /* @__PURE__ */ of("popup");
export const tab = /* @__PURE__ */ of("tab");
export const step = /* @__PURE__ */ of("step");
export const search = /* @__PURE__ */ of("search");
export const login = /* @__PURE__ */ of("login");
export const logout = /* @__PURE__ */ of("logout");
export const exit = /* @__PURE__ */ of("exit");
export const flush = async (): Promise<boolean> => drain();
export const sessionId = (): string => quietly(sessionOf) ?? "";
export const error = /* @__PURE__ */ safely(found);
export const identify = /* @__PURE__ */ safely(named);
export const reset = /* @__PURE__ */ safely(forgotten);
export const set = /* @__PURE__ */ safely(laid);
export const optIn = /* @__PURE__ */ safely(isIn);
export const optOut = /* @__PURE__ */ safely(isOut);
