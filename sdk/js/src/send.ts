/**
 * From the queue to the collector: one tab at a time, for every instance, also those that are gone.
 *
 * Only a 200 with the collector's receipt removes an event: a captive portal and a sign-in page answer 200 too. What is
 * sent as a page goes has no answer, and is sent again by the next one; the events keep their ids, so that the collector's
 * processor removes the second.
 */
import { client, clientOf, drop, eventKey, giveUp, instanceKey, instanceOf, save } from "./client";
import { note, quietly, warn } from "./guard";
import { json, parse } from "./json";
import { options } from "./options";
import { forget, keys, named, queue, read, recall, write } from "./store";
import { bytes } from "./text";

/** Hands a batch on; says the status, for how many seconds to wait, and what was refused. 200 is safe, 0 is no answer. */
export type Transport = (body: string) => Promise<[status: number, retryAfterS?: number, rejected?: Rejected[]]>;
/** An event of a batch that the collector took without it. */
interface Rejected {
  index: number;
  code: string;
  message?: string;
}
/** Makes a body smaller, or does not. */
export type Compress = (body: string) => Promise<ArrayBuffer>;

/** How many events of the list are in it, and its body. */
type Batch = [count: number, body: string];

// Browsers give the requests that may outlive a page 64 KiB together.
const ROOM = 6e4;
const SMALL = 1e3;
const ENVELOPE_BYTES = 2e3;
const TIMEOUT_MS = 3e4;
// Then two tabs may send at once: what goes twice is told by its ids.
const LOCK_MS = 1e4;
const REFUSED_MS = 3e5;
const KNOWN = 9;
const BACKOFF_MAX_MS = 6e4;
const WAIT_MAX_MS = 36e5;

let timer: ReturnType<typeof setTimeout> | undefined;
let due = Infinity;
let running: Promise<boolean> | undefined;
let failures = 0;
let limit = 0;
let isPlain = false;
let compress: Compress | undefined;
// The page goes: a request that ends with it says nothing about the collector, and the next page need not wait.
let isGone = false;
// Events were given up, and nobody has been told.
let isOwed = false;
// Before anybody, we among them, listens to it.
const ask = quietly(() => fetch.bind(globalThis))!;

export const useCompress = (found?: Compress): void => {
  compress = found;
};

const target = (): string => options.url + "/v1/events?key=" + options.key;

const post: Transport = async (body) => {
  try {
    const small = isPlain || body.length < SMALL ? undefined : await compress?.(body);
    const answer = await ask(target(), {
      method: "POST",
      body: small ?? body,
      headers: small ? { "Content-Encoding": "gzip" } : {},
      keepalive: !isPlain && (small?.byteLength ?? bytes(body)) < ROOM,
      signal: AbortSignal.timeout?.(TIMEOUT_MS),
    });
    const { status } = answer;
    if (small && status == 415) {
      isPlain = true;
      return post(body);
    }
    const text = await answer.text();
    const { receipt, rejected, error } = quietly(() => parse(text)) ?? {};
    // Whatever else somebody says, on the way here, is no answer.
    const isOurs = status == 200 ? receipt && typeof receipt == "string" : status != 400 || error || receipt || !text;
    return [isOurs ? status : 0, +answer.headers.get("Retry-After")!, rejected];
  } catch {
    // Perhaps the preflight that a compressed body needs did not get through, or the page has other such requests.
    isPlain = !isPlain;
    return [0];
  }
};

let transport = post;
export const useTransport = (found: Transport): void => {
  transport = found;
};

const waitMs = (): number => {
  const left = +read(named("w"))! - Date.now();
  return left > 0 && left <= WAIT_MAX_MS ? left : 0;
};

/** Send in so many milliseconds, or earlier if that is planned already. */
export const soon = (ms: number): void => {
  const now = Date.now();
  isGone = false;
  if (now + ms >= due) return;
  clearTimeout(timer);
  due = now + Math.max(ms, waitMs());
  timer = setTimeout(drain, due - now);
};

/** Send what waits; return whether the queue is empty. */
export const drain = (): Promise<boolean> => {
  due = Infinity;
  clearTimeout(timer);
  const work = (): Promise<boolean> => sendAll().catch(() => false);
  const locks = quietly(() => navigator.locks);
  // One tab sends at a time. The lock goes with its holder, whatever that dies of, but for a page of Firefox that goes
  // in the moment it gets it; there is none in sandboxed frames, and none without TLS.
  const patience = { signal: AbortSignal.timeout?.(LOCK_MS)! };
  return (running ??= (
    (locks?.request(named("send"), patience, work) as unknown as Promise<boolean> | undefined)?.catch(work) ?? work()
  ).finally(() => (running = undefined)));
};

const sendAll = async (): Promise<boolean> => {
  let list: string[] = [];
  let ids: string[] = [];
  let told: string[] = [];
  limit ||= options.batchEvents;
  for (;;) {
    const wait = waitMs();
    if (wait) {
      soon(wait);
      return false;
    }
    // Another tab was faster, or the overflow has it now.
    while (list[0] && !read(list[0])) list.shift();
    if (!list[0]) {
      save();
      const [events, instances] = await queue();
      list = events;
      ids = instances.map(clientOf);
      if (list[0] && recall("o") == "1") {
        list.splice(0).forEach(giveUp);
        continue;
      }
      if (!list[0] && !isOwed) {
        // Nobody needs the memory of instances that have nothing more to say; the last few may be other tabs.
        for (const id of told.slice(0, -KNOWN)) forget(instanceKey(id));
        return true;
      }
    }
    const [count, body] = batchOf(list, ids, limit, options.batchBytes);
    const [status, retryAfterS, rejected] = await transport(body);
    note("sent " + count, status || "no answer of the collector");
    const isBad = status == 400 || status == 413;
    if (status == 200) {
      failures = 0;
      limit = Math.min(limit * 2, options.batchEvents);
      told = ids;
      isOwed = false;
      const sent = list.splice(0, count);
      sent.forEach(forget);
      quietly(() => rejected!.forEach((entry) => quietly(() => refused(sent[entry.index]!, entry))));
    } else if (isBad && count > 1) {
      limit = count >> 1;
    } else if (isBad && count) {
      const key = list.shift()!;
      forget(key);
      drop(clientOf(key), status == 400 ? "refused" : "too_large");
    } else if (isGone && !status) {
      return false;
    } else {
      const ms = retryAfterS! >= 1
        ? retryAfterS! * 1e3
        : /40[13]/.test(status as never)
          ? REFUSED_MS
          : Math.min(BACKOFF_MAX_MS, 1e3 * 2 ** failures++);
      write(named("w"), (Date.now() + Math.min(ms * (1 + Math.random() / 4), WAIT_MAX_MS)) as never);
    }
  }
};

/** Count an event that the collector has kept among the refused: it is in nobody's table. */
const refused = (key: string, { code, message }: Rejected): void => {
  warn("rejected: " + code, message);
  drop(clientOf(key), "rejected");
};

export const owe = (): void => {
  isOwed = true;
};

/** Take what belongs together from the head of the list, the events of one instance, and everybody's report. */
const batchOf = (list: string[], ids: string[], count: number, size: number): Batch => {
  const id = list[0] && clientOf(list[0]);
  const values: string[] = [];
  for (const key of list) {
    const value = read(key);
    if (!value) break;
    size -= bytes(value) + 1;
    if (values[0] && (size < 0 || values.length == count || clientOf(key) != id)) break;
    values.push(value);
  }
  const clients = (id && !ids.includes(id) ? [...ids, id] : ids).map((id) => {
    const { context, ...figures } = instanceOf(id);
    const { platform, app_version } = context;
    const begin = eventKey(id);
    const left = list.filter((key) => key.startsWith(begin));
    const created = Math.max(figures.created, parseInt(left[left.length - 1]?.slice(-6)!, 16) || 0);
    return { id, platform, app_version, ...figures, created, pending: left.length };
  });
  const context = { ...instanceOf(id!).context, client_id: id };
  // Who takes the body from us sends it at a time of his own.
  const sent_at = transport == post ? Date.now() : undefined;
  const head = json({ sent_at, clients, context });
  return [values.length, `${head.slice(0, -1)},"events":[${values.join()}]}`];
};

/** Hand what this page has made to the browser, or the app, which outlives it. */
export const leave = (): void => {
  isGone = true;
  save();
  const [count, body] = batchOf(keys(eventKey(client)), [], Infinity, ROOM - ENVELOPE_BYTES);
  if (count && !waitMs()) transport == post ? navigator.sendBeacon(target(), body) : transport(body);
};
