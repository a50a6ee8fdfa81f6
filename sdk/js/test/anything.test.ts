// Every kind of value, to every public call and to every listener: nothing is thrown, and no number is missing.
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { load, made, pass, waiting, world } from "./page";

const trap = new Proxy({}, { get: () => { throw new Error("trap"); }, ownKeys: () => { throw new Error("trap"); } });
const circle: { circle?: object } = {};
circle.circle = circle;
const { proxy: revoked, revoke } = Proxy.revocable({}, {});
revoke();
const VALUES: Record<string, unknown> = {
  undefined, null: null, true: true, false: false, zero: 0, one: 1, minus: -1, NaN, Infinity, "2^53": 2 ** 53, big: 10n ** 30n,
  empty: "", text: "text", resident: "900101-1234567", half: "\ud83d", long: "가".repeat(100_000), nul: "\0", json: '{"a":1}',
  symbol: Symbol("s"), function: () => 1, throwing: () => { throw new Error("f"); }, class: class {}, object: {}, list: [], lists: [[[]]],
  bare: Object.create(null), proto: JSON.parse('{"__proto__": {"a": 1}, "constructor": 7}'), circle, trap, revoked,
  getters: { get message() { throw new Error("g"); }, get name() { throw new Error("g"); }, get props() { throw new Error("g"); }, get url() { throw new Error("g"); } },
  texts: { toString() { throw new Error("t"); } }, odd: { toString: () => 7, valueOf: () => ({}) }, date: new Date(NaN), regexp: /x/, map: new Map([[1, 2]]),
  error: new Error("e"), aggregate: new AggregateError([new Error("a")]), nameless: Object.assign(new Error("n"), { name: null, message: { a: 1 } }),
  promise: Promise.resolve(1), node: document.createElement("div"), comment: document.createComment("c"), document, window, event: new Event("x"),
  bytes: new Uint8Array(3), url: new URL("https://a.example/b"), frozen: Object.freeze({ a: 1 }), boxed: new String("b"), weak: new WeakMap(),
  fields: { props: trap, page_code: Symbol("p"), time: {}, event_id: 1, seq: "x" }, "array-like": { length: 3, 0: "track" },
};

const thrown: unknown[] = [];
const listen = (event: any): void => void thrown.push(event.error ?? event.message);
const onRejection = (reason: unknown): void => void thrown.push(reason);
const observers: { callback: (found: any) => void }[] = [];
class Observer {
  constructor(public callback: (found: any) => void) {
    observers.push(this);
  }
  observe(): void {}
  disconnect(): void {}
}

beforeEach(() => {
  thrown.length = observers.length = 0;
  window.addEventListener("error", listen);
  process.on("unhandledRejection", onRejection);
  vi.stubGlobal("IntersectionObserver", Observer);
  vi.stubGlobal("MutationObserver", Observer);
});
afterEach(() => {
  window.removeEventListener("error", listen);
  process.off("unhandledRejection", onRejection);
  vi.unstubAllGlobals();
  document.body.innerHTML = "";
});

// First: the listeners of every page of this file stay, and would all hear it.
it("every listener takes every event, with every kind of target", async () => {
  document.body.innerHTML = `<button id=b>매수<!--c--></button><input type=checkbox id=box>
    <svg><a id=svg href="/orders?token=7"><text>주문</text></a></svg>`;
  const registered: [string, EventTarget][] = [];
  const restore: (() => void)[] = [];
  for (const target of [window, document] as EventTarget[]) {
    const add = target.addEventListener.bind(target);
    const { addEventListener } = target;
    target.addEventListener = ((type: string, ...more: [any]) => {
      registered.push([type, target]);
      add(type, ...more);
    }) as typeof addEventListener;
    restore.push(() => (target.addEventListener = addEventListener));
  }
  const navigation = new EventTarget();
  (window as any).navigation = navigation;
  const s = await load({ flushMs: 9e5 });
  for (const part of [s.masks, s.spill, s.gzip, s.network, s.bridge, s.campaigns, s.pages, s.clicks, s.sights, s.errors, s.requests, s.exits]) part();
  for (const back of restore) back();
  expect(registered.map(([type]) => type)).toEqual(
    expect.arrayContaining(["pagehide", "visibilitychange", "online", "popstate", "hashchange", "pageshow", "click", "change", "error", "unhandledrejection"]),
  );
  const button = document.querySelector("#b")!;
  const targets: EventTarget[] = [window, document, document.body, button, button.firstChild!, button.lastChild!, document.querySelector("#svg text")!, document.createTextNode("x")];
  const kinds = ["undefined", "null", "one", "text", "symbol", "object", "bare", "trap", "texts", "throwing"].map((name) => VALUES[name]);
  for (const type of new Set(registered.map(([type]) => type))) {
    for (const target of targets) {
      for (const value of kinds) {
        const event = new CustomEvent(type, { bubbles: true, composed: true, detail: value });
        for (const name of ["error", "message", "reason", "persisted", "filename", "composedPath"]) {
          if (value !== undefined) Object.defineProperty(event, name, { value, configurable: true });
        }
        target.dispatchEvent(event);
      }
    }
  }
  for (const value of Object.values(VALUES)) {
    navigation.dispatchEvent(Object.assign(new Event("navigate"), { destination: value }));
    navigation.dispatchEvent(Object.assign(new Event("navigate"), { destination: { url: value } }));
    for (const { callback } of observers) {
      for (const found of [[value], [{ target: value, isIntersecting: true }]]) callback(found);
    }
  }
  delete (window as any).navigation;
  await pass(1_000);
  expect(thrown.filter((found) => Object.values(VALUES).every((value) => value !== found))).toEqual([]);
});

const CALLS = ["track", "pageView", "click", "checkbox", "popup", "tab", "step", "search", "login", "logout", "error", "exit", "identify"];
const OTHERS = ["reset", "set", "flush", "optIn", "optOut", "sessionId", "init"];

it.each(Object.keys(VALUES))("%s is handed to every call", async (name) => {
  const value = VALUES[name];
  const sillok = (await load({ flushMs: 9e5 })) as any;
  sillok.masks();
  for (const call of [...CALLS, ...OTHERS]) {
    for (const given of [[value], [value, { props: value, page_name: value, time: value }]]) {
      expect(() => sillok[call](...given), call).not.toThrow();
    }
    sillok.optIn();
  }
  // A number for each event, whatever it was made of.
  for (const given of [value, { props: value }, { page_code: value }, { time: value }, { props: { value } }]) expect(sillok.click(given)).toBeTruthy();
  expect(sillok.track(value, value)).toBeTruthy();
  expect(sillok.error(value)).toBeTruthy();
  const events = made();
  await pass(1);
  expect(events.map((event) => typeof event["time"])).not.toContain("object");
  expect(JSON.stringify(events)).not.toContain("1234567");
  for (const { seq, ...event } of events) {
    expect(event["event_id"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(event["event_type"]).toMatch(/^[a-z_]+$/);
    expect(Number.isInteger(event["time"])).toBe(true);
    for (const [field, found] of Object.entries(event)) {
      if (/_(code|name|text|message|page|id|url)$/.test(field)) expect(typeof found, field).toBe("string");
    }
  }
  const numbers = events.map((event) => event["seq"]);
  expect(numbers.at(-1)! - numbers[0]! + 1).toBe(numbers.length);
  expect(thrown).toEqual([]);
});

const OPTIONS = ["name", "batchEvents", "batchBytes", "flushMs", "sessionMinutes", "queueMax", "cookieDomain", "accounts", "queryNames", "requestHosts", "use", "context", "consent", "anything"];

it.each(Object.keys(VALUES))("%s is every option", async (name) => {
  const value = VALUES[name];
  const sillok = await load(Object.fromEntries(OPTIONS.map((option) => [option, value])));
  expect(() => sillok.track("a")).not.toThrow();
  vi.resetModules();
  const { init, track } = await import("../src/index");
  expect(() => init(value as never)).not.toThrow();
  expect(track("a")).toBe("");
  expect(thrown).toEqual([]);
});

it.each(Object.keys(VALUES))("%s is thrown, rejected, or reason to give up", async (name) => {
  const value = VALUES[name] as any;
  const answered = vi.mocked(fetch).getMockImplementation()!;
  let next: (() => unknown) | undefined;
  const once = (answer: () => unknown): void => {
    next = () => ((next = undefined), answer());
  };
  globalThis.fetch = window.fetch = ((...given: [string, RequestInit?]) =>
    next ? next() : String(given[0]).startsWith("https://c.example") ? answered(...given) : Promise.reject(value)) as typeof fetch;
  const sillok = await load({ flushMs: 9e5 });
  sillok.errors();
  sillok.requests();
  const events = [
    new ErrorEvent("error", { error: value, message: "Uncaught" }),
    Object.assign(new Event("error"), { error: value, message: value, filename: value, lineno: value }),
    Object.assign(new Event("unhandledrejection"), { reason: value }),
    new CustomEvent("unhandledrejection", { detail: value }),
  ];
  window.removeEventListener("error", listen);
  for (const event of events) window.dispatchEvent(event);
  window.addEventListener("error", listen);
  await expect(window.fetch("/a").then(() => "answered", (found) => Object.is(found, value))).resolves.toBe(true);
  const given = new AbortController();
  given.abort(value);
  await window.fetch("/b", { signal: given.signal }).catch(() => undefined);
  for (const target of [value, { url: value }]) {
    once(() => Promise.resolve(new Response("", { status: 500 })));
    await window.fetch(target).catch(() => undefined);
  }
  once(() => value);
  expect(await quiet(() => window.fetch("/c"))).toBe(true);
  await pass(1);
  expect(thrown).toEqual([]);
  for (const event of made()) {
    expect(typeof event["error_code"]).toBe("string");
    expect(typeof event["error_message"]).toBe("string");
    expect(Object.keys(event["props"] ?? {})).toEqual([]);
  }
  expect(JSON.stringify(made())).not.toContain("1234567");
});
const quiet = async (work: () => unknown): Promise<boolean> => {
  const found = work();
  if (found === VALUES["promise"]) await found;
  return true;
};

it.each<[string, unknown, string, string]>([
  ["a text", "주문 실패 900101-1234567", "Error", "주문 실패 [rrn]"],
  ["an error", new RangeError("한도 초과"), "RangeError", "한도 초과"],
  ["null", null, "Error", "null"],
  ["a number", 404, "Error", "404"],
  ["a symbol", Symbol("s"), "Error", "Symbol(s)"],
  ["an object that is no error", { status: 500, name: 7 }, "7", "[object Object] {status,name}"],
  ["what is like an error", { name: "AxiosError", message: "Network Error" }, "AxiosError", "Network Error"],
  ["a number at the cut", "x".repeat(990) + "900101-1234567", "Error", "x".repeat(990) + "[rrn]"],
  ["half a character at the cut", "x".repeat(999) + "😀", "Error", "x".repeat(999)],
])("%s that nobody caught is told", async (_, reason, code, message) => {
  const { errors } = await load();
  errors();
  dispatchEvent(Object.assign(new Event("unhandledrejection"), { reason }));
  expect(made()[0]).toMatchObject({ error_code: code, error_message: message });
  expect(made()[0]).not.toHaveProperty("props");
});

it("knows of another origin's error no more than the browser says, and of a component's event nothing", async () => {
  const { errors } = await load();
  errors();
  window.removeEventListener("error", listen);
  dispatchEvent(new ErrorEvent("error", { message: "Script error." }));
  dispatchEvent(new ErrorEvent("error", { message: "Uncaught x", error: null, filename: "https://a.example/b.js?c=1", lineno: 3 }));
  dispatchEvent(new Event("error"));
  document.body.dispatchEvent(new CustomEvent("error", { bubbles: true, detail: { message: "player" } }));
  expect(made().map((event) => event["error_message"])).toEqual(["Script error.", "Uncaught x (https://a.example/b.js:3)"]);
});

it("tells of a text what it is", async () => {
  const sillok = (await load()) as any;
  sillok.error("결제 실패 900101-1234567 hong@example.com");
  sillok.masks();
  sillok.error("결제 실패 900101-1234567");
  sillok.error({ error_code: "ORD-1", page_code: 7 });
  expect(made().slice(1)).toMatchObject([{ error_code: "Error", error_message: "결제 실패 [rrn]" }, { error_code: "ORD-1", page_code: "7" }]);
});

it("reads a form that calls its fields like its own properties", async () => {
  document.body.innerHTML = `<form onclick="" data-sillok-click="order" data-sillok-menu="주식">
    ${["id", "attributes", "closest", "matches", "parentElement", "getRootNode", "childNodes", "getAttribute", "nodeType", "data", "type", "title", "ariaLabel", "href", "host"].map((name) => `<input name=${name}>`).join("")}
    <button type=button id=go>매수<!-- 내부 메모 --><script>1</script></button><p>빈 곳</p></form><form name=host></form>`;
  const { clicks } = await load();
  clicks();
  document.querySelector<HTMLElement>("#go")!.click();
  document.querySelector<HTMLElement>("p")!.click();
  expect(made()).toMatchObject([
    { click_name: "order", click_text: "매수", props: { menu: "주식" } },
    { click_name: "order", props: { menu: "주식" } },
  ]);
  expect(thrown).toEqual([]);
});

it("follows links of SVG, and says of what is no link what it is", async () => {
  document.body.innerHTML = `<svg><a href="/orders?token=7&tab=1"><text id=a>주문</text></a>
    <a xlink:href="https://b.example/?token=7"><text id=b>밖</text></a></svg>
    <a id=c href="tel:010-1234-5678">전화</a> <a id=d href="http://[">틀림</a> <a id=e href="javascript:void(0)">열기</a> <a id=f>없음</a>`;
  const { clicks } = await load();
  clicks();
  for (const id of "abcdef") document.getElementById(id)!.dispatchEvent(new MouseEvent("click", { bubbles: true, composed: true }));
  expect(made().map((event) => event["props"]?.link)).toEqual([
    "http://localhost:3000/orders?token=&tab=1", "https://b.example/?token=", "tel", undefined, "javascript", undefined,
  ]);
  expect(made()[0]!["click_text"]).toBe("주문");
});

it("tells of a request that is used again each time what became of it", async () => {
  const { requests } = await load();
  const opened = XMLHttpRequest.prototype.open;
  vi.spyOn(XMLHttpRequest.prototype, "open").mockImplementation(() => undefined);
  requests();
  const request = new XMLHttpRequest();
  const end = (method: string, path: string, type: string, status: number): void => {
    request.open(method, path);
    Object.defineProperty(request, "status", { value: status, configurable: true });
    request.dispatchEvent(new Event(type));
  };
  end("GET", "/a?x=1", "error", 0);
  end("GET", "/b", "load", 200);
  end("GET", "/c", "timeout", 0);
  end("GET", "/d", "abort", 0);
  end("POST", "/e", "load", 503);
  XMLHttpRequest.prototype.open = opened;
  expect(made().map((event) => [event["error_code"], event["error_message"]])).toEqual([
    ["HTTP_0", "http://localhost:3000/a"],
    ["HTTP_0", "http://localhost:3000/c"],
    ["HTTP_503", "http://localhost:3000/e"],
  ]);
  expect(waiting().length).toBe(3);
  expect(world.sent).toEqual([]);
});
