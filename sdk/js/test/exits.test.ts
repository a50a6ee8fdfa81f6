import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { forgetCopies } from "./page";

const AWAY = "https://other.example/";
const listen = addEventListener;
type Way = (document: Document) => void;

/** How many exits are waiting after these steps, and then the page's going. */
const exitsAfter = async (steps: () => void): Promise<number> => {
  vi.resetModules();
  localStorage.clear();
  forgetCopies();
  const listening = new AbortController();
  const { signal } = listening;
  vi.stubGlobal("addEventListener", (type: string, work: () => void, more?: object) =>
    listen(type, work, { ...more, signal }),
  );
  const { init, exits } = await import("../src/index");
  init({ url: "https://c.example", key: "k", flushMs: 1e9, use: [exits] });
  // After ours, as late as a page can: jsdom knows no other page to go to.
  addEventListener("click", (event) => event.preventDefault());
  steps();
  dispatchEvent(new Event("pagehide"));
  listening.abort();
  return Object.entries(localStorage).filter(([key, value]) => key.includes(":q:") && JSON.parse(value).event_type == "exit").length;
};
const click = (selector: string, how: MouseEventInit = {}): unknown =>
  document.querySelector(selector)!.dispatchEvent(new MouseEvent("click", { bubbles: true, composed: true, cancelable: true, ...how }));

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 10, 27) });
  navigator.sendBeacon = () => true;
  document.head.innerHTML = "";
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it.each([
  ["a link", `<a href=${AWAY}>x</a>`, "a"],
  ["something in a link", `<a href=${AWAY}><b><i>x</i></b></a>`, "i"],
  ["an icon in a link", `<a href=${AWAY}><svg><use href=#x></use></svg></a>`, "use"],
  ["an area", `<map><area href=${AWAY}></map>`, "area"],
  ["a link in a shadow", "<div id=host></div>", "#host"],
])("without the Navigation API a visitor leaves by %s", async (_, html, selector) => {
  document.body.innerHTML = html;
  const host = document.querySelector("#host");
  host && (host.attachShadow({ mode: "open" }).innerHTML = `<a href=${AWAY}>x</a>`);
  const steps = (): unknown =>
    host ? host.shadowRoot!.querySelector("a")!.dispatchEvent(new MouseEvent("click", { bubbles: true, composed: true, cancelable: true })) : click(selector);
  expect(await exitsAfter(steps)).toBe(1);
});

it.each([
  ["a link of the site", "<a href=/next>x</a>", {}],
  ["a link below it", `<a href=http://trade.${location.host}/>x</a>`, {}],
  ["an anchor", "<a href=#top>x</a>", {}],
  ["a link into another tab", `<a href=${AWAY} target=_blank>x</a>`, {}],
  ["a link into a frame", `<a href=${AWAY} target=frame>x</a>`, {}],
  ["a download", `<a href=${AWAY} download>x</a>`, {}],
  ["a telephone number", "<a href=tel:0212345678>x</a>", {}],
  ["a letter", "<a href=mailto:hong@example.com>x</a>", {}],
  ["another app", "<a href='intent://pay#Intent;end'>x</a>", {}],
  ["a script's address", "<a href='javascript:void 0'>x</a>", {}],
  ["what is no address", "<a href='https://'>x</a>", {}],
  ["a link without one", "<a>x</a>", {}],
  ["a link that opens a tab by Ctrl", `<a href=${AWAY}>x</a>`, { ctrlKey: true }],
  ["by Command", `<a href=${AWAY}>x</a>`, { metaKey: true }],
  ["by Shift", `<a href=${AWAY}>x</a>`, { shiftKey: true }],
  ["by Alt, which downloads", `<a href=${AWAY}>x</a>`, { altKey: true }],
  ["by the middle button", `<a href=${AWAY}>x</a>`, { button: 1 }],
  ["a link of a drawing", `<svg><a href=${AWAY} class=x></a></svg>`, {}],
])("and stays with %s", async (_, html, how) => {
  document.body.innerHTML = html;
  expect(await exitsAfter(() => click("a", how))).toBe(0);
});

it.each<[string, Way]>([
  ["the page goes by itself, is reloaded or closed", () => undefined],
  ["the page has kept the link from going", () => {
    document.querySelector("a")!.addEventListener("click", (event) => event.preventDefault());
    click("a");
  }],
  ["every link opens a tab", () => {
    document.head.innerHTML = "<base target=_blank>";
    click("a");
  }],
  ["a link of the site is clicked after it", () => {
    click("a");
    click("#next");
  }],
  ["the link turned out to be a download, a while ago", () => {
    click("a");
    vi.setSystemTime(Date.now() + 11_000);
  }],
  ["the click was on nothing", () => {
    dispatchEvent(new MouseEvent("click"));
    document.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    click("button");
  }],
])("a visitor has not left when %s", async (_, way) => {
  document.body.innerHTML = `<a href=${AWAY}>x</a><a id=next href=/next>y</a><button>z</button>`;
  expect(await exitsAfter(() => way(document))).toBe(0);
});

type Told = { url: string; sameDocument?: boolean };
const withTheApi = (): ((told?: Told) => void) => {
  document.body.innerHTML = `<a href=${AWAY}>x</a>`;
  const navigation = new EventTarget();
  vi.stubGlobal("navigation", navigation);
  return (destination) => navigation.dispatchEvent(Object.assign(new Event("navigate"), destination && { destination }));
};

it.each<[string, Told[], number]>([
  ["goes to another site", [{ url: AWAY }], 1],
  ["to a site whose name begins alike", [{ url: "http://localhost.example/" }], 1],
  ["to another site, and then to a page of this one", [{ url: AWAY }, { url: location.href }], 0],
  ["to a page of the site, and then to another", [{ url: location.href }, { url: AWAY }], 1],
  ["to a page of the site", [{ url: location.href }], 0],
  ["to a route of the page, and is closed", [{ url: location.href, sameDocument: true }], 1],
  ["calls a telephone, and is closed", [{ url: "tel:0212345678" }], 1],
  ["tells what nobody understands, and is closed", [{ url: "no address" }], 1],
  ["is closed", [], 1],
])("with the API a page that %s: %j", async (_, told, count) => {
  const tell = withTheApi();
  expect(await exitsAfter(() => told.forEach(tell))).toBe(count);
});

it.each<[KeyboardEventInit, number]>([
  [{ key: "F5" }, 0],
  [{ key: "F5", ctrlKey: true }, 0],
  [{ key: "BrowserRefresh" }, 0],
  [{ key: "r", code: "KeyR", ctrlKey: true }, 0],
  [{ key: "ㄱ", code: "KeyR", metaKey: true }, 0],
  [{ key: "r", code: "KeyR" }, 1],
  [{ key: "w", code: "KeyW", ctrlKey: true }, 1],
])("the keys of a reload are no exit, those of closing are: %j", async (key, count) => {
  withTheApi();
  expect(await exitsAfter(() => dispatchEvent(new KeyboardEvent("keydown", key)))).toBe(count);
});

it.each([
  [50_000, 0],
  [70_000, 1],
])("a page of the site that takes its server %d ms", async (late, count) => {
  const tell = withTheApi();
  const steps = (): void => {
    tell({ url: location.href });
    vi.setSystemTime(Date.now() + late);
  };
  expect(await exitsAfter(steps)).toBe(count);
});

it("a page that comes back from the cache and is closed has left once", async () => {
  document.body.innerHTML = `<a href=${AWAY}>x</a>`;
  const count = await exitsAfter(() => {
    click("a");
    dispatchEvent(new Event("pagehide"));
  });
  expect(count).toBe(1);
});
