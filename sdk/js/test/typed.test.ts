import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { isNobody } from "../src/nobody";
import { typed } from "../src/typed";
import { load, made, pass, world } from "./page";

const read = (name: string) => JSON.parse(readFileSync(new URL(`../../../contract/${name}`, `file://${process.cwd()}/test/`), "utf8"));
const properties: Record<string, { anyOf: { type?: string; maxLength?: number }[] }> = read("event.schema.json").$defs.Context.properties;
const OWN = ["client_id", "ip", "user_agent"];
const kindOf = (name: string) => properties[name]!.anyOf.find((one) => one.type != "null")!;
const names = Object.keys(properties).filter((name) => !OWN.includes(name));

describe("fields", () => {
  it.each(names)("%s is known, and has the contract's type and limit", (name) => {
    const { type, maxLength } = kindOf(name);
    const samples: Record<string, [unknown, unknown]> = {
      string: [405, name == "platform" ? undefined : "405"],
      integer: ["3", 3],
      boolean: ["true", true],
      object: [{ a: 1 }, { a: 1 }],
    };
    const [given, expected] = samples[type ?? "string"]!;
    expect((typed({ [name]: given }) as any)[name]).toEqual(expected);
    // Only an identifier that is too long costs the event; the collector cuts the others.
    if (/^(session|anonymous|customer)_id$/.test(name)) {
      expect(typed({ [name]: "x".repeat(maxLength!) })).not.toEqual({});
      expect(typed({ [name]: "x".repeat(maxLength! + 1) })).toEqual({});
    }
  });

  it.each<[string, unknown, unknown]>([
    ["page_code", true, "true"],
    ["page_code", 10n, "10"],
    ["page_code", new String("M1"), "M1"],
    ["page_code", NaN, undefined],
    ["page_code", Infinity, undefined],
    ["page_code", {}, undefined],
    ["page_code", ["M1"], undefined],
    ["page_code", Symbol("x"), undefined],
    ["page_code", () => 1, undefined],
    ["page_code", Object.create(null), undefined],
    ["page_code", { valueOf: () => { throw new Error("trap"); } }, undefined],
    ["page_code", null, undefined],
    ["step_position", 3.0, 3],
    ["step_position", " 3 ", 3],
    ["step_position", "3.5", undefined],
    ["step_position", 0, undefined],
    ["step_position", 1000, undefined],
    ["step_position", "three", undefined],
    ["step_position", "", undefined],
    ["step_position", true, undefined],
    ["step_position", [3], undefined],
    ["screen_width", 411.43, 411],
    ["screen_width", "390", 390],
    ["screen_width", -1, undefined],
    ["screen_height", 2e6, undefined],
    ["time", 1790000000000.25, 1790000000000],
    ["time", "1790000000000", 1790000000000],
    ["time", new Date(1790000000000), 1790000000000],
    ["time", "yesterday", undefined],
    ["time", NaN, undefined],
    ["time", 1e300, undefined],
    ["checkbox_checked", 1, true],
    ["checkbox_checked", 0, false],
    ["checkbox_checked", "false", false],
    ["checkbox_checked", "on", true],
    ["checkbox_checked", "perhaps", undefined],
    ["platform", "Android", "android"],
    ["platform", "tv", undefined],
    ["props", "text", undefined],
    ["props", [1], undefined],
    ["props", 7, undefined],
    ["event_id", "x", undefined],
    ["seq", "7", undefined],
    ["event_type", "x", undefined],
    ["client_id", 7, undefined],
    ["customer_id", 8731, "8731"],
    ["customer_id", {}, undefined],
    ["customer_id", false, undefined],
  ])("%s of %s is %s", (name, given, expected) => {
    expect((typed({ [name]: given }) as any)[name]).toEqual(expected);
  });

  it("moves what is no field to props, as the collector does", () => {
    expect(typed({ quantity: 10, props: { a: 1 }, page_code: 7 })).toEqual({ page_code: "7", props: { quantity: 10, a: 1 } });
  });

  it.each([["text"], [7], [true], [Symbol("x")], [null], [undefined], [() => 1], [10n]])("%s is no fields", (given) => {
    expect(typed(given)).toEqual({});
  });
});

describe("ids", () => {
  const table: { nobody: string[]; somebody: string[] } = read("nobody.json");
  it.each(table.nobody)("%j stands for nobody", (id) => expect(isNobody(id)).toBe(true));
  it.each(table.somebody)("%j is somebody", (id) => expect(isNobody(id)).toBe(false));

  it("that stand for nobody are absent, wherever they come from", async () => {
    localStorage.setItem("sillok:a", "undefined");
    const { click, identify, set } = await load({ context: { anonymous_id: "guest" } });
    for (const id of table.nobody) {
      identify(id);
      click({ customer_id: id, session_id: id, anonymous_id: id });
    }
    set({ customer_id: "null", anonymous_id: "", session_id: "[object Object]" });
    click();
    const events = made();
    expect(new Set(events.map((event) => event["event_type"]))).toEqual(new Set(["click"]));
    expect(new Set(events.map((event) => event["session_id"])).size).toBe(1);
    expect(new Set(events.map((event) => event["anonymous_id"])).size).toBe(1);
    expect(isNobody(events[0]!["anonymous_id"]) || isNobody(events[0]!["session_id"])).toBe(false);
    expect(events.filter((event) => "customer_id" in event)).toEqual([]);
    set({ customer_id: "c-1" });
    click();
    // An app writes this when its customer has logged out.
    set({ customer_id: "null" });
    click();
    expect(made().slice(-2).map((event) => event["customer_id"])).toEqual(["c-1", undefined]);
  });
});

it("takes untyped calls and says what it leaves out, once", async () => {
  const sillok = (await load({ context: { app_version: 412, screen_width: "wide" }, flushMs: "500" })) as any;
  sillok.search({ search_text: 5930 });
  sillok.pageView({ page_code: 405 });
  sillok.track(7);
  sillok.track({ name: "x" }, { step_position: "3", page_name: {} });
  sillok.track("a", { page_name: {} });
  sillok.track("a", "text");
  sillok.checkbox({ checkbox_checked: "true", time: "1790000000000" });
  await pass(600);
  expect(world.sent[0]!.context).toMatchObject({ app_version: "412" });
  expect(world.sent[0]!.clients[0]).toMatchObject({ app_version: "412" });
  expect(world.sent[0]!.events).toMatchObject([
    { search_text: "5930" },
    { page_code: "405" },
    { event_name: "7" },
    { event_name: "unnamed", step_position: 3 },
    { event_name: "a" },
    { event_name: "a" },
    { checkbox_checked: true, time: 1790000000000 },
  ]);
  expect(world.sent[0]!.events.some((event) => "props" in event)).toBe(false);
  expect(world.said.filter((said) => said.includes("page_name")).length).toBe(1);
  expect(world.said.filter((said) => said.includes("screen_width")).length).toBe(1);
});

it.each(["false", false, 0, "0", "off"])("does not take %j for consent", async (consent) => {
  const { track } = await load({ consent });
  expect(track("a")).toBe("");
});

it.each<[string, (text: string) => object]>([
  ["a value", (text) => ({ props: { text } })],
  ["a name", (text) => ({ props: { [text]: 1 } })],
  ["a name further in", (text) => ({ props: { a: [{ [text]: "x" }] } })],
  ["a field", (text) => ({ page_name: text })],
  ["an id", (text) => ({ session_id: text })],
])("%s is well-formed and masked", async (_, fields) => {
  const { masks, track } = await load();
  masks();
  for (const text of ["\ud800", "a\udc00", "900101-1234567", "\ud83d".repeat(3)]) track("a", fields(text));
  track("a", fields("😀".repeat(4_100)));
  track("a", fields("x" + "😀".repeat(4_100)));
  const kept = Object.values(localStorage).join();
  expect(kept).not.toMatch(/\\ud[89a-f]/);
  expect(kept).not.toContain("1234567");
  expect(made().length).toBe(6);
});

it("is never deeper or larger than the collector takes", async () => {
  const { track } = await load();
  const nested = (depth: number): object => (depth ? { a: nested(depth - 1) } : { end: 1 });
  const listed = (depth: number): unknown => (depth ? [listed(depth - 1)] : 1);
  track("deep", { props: nested(40) as any });
  track("deep", { props: { a: listed(40) } });
  track("deepest", { props: nested(5_000) as any });
  track("fine", { props: nested(29) as any });
  track("wide", Object.fromEntries(["page_name", "click_text", "search_text", "exit_menu", "error_message", "page_code"].map((name) => [name, "가".repeat(9_000)])));
  track("flat", { props: { list: Array.from({ length: 60 }, () => ({})) } });
  const events = made();
  expect(events.map((event) => event["props"]?.sillok_trimmed ?? false)).toEqual([true, true, true, false, true, false]);
  for (const key of Object.keys(localStorage)) expect(new TextEncoder().encode(localStorage.getItem(key)!).length).toBeLessThan(32_768);
});
