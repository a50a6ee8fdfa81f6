// A page load in a unit test: the modules anew on the same storage, a collector that answers, and what it was sent.
import { afterEach, beforeEach, vi } from "vitest";

// Pages in tests replace it.
const { parse } = JSON;

export interface Body {
  sent_at?: number;
  clients: { id: string; created: number; pending: number; dropped: Record<string, number>; app_version?: string }[];
  context: Record<string, unknown>;
  events: Record<string, any>[];
}

/** What the collector says of a batch that is on its disk. */
export const SAFE = '{"accepted":1,"rejected":[],"receipt":"0.1.2.3"}';

export const world = {
  sent: [] as Body[],
  answer: (_body: Body): Response | Promise<Response> => new Response(SAFE),
  said: [] as string[],
};

export const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
export const waiting = (): string[] => Object.keys(localStorage).filter((key) => key.includes(":q:"));
/** Every event that waits, in the order they were made. */
export const made = (): Record<string, any>[] =>
  waiting().filter((key) => !gone.has(key.split(":")[2]!)).sort().map((key) => parse(localStorage.getItem(key)!));

// Earlier pages, whose listeners stay: a unit test has one window only.
const gone = new Set<string>();
let client = "";

/** What copies of the SDK leave on a page goes with the page. */
export const forgetCopies = (): void => {
  for (const mark of Object.getOwnPropertySymbols(window)) {
    if (Symbol.keyFor(mark)?.startsWith("sillok")) delete (window as any)[mark];
  }
};

export const load = async (options: object = {}) => {
  vi.resetModules();
  forgetCopies();
  const sillok = await import("../src/index");
  gone.add(client);
  ({ client } = await import("../src/client"));
  sillok.init({ url: "https://c.example/", key: "k", ...options });
  return sillok;
};

// Machines may be slow, and none of these tests waits for a time.
vi.setConfig({ testTimeout: 120_000 });

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 10, 27) });
  localStorage.clear();
  world.sent = [];
  world.said = [];
  world.answer = () => new Response(SAFE);
  globalThis.fetch = vi.fn(async (_url: unknown, init?: RequestInit) => {
    const body = parse(String(init?.body)) as Body;
    world.sent.push(body);
    return world.answer(body);
  });
  vi.spyOn(console, "warn").mockImplementation((...said) => void world.said.push(said.join(" ")));
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.clearAllTimers();
  vi.useRealTimers();
});
