import { afterEach, expect, it } from "vitest";
import { load, made, pass, world } from "./page";

const undo: (() => void)[] = [];
/** Put something on a prototype as a library of its time does: enumerable, and for good. */
const put = (target: object, name: string, value: unknown): void => {
  const before = Object.getOwnPropertyDescriptor(target, name);
  undo.push(() => (before ? Object.defineProperty(target, name, before) : delete (target as any)[name]));
  Object.defineProperty(target, name, { value, configurable: true, writable: true, enumerable: true });
};
afterEach(() => {
  for (const back of undo.splice(0).reverse()) back();
});

const quoted = function (this: unknown) {
  return '"' + String(this) + '"';
};
const LIBRARIES: Record<string, () => void> = {
  "arrays and dates with a toJSON (Prototype 1.6)": () => {
    for (const { prototype } of [Array, String, Number, Date]) put(prototype, "toJSON", quoted);
    // Its own reduce takes nothing to reduce with.
    put(Array.prototype, "reduce", function (this: unknown[]) {
      return this.length > 1 ? this : this[0];
    });
    put(Array.prototype, "each", () => undefined);
    put(Array.prototype, "entries", function (this: unknown[]) {
      return [...this];
    });
  },
  "objects with a toJSON": () => put(Object.prototype, "toJSON", () => "object"),
  "everything with a toJSON": () => {
    for (const { prototype } of [Object, Array, Date, String, Number, Boolean]) put(prototype, "toJSON", () => "all");
  },
  "more on every array and object (MooTools)": () => {
    for (const { prototype } of [Array, Object, String, Function]) put(prototype, "extend", () => undefined);
    put(Array.prototype, "contains", () => false);
    put(Array, "from", (item: unknown) => [item]);
  },
};

/** What a page with a library of that kind records and sends. */
const told = async (pollute: () => void) => {
  const sillok = await load({ context: { app_version: "1.0" } });
  pollute();
  sillok.masks();
  sillok.track("a", {
    page_code: "M1",
    props: { list: [1, [2, { b: "둘" }]], when: new Date(0), own: { toJSON: () => "mine" }, big: 7n, text: "010-1234-5678" },
  } as never);
  sillok.error(new RangeError("x"));
  await pass(3_000);
  for (const back of undo.splice(0).reverse()) back();
  return world.sent.map(({ clients, context, events, sent_at }) => ({
    sent_at,
    clients: clients.map(({ id: _, ...more }) => more),
    context: { ...context, client_id: "" },
    events: events.map(({ event_id: _, anonymous_id: __, ...more }) => more),
  }));
};

it.each(Object.keys(LIBRARIES))("tells the same on a page that has %s", async (name) => {
  const plain = await told(() => undefined);
  expect(plain[0]!.events[0]!["props"]).toEqual({
    list: [1, [2, { b: "둘" }]],
    when: "1970-01-01T00:00:00.000Z",
    own: "mine",
    big: "7",
    text: "[phone]",
  });
  world.sent = [];
  localStorage.clear();
  const other = await told(LIBRARIES[name]!);
  const timeless = (bodies: object[]) => JSON.stringify(bodies).replace(/\d{13}/g, "time");
  expect(timeless(other)).toEqual(timeless(plain));
  expect(made()).toEqual([]);
});
