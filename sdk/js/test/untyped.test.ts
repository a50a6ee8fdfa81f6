// Values of the wrong kind, answers of somebody else and pages with habits: every event is kept, and says what it should.
import { expect, it, vi } from "vitest";
import { SAFE, load, made, pass, waiting, world } from "./page";

const OPTIONS: [string, object][] = [
  ["names that are a number", { queryNames: 7 }],
  ["names that are an object", { queryNames: { a: 1 } }],
  ["names that are a set", { queryNames: new Set(["a"]) }],
  ["names that are a function", { queryNames: () => 1 }],
  ["one account for a list", { accounts: /\d{3}-x/g }],
  ["accounts that are an object", { accounts: {} }],
  ["accounts that are none", { accounts: [null, undefined, {}, ""] }],
  ["accounts that are no expression", { accounts: ["("] }],
  ["an empty account", { accounts: "" }],
  ["hosts that are a number", { requestHosts: 7 }],
  ["a part for a list", { use: () => 1 }],
  ["a part's name", { use: "pages" }],
  ["parts that are none", { use: [null, 1, "x"] }],
  ["a context that is a text", { context: "text" }],
  ["a context that is a list", { context: [1] }],
  ["half a character as a name", { name: "\ud83d" }],
  ["an empty batch", { batchEvents: "" }],
  ["a negative batch", { batchEvents: -1 }],
  ["a batch that is no number", { batchEvents: NaN }],
  ["an empty text for minutes", { sessionMinutes: "" }],
  ["a boolean for minutes", { sessionMinutes: false }],
  ["a boolean for milliseconds", { flushMs: true }],
  ["a list for a number", { queueMax: [] }],
  ["a word for debug", { debug: "loud" }],
  ["a word for consent", { consent: "granted" }],
];

it.each(OPTIONS)("%s as an option costs no event and no session", async (_, options) => {
  history.replaceState(null, "", "/?token=1");
  const sillok = await load({ flushMs: 100, ...options });
  sillok.masks();
  sillok.click({ page_code: "a" });
  sillok.click({ page_code: "b" });
  const events = made();
  expect(events.map((event) => event["page_code"])).toEqual(["a", "b"]);
  expect(events[0]!["session_id"]).toBe(events[1]!["session_id"]);
  await pass(10_000);
  expect(waiting()).toEqual([]);
  expect(world.sent[world.sent.length - 1]!.clients[0]!.dropped).toEqual({});
  history.replaceState(null, "", "/");
});

it.each<[string, unknown]>([
  ["an expression without the flag g", [/\d{5}x\d/]],
  ["one that is sticky", /\d{5}x\d/y],
  ["one that ignores case", [/\d{5}X\d/i]],
  ["a tag's text", "\\d{5,6}x\\d"],
  ["two in a text", "\\d{9}, \\d{5,6}x\\d"],
])("the firm's accounts are masked, each of them, by %s", async (_, accounts) => {
  const sillok = await load({ accounts });
  sillok.masks();
  sillok.click({ click_text: "12345x1 12345x2" });
  expect(made()[0]!["click_text"]).toBe("[account] [account]");
});

it.each<[string, any]>([
  ["a text in a box", new String("900101-1234567")],
  ["a list", ["900101", "1234567"]],
  ["a date", new Date(0)],
  ["a map", new Map([["a", 1]])],
  ["an event", new MouseEvent("click")],
  ["an expression", /x/],
  ["bytes", new Uint8Array([1, 2])],
  ["arguments", (function (..._: unknown[]) { return arguments; })("a", "b")],
  ["a node", document.createElement("a")],
  ["an address", new URLSearchParams("a=1")],
])("%s is no fields, and not spread over props", async (_, given) => {
  const sillok = (await load()) as any;
  for (const call of [() => sillok.click(given), () => sillok.track("a", given), () => sillok.click({ props: given }), () => (sillok.set(given), sillok.click())]) {
    call();
    expect(made().pop()).not.toHaveProperty("props");
  }
  sillok.error(given);
  expect(made().pop()).toMatchObject({ error_code: "Error", error_message: expect.stringMatching(/./) });
  expect(made().pop()).not.toHaveProperty("props");
});

it("what is set again counts as it is now, and null takes it away, also in props", async () => {
  const sillok = (await load()) as any;
  const next = (fields: unknown) => (sillok.set(fields), sillok.click(), made().pop()!);
  expect(next({ plan: "a" })).toMatchObject({ props: { plan: "a" } });
  expect(next({ plan: "b", page_code: 1 })).toMatchObject({ props: { plan: "b" }, page_code: "1" });
  expect(next(7)).toMatchObject({ props: { plan: "b" }, page_code: "1" });
  const last = next({ plan: null, page_code: null });
  expect([last["props"], last["page_code"]]).toEqual([undefined, undefined]);
});

it.each([["yes", true], ["No", false], ["on", true], [0, false], [1n, true], ["perhaps", undefined], [2, undefined]])(
  "a box that is %s is %s",
  async (checkbox_checked, wanted) => {
    const sillok = (await load()) as any;
    sillok.checkbox({ checkbox_checked });
    expect(made()[0]!["checkbox_checked"]).toBe(wanted);
  },
);

const text = (body: BodyInit | null, status = 200, headers = {}) => (): Response => new Response(body, { status, headers });
it.each<[string, () => Response]>([
  ["a number for a receipt", text('{"receipt":1}')],
  ["a list for a receipt", text('{"receipt":["a"]}')],
  ["an object for a receipt", text('{"receipt":{"id":"a"}}')],
  ["a 201 with a receipt", text(SAFE, 201)],
  ["a 202 with a receipt", text(SAFE, 202)],
  ["a 204", text(null, 204)],
  ["a 205", text(null, 205)],
  ["a 206 with a receipt", text(SAFE, 206)],
  ["a 302", text("moved", 302)],
  ["gzip's first bytes", text(new Uint8Array([31, 139, 8, 0]))],
  ["a byte order mark and a page", text("\ufeff<html>")],
  ["a script", text(`cb(${SAFE})`)],
  ["a sign-in page at 401", text("<html>login", 401)],
  ["a block page at 400", text("<html>blocked", 400)],
  ["a gateway's JSON at 400", text('{"message":"Bad Request"}', 400)],
  ["a block page at 403", text("<html>blocked", 403)],
  ["a 404", text("x", 404)],
  ["a 405", text("x", 405)],
  ["a 406", text("x", 406)],
  ["a 429 of a gateway", text("x", 429)],
  ["a 511", text("x", 511)],
  ["a failure", () => Response.error()],
])("%s takes no event out of the queue", async (_, answer) => {
  const { track } = await load({ flushMs: 10 });
  world.answer = answer;
  track("a");
  track("b");
  await pass(60_000);
  expect(waiting().length).toBe(2);
  expect(world.sent.length).toBeLessThan(30);
  world.answer = text(SAFE);
  await pass(600_000);
  expect(waiting()).toEqual([]);
  expect(world.sent[world.sent.length - 1]!.clients[0]!.dropped).toEqual({});
});

it.each(["-1", "0", "0.001", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "1e99", "Infinity"])("asks in peace when told to come back in %s", async (after) => {
  const { track } = await load({ flushMs: 10 });
  world.answer = () => {
    if (world.sent.length > 50) throw new Error("no pause");
    return text("", 503, { "Retry-After": after })();
  };
  track("a");
  await pass(5_000);
  expect(world.sent.length).toBeLessThan(9);
  expect(waiting().length).toBe(1);
});

it("counts what was refused beside entries that say nothing", async () => {
  const { track } = await load({ flushMs: 10 });
  world.answer = text(JSON.stringify({ rejected: [null, 7, { index: 9 }, { index: 0, code: "x" }], receipt: "1" }));
  track("a");
  await pass(1_000);
  expect(world.sent[world.sent.length - 1]!.clients[0]!.dropped).toEqual({ rejected: 1 });
});

it("keeps and sends on a page with a Map of its own", async () => {
  // As the textbooks had it, when browsers had none.
  vi.stubGlobal("Map", function (this: any) { this.items = {}; });
  const sillok = await load({ flushMs: 10, use: [] });
  sillok.spill();
  vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => { throw new Error("full"); });
  sillok.track("a");
  vi.mocked(Storage.prototype.setItem).mockRestore();
  sillok.track("b");
  sillok.track(7 as never, 7 as never);
  vi.unstubAllGlobals();
  await pass(9_000);
  expect(world.sent.flatMap((body) => body.events).length).toBe(3);
  expect(world.sent[world.sent.length - 1]!.clients[0]!.dropped).toEqual({});
});

it("records nothing of a page that is prepared until somebody sees it, whatever the page calls", async () => {
  Object.defineProperty(document, "prerendering", { value: true, configurable: true });
  const sillok = (await load()) as any;
  sillok.pages();
  sillok.errors();
  sillok.pageView({ page_code: "own" });
  sillok.track("a");
  dispatchEvent(new ErrorEvent("error", { message: "x" }));
  sillok.step({ step_name: "first" });
  await pass(9_000);
  expect([made(), world.sent]).toEqual([[], []]);
  delete (document as any).prerendering;
  document.dispatchEvent(new Event("prerenderingchange"));
  expect(made().map((event) => event["event_type"])).toEqual(["page_view", "page_view", "custom", "error", "step"]);
  expect(made().map((event) => event["seq"])).toEqual([1, 2, 3, 4, 5]);
});

it("begins, or does not, whatever all of it is given", async () => {
  vi.resetModules();
  const { init, track } = await import("../src/auto");
  for (const given of [undefined, null, 7, "text", [], new Proxy({}, { ownKeys: () => { throw new Error("trap"); } })]) {
    expect(() => init(given as never)).not.toThrow();
  }
  expect(track("a")).toBe("");
});
