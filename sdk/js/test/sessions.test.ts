// What a person does begins and prolongs a session; what only happens belongs to one, or to none.
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { load, made, pass, world } from "./page";

const MINUTES = 60_000;
const source = readFileSync(`${process.cwd()}/../../contract/event.py`, "utf8");
const doing = [...source.match(/TYPES_OF_DOING[^{]*\{([^}]*)\}/)![1]!.matchAll(/"(\w+)"/g)].map((found) => found[1]!);
const CALLS = ["pageView", "click", "checkbox", "popup", "tab", "step", "search", "login", "logout", "error", "exit"];
const typeOf = (call: string): string => call.replace("V", "_v");
const sessions = (): (string | undefined)[] => made().map((event) => event["session_id"]);
const touch = (isActive: boolean): void => {
  Object.defineProperty(navigator, "userActivation", { value: { isActive }, configurable: true });
};

afterEach(() => {
  delete (navigator as any).userActivation;
  history.replaceState(null, "", "/");
  document.title = "";
});

it.each(CALLS)("%s begins and prolongs a session only where the contract says so", async (call) => {
  const sillok = (await load({ flushMs: 9e7 })) as any;
  sillok[call]({});
  const isDoing = doing.includes(typeOf(call));
  expect(sessions()).toEqual([isDoing ? expect.any(String) : undefined]);
  sillok.click();
  const session = made().pop()!["session_id"];
  for (let i = 0; i < 3; i++) {
    await pass(20 * MINUTES);
    sillok[call]({});
  }
  const later = sessions().slice(-3);
  expect(later).toEqual(isDoing ? [session, session, session] : [session, undefined, undefined]);
});

it.each([true, false])("custom is somebody's doing with a touch: %s", async (isActive) => {
  touch(isActive);
  const { track } = await load({ flushMs: 9e7 });
  track("a");
  expect(sessions()).toEqual([isActive ? expect.any(String) : undefined]);
});

it("a tab left open over lunch and closed, and a poll that fails all day, make no session", async () => {
  const { click, error, exit, identify, reset, sessionId, track } = await load({ flushMs: 9e8, batchEvents: 9e8 });
  click();
  identify("c-1");
  const session = sessionId();
  for (let i = 0; i < 100; i++) {
    await pass(5 * MINUTES);
    error({ error_code: "HTTP_503" });
    track("poll");
    sessionId();
  }
  exit();
  const late = made().slice(2 + 2 * 6);
  expect(made()[3]).toMatchObject({ session_id: session, customer_id: "c-1" });
  expect(late.filter((event) => "session_id" in event || "customer_id" in event || event["props"])).toEqual([]);
  expect(sessionId()).toBe("");
  click();
  expect(made().pop()!["session_id"]).not.toBe(session);
  reset();
  exit();
  expect("session_id" in made().pop()!).toBe(false);
});

it("the campaign is told with the first thing a person does, not with an error before", async () => {
  history.replaceState(null, "", "/?utm_source=naver");
  const { campaigns, click, error } = await load({ flushMs: 9e7 });
  campaigns();
  error("x");
  click();
  click();
  expect(made().map((event) => event["props"]?.first_touch)).toEqual([undefined, "utm_source=naver", undefined]);
});

describe("page views", () => {
  const views = (): string[] => made().filter((event) => event["event_type"] == "page_view").map((event) => event["page_url"].replace("http://localhost:3000", ""));
  const start = async (path: string) => {
    history.replaceState(null, "", path);
    const { push, replace } = { push: history.pushState, replace: history.replaceState };
    const sillok = await load({ flushMs: 9e7 });
    sillok.pages();
    return () => Object.assign(history, { pushState: push, replaceState: replace });
  };

  it.each<[string, string]>([
    ["/orders?utm_source=naver&utm_medium=cpc", "/orders"],
    ["/orders?gclid=abc&tab=1", "/orders?tab=1"],
    ["/orders?tab=1&fbclid=abc", "/orders?tab=1"],
    ["/orders?code=secret&state=x", "/orders"],
    ["/orders?code=secret#top", "/orders#other"],
    ["/orders", "/orders?modal=1"],
    ["/docs/", "/docs/#/"],
    ["/docs/#/", "/docs/"],
    ["/docs/", "/docs/#!/"],
    ["/docs/#/?utm_source=naver", "/docs/#/"],
    ["/docs/#/quotes?utm_source=naver", "/docs/#/quotes"],
    ["/docs/#/quotes?id=heading", "/docs/#/quotes?id=other"],
  ])("%s and %s are one", async (before, after) => {
    const end = await start(before);
    history.replaceState(null, "", after);
    dispatchEvent(new Event("hashchange"));
    await pass(10);
    end();
    expect(views().length).toBe(1);
  });

  it.each<[string, string]>([
    ["/orders", "/orders/7"],
    ["/orders?tab=1", "/orders?tab=2"],
    ["/docs/", "/docs/#/quotes"],
    ["/docs/#/quotes", "/docs/#/"],
    ["/docs/#/quotes", "/docs/#/orders"],
  ])("%s and %s are two", async (before, after) => {
    const end = await start(before);
    history.pushState(null, "", after);
    await pass(10);
    end();
    expect(views().length).toBe(2);
  });

  it("a page that is prepared and never seen is none", async () => {
    Object.defineProperty(document, "prerendering", { value: true, configurable: true });
    history.replaceState(null, "", "/?utm_source=naver");
    localStorage.setItem("sillok:s", `before.${Date.now()}.`);
    const sillok = await load({ flushMs: 9e7, newSessionOnCampaign: true });
    sillok.campaigns();
    sillok.pages();
    expect(made()).toEqual([]);
    expect(localStorage.getItem("sillok:s")).toMatch(/^before/);
    delete (document as any).prerendering;
    document.dispatchEvent(new Event("prerenderingchange"));
    expect(made().map((event) => event["event_type"])).toEqual(["page_view"]);
    expect(sessions()[0]).not.toBe("before");
  });
});

describe("copies", () => {
  const parts = (s: any) => [s.masks, s.pages, s.clicks, s.errors, s.requests];

  it("of any version count once what nobody calls for, and each what it is called for", async () => {
    document.body.innerHTML = "<button id=b>매수</button>";
    document.body.dataset["sillokPageCode"] = "M1";
    const first = await load({ flushMs: 9e7 });
    for (const part of parts(first)) part();
    vi.resetModules();
    const second = await import("../src/index");
    second.init({ url: "https://c.example", key: "k", flushMs: 9e7, use: parts(second) });
    expect(second.click).not.toBe(first.click);
    document.querySelector<HTMLElement>("#b")!.click();
    dispatchEvent(new ErrorEvent("error", { message: "x" }));
    second.track("mine");
    expect(made().map((event) => event["event_name"] ?? event["event_type"]).sort()).toEqual(["click", "error", "mine", "page_view"]);
    expect(new Set(sessions()).size).toBe(1);
    expect(new Set(made().map((event) => event["page_code"]))).toEqual(new Set(["M1"]));
    delete document.body.dataset["sillokPageCode"];
  });

  it("under two names are two apps", async () => {
    const first = await load({ flushMs: 9e7, name: "web" });
    first.pages();
    vi.resetModules();
    const second = await import("../src/index");
    second.init({ url: "https://c.example", key: "k", flushMs: 9e7, name: "other", use: [second.pages] });
    expect(Object.keys(localStorage).filter((key) => key.includes(":q:")).map((key) => key.split(":")[0])).toEqual(["web", "other"]);
    expect(world.sent).toEqual([]);
  });
});
