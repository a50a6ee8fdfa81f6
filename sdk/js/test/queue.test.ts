import { afterEach, beforeEach, expect, it, vi } from "vitest";

type Answer = [status: number, retryAfter?: string];
interface Sent {
  sent_at: number;
  clients: { id: string; created: number; pending: number; dropped: Record<string, number>; app_version?: string }[];
  context: Record<string, unknown>;
  events: Record<string, unknown>[];
}

// What the collector says of a batch that is on its disk.
const SAFE = JSON.stringify({ accepted: 1, rejected: [], receipt: "0.1.2.3" });

let answers: Answer[];
let sent: Sent[];
let blocked = false;

/** A page load: the modules anew, on the same storage. */
const load = async (options: object = {}) => {
  vi.resetModules();
  const sillok = await import("../src/index");
  sillok.init({ url: "https://c.example/", key: "k", ...options });
  return sillok;
};
const waiting = (): string[] => Object.keys(localStorage).filter((key) => key.includes(":q:"));
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 10, 27) });
  localStorage.clear();
  blocked = false;
  answers = [];
  sent = [];
  globalThis.fetch = vi.fn(async (_url: unknown, init?: RequestInit) => {
    sent.push(JSON.parse(String(init?.body)));
    const [status, retryAfter] = answers.shift() ?? [200];
    if (!status) throw new TypeError("Failed to fetch");
    return new Response(SAFE, { status, headers: retryAfter ? { "Retry-After": retryAfter } : {} });
  });
  vi.spyOn(Storage.prototype, "setItem").mockImplementation(function (this: Storage, key: string, value: string) {
    if (blocked) throw new DOMException("full", "QuotaExceededError");
    Object.defineProperty(this, key, { value, configurable: true, enumerable: true, writable: true });
  });
  vi.spyOn(Storage.prototype, "getItem").mockImplementation(function (this: Storage, key: string) {
    return Object.getOwnPropertyDescriptor(this, key)?.value ?? null;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

it("has the event in storage when the call returns, and removes it at a 200 alone", async () => {
  const { track } = await load();
  const id = track("a");
  expect(waiting().map((key) => JSON.parse(localStorage.getItem(key)!).event_id)).toEqual([id]);
  await pass(2_000);
  expect(sent.map((body) => body.events.map((event) => event["event_id"]))).toEqual([[id]]);
  expect(waiting()).toEqual([]);
});

it.each([[0], [408], [429], [500], [503], [404], [201]])("keeps the queue at %d, and sends the same ids again", async (status) => {
  const { track } = await load();
  answers = [[status], [status]];
  const ids = [track("a"), track("b")];
  await pass(10_000);
  expect(sent.length).toBe(3);
  for (const body of sent) expect(body.events.map((event) => event["event_id"])).toEqual(ids);
  expect(waiting()).toEqual([]);
});

it("waits longer each time, at most a minute, and no new event shortens it", async () => {
  const { track } = await load();
  answers = Array.from({ length: 12 }, () => [500]);
  const times: number[] = [];
  vi.mocked(fetch).mockImplementation(async () => {
    times.push(Date.now());
    return new Response("", { status: 500 });
  });
  for (let i = 0; i < 600; i++) {
    track("a");
    await pass(1_000);
  }
  const gaps = times.slice(1).map((time, i) => time - times[i]!);
  expect(gaps.slice(0, 5).every((gap, i) => gap >= 1_000 * 2 ** i && gap <= 1_250 * 2 ** i + 2_000)).toBe(true);
  expect(Math.max(...gaps)).toBeLessThanOrEqual(77_000);
  expect(times.length).toBeLessThan(20);
});

it("waits as long as it is told, in every tab", async () => {
  const first = await load();
  answers = [[429, "30"]];
  first.track("a");
  await pass(2_000);
  const second = await load();
  second.track("b");
  await pass(27_000);
  expect(sent.length).toBe(1);
  await pass(15_000);
  expect(waiting()).toEqual([]);
});

it.each([[401], [403]])("asks again only minutes later at %d", async (status) => {
  const { track } = await load();
  answers = [[status]];
  track("a");
  await pass(299_000);
  expect(sent.length).toBe(1);
  await pass(90_000);
  expect(waiting()).toEqual([]);
});

it.each([
  [400, "refused"],
  [413, "too_large"],
])("halves a batch at %d until the guilty event stands alone, and counts it as %s", async (status, reason) => {
  const { track } = await load();
  vi.mocked(fetch).mockImplementation(async (_url, init) => {
    const body = JSON.parse(String(init?.body)) as Sent;
    sent.push(body);
    return new Response(SAFE, { status: body.events.some((event) => event["event_name"] == "bad") ? status : 200 });
  });
  const good = Array.from({ length: 40 }, (_, i) => track(i == 17 ? "bad" : "good")).filter((_, i) => i != 17);
  await pass(5_000);
  expect(waiting()).toEqual([]);
  const arrived = sent.filter((body) => body.events.every((event) => event["event_name"] != "bad")).flatMap((body) => body.events);
  expect(arrived.map((event) => event["event_id"]).sort()).toEqual(good.sort());
  const last = sent[sent.length - 1]!;
  expect(last.clients[0]).toMatchObject({ created: 40, pending: last.events.length, dropped: { [reason]: 1 } });
});

it("sends at once when a batch is full", async () => {
  const { track } = await load({ batchEvents: 10, flushMs: 60_000 });
  for (let i = 0; i < 10; i++) track("a");
  await pass(10);
  expect(sent.map((body) => body.events.length)).toEqual([10]);
});

it("sends what an instance that is gone has left, as its own, and tells of it until a 200 has heard it", async () => {
  const gone = await load({ context: { app_version: "1.0" } });
  for (let i = 0; i < 3; i++) gone.track("a");
  const key = waiting()[0]!;
  const id = key.split(":")[2];
  vi.clearAllTimers(); // its page is gone
  answers = [[503]];
  const next = await load({ context: { app_version: "2.0" } });
  next.track("b");
  await pass(20_000);
  expect(waiting()).toEqual([]);
  const adopted = sent.filter((body) => body.context["client_id"] == id);
  expect(adopted[adopted.length - 1]!.context["app_version"]).toBe("1.0");
  expect(adopted[adopted.length - 1]!.clients.find((client) => client.id == id)).toMatchObject({ created: 3, pending: 3, app_version: "1.0" });
});

it("sends what another tab records later with that tab's own context", async () => {
  const other = await load({ context: { app_version: "1.0" }, flushMs: 60_000 });
  other.track("a");
  const id = waiting()[0]!.split(":")[2];
  const ours = await load({ context: { app_version: "2.0" } });
  for (const later of [0, 1, 2]) {
    other.track("later", { props: { later } });
    ours.track("b");
    await pass(5_000);
  }
  const contexts = sent.filter((body) => body.context["client_id"] == id).map((body) => body.context["app_version"]);
  expect(contexts).toEqual(["1.0", "1.0", "1.0"]);
});

it("remembers the last instances alone, and one that is still there makes itself known again", async () => {
  const other = await load({ context: { app_version: "1.0" }, flushMs: 9e9 });
  other.track("a");
  const id = waiting()[0]!.split(":")[2]!;
  const known = () => Object.keys(localStorage).filter((key) => key.startsWith("sillok:c:"));
  let ours = other;
  for (let i = 0; i < 12; i++) {
    ours = await load({ context: { app_version: "2.0" } });
    ours.track("b");
    await pass(3_000);
  }
  expect(known().length).toBeLessThanOrEqual(10);
  expect(known().some((key) => key.endsWith(id))).toBe(false);
  other.track("later");
  ours.track("b");
  await pass(3_000);
  const last = sent.filter((body) => body.context["client_id"] == id).pop()!;
  expect(last.events[0]).toMatchObject({ event_name: "later", seq: 2 });
  expect(last.context["app_version"]).toBe("1.0");
});

it("keeps events in memory when storage takes none, up to a number, and counts what is beyond", async () => {
  blocked = true;
  const { track } = await load({ queueMax: 30 });
  answers = [[503]];
  for (let i = 0; i < 50; i++) track("a");
  await pass(20_000);
  const arrived = sent.slice(1).flatMap((body) => body.events).length;
  const { created, dropped } = sent[sent.length - 1]!.clients[0]!;
  expect(created).toBe(50);
  expect(arrived + dropped["queue_full"]!).toBe(50);
  expect(arrived).toBeGreaterThan(20);
});

it("counts what is beyond also where storage would take it, but has had its share", async () => {
  const { track } = await load({ queueMax: 30 });
  answers = [[503]];
  for (let i = 0; i < 700; i++) track("a", { props: { text: "x".repeat(1_000) } });
  await pass(60_000);
  expect(waiting()).toEqual([]);
  const arrived = new Set(sent.slice(1).flatMap((body) => body.events.map((event) => event["event_id"]))).size;
  const { created, dropped } = sent[sent.length - 1]!.clients[0]!;
  expect(created).toBe(700);
  expect(dropped["queue_full"]).toBeGreaterThan(100);
  expect(arrived + dropped["queue_full"]!).toBe(700);
});

it("numbers every event, whatever it holds, and what it cannot hold is trimmed and marked", async () => {
  const { track } = await load();
  const circle: { own?: object } = {};
  circle.own = circle;
  track("circle", { props: { circle } });
  track("long", { props: { text: "가".repeat(9_000) } });
  track("fine", { props: { big: 12345678901234567890n, lone: "\ud800" } as never });
  await pass(3_000);
  const events = sent.flatMap((body) => body.events);
  expect(events.map((event) => event["seq"])).toEqual([1, 2, 3]);
  expect(events.map((event) => event["props"])).toEqual([
    { sillok_trimmed: true },
    { sillok_trimmed: true },
    { big: "12345678901234567890", lone: "\ufffd" },
  ]);
});

it("makes a hundred thousand different ids", async () => {
  const { uuid } = await import("../src/ids");
  const ids = new Set<string>();
  for (let i = 0; i < 100_000; i++) {
    if (i % 4_000 == 0) vi.advanceTimersByTime(1);
    ids.add(uuid(i));
  }
  expect(ids.size).toBe(100_000);
  for (const id of [...ids].slice(0, 100)) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
