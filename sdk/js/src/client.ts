/**
 * One instance: what a page load is to the books. It numbers its events, keeps them, and counts what it gives up.
 *
 * An event has its number before anything can go wrong with it, so that none is missing silently; and it is in the
 * queue when `record` returns.
 */
import type { EventType, Fields } from "./fields";
import { hex, uuid } from "./ids";
import { options } from "./options";
import { owe, soon } from "./send";
import { forget, keep, keys, named, quietly, read, recall, remember, store } from "./store";
import { here } from "./urls";

declare const VERSION: string;

/** What an event may say of its own, and when it happened. */
export type EventFields = Fields & { time?: number };

/** What an instance says of itself, as the wire has it, and the context of its events. */
export interface Instance {
  created: number;
  dropped: Record<string, number>;
  context: Fields;
  sdk?: string;
}

const PROPS_BYTES = 8e3;
const EVENT_BYTES = 32e3;
// A character is at most three bytes; so few need no counting.
const CHARACTERS_SAFE = 2.6e3;
// Who is here, and whether they may be watched, is looked up so often: other tabs may have changed it.
const LOOK_MS = 500;

export const client = uuid(0);
export const instance: Instance = { created: 0, dropped: {}, context: {}, sdk: "js/" + VERSION };

let base: EventFields = {};
let page: EventFields = {};
let replayed = 0;
let looked = 0;
let isOn = false;
let isFresh = false;
let state = "";
let session = "";
let visitor = "";
let customer = "";

export const eventKey = (id: string, seq = ""): string => named(`q:${id}:${seq}`);
export const instanceKey = (id: string): string => named("c:" + id);
export const clientOf = (key: string): string => key.split(":")[2]!;
export const bytes = (text: string): number => new TextEncoder().encode(text).length;

let mask = (text: string): string => text;
export const useMask = (found: typeof mask): void => {
  mask = found;
};
/** Return the text as it may leave: well-formed, and masked. */
const clean = (text: string): string => mask(text.replace(/[\ud800-\udfff]/gu, "\ufffd"));

/** Called before an event is made; returns what to add to its `props`. */
export const hooks: ((type: EventType) => object | undefined | void)[] = [];

/** Lay fields under the events of this page. */
export const setPage = (fields: EventFields): void => {
  page = fields;
};

/** Whether the session has no event yet. */
export const isFirst = (): boolean => isFresh;

/** Return what is known of an instance. */
export const instanceOf = (id: string): Instance =>
  id == client ? instance : { ...instance, created: 1, dropped: {}, ...quietly(() => JSON.parse(read(instanceKey(id))!)) };

/** Keep what is known of an instance that has made events, for whoever sends them. */
export const save = (id = client, found = instance): unknown =>
  found.created && store(instanceKey(id), JSON.stringify(found));

/** Count an event that is given up. */
export const drop = (id: string, reason: string): void => {
  const found = instanceOf(id);
  found.dropped[reason] = (found.dropped[reason] ?? 0) + 1;
  save(id, found);
  owe();
};

/** The same, because nobody may be told of it any more. */
export const giveUp = (key: string): void => {
  forget(key);
  drop(clientOf(key), "opted_out");
};

/** Look up who is here, in a new session if asked; return whether their events may be recorded. */
export const look = (isNew?: boolean): boolean => {
  const now = Date.now();
  if (!isNew && Math.abs(now - looked) < LOOK_MS) return isOn;
  looked = now;
  const choice = recall("o");
  isOn = !!options.key && (options.consent == false ? choice == "0" : choice != "1");
  if (isOn) {
    visitor = recall("a") || visitor;
    if (!visitor) remember("a", (visitor = uuid(1)));
    state = recall("s") || state;
    const [id, last, ...who] = state.split(".");
    const idle = Math.abs(now - +last!);
    isNew ||= !(idle < options.sessionMinutes * 6e4);
    isFresh ||= isNew;
    session = isNew ? uuid(2) : id!;
    // The next session may be somebody else's.
    customer = isNew ? "" : who.join(".");
    if (isNew || idle > 1e4) keepSession();
  }
  return isOn;
};

const keepSession = (): void => remember("s", (state = `${session}.${Date.now()}.${customer}`));

/** Return the session's id; being asked renews it. */
export const sessionId = (): string => (look() && base.session_id) || session;

const tidy = (_: string, value: unknown): unknown => {
  const text = /string|number|bigint/.test(typeof value) ? clean(String(value)).slice(0, PROPS_BYTES) : value;
  return typeof value == "number" && text![0 as never] != "[" ? value : text;
};

const serialise = (fields: EventFields): string => {
  let json = "";
  return quietly(() => clean((json = JSON.stringify(fields))) == json && json.length < CHARACTERS_SAFE && !/\\[a-u]/.test(json)) ||
    quietly(
      () =>
        bytes((json = JSON.stringify(fields, tidy))) < EVENT_BYTES && bytes(JSON.stringify(fields.props, tidy)) < PROPS_BYTES,
    )
    ? json
    : JSON.stringify({ ...fields, props: { sillok_trimmed: true } }, tidy);
};

/** Record calls as of when they were made. */
export const at = (time: number, call: () => void): void => {
  replayed = time;
  quietly(call);
  replayed = 0;
};

/** Record an event; return its id, or nothing when nothing was recorded. Never throws. */
export const record = (event_type: EventType, fields?: EventFields, event_name?: string): string =>
  quietly(() => {
    if (!look()) return;
    let added: object | undefined;
    for (const hook of hooks) added = hook(event_type) ?? added;
    isFresh = false;
    const seq = ++instance.created;
    // At the first event; and later if it was forgotten meanwhile.
    read(instanceKey(client)) ?? save();
    const event_id = uuid(seq);
    try {
      const {
        time = replayed || Date.now(),
        session_id = session,
        customer_id = customer || undefined,
        props,
        ...more
      } = { anonymous_id: visitor, page_url: here(), ...page, ...base, event_name, ...fields };
      const all = { ...added, ...props };
      const head = JSON.stringify({ event_id, seq, event_type, time, session_id, customer_id });
      const rest = serialise({ ...more, props: Object.keys(all)[0] ? all : undefined });
      if (!keep(eventKey(client, hex(seq, 6)), head.slice(0, -1) + "," + rest.slice(1))) drop(client, "queue_full");
    } catch {
      drop(client, "unserialisable");
    }
    soon(seq % options.batchEvents ? options.flushMs : 0);
    return event_id;
  }) ?? "";

/** Lay fields under every later event; null takes one away. */
export const set = (fields: { [name in keyof EventFields]: EventFields[name] | null }): void => {
  base = { ...base, ...fields } as EventFields;
};

/** Say who is logged in; a `login` when it was somebody else, or nobody. */
export const identify = (customer_id: string): void => {
  const id = customer_id && String(customer_id);
  if (clean(id) != id) return console.warn("sillok: hash the customer_id");
  if (id && look() && id != customer) {
    customer = id;
    keepSession();
    record("login");
  }
};

/** Say that nobody is logged in any more; a `logout` when somebody was. */
export const reset = (more?: { visitor?: boolean }): void => {
  if (look() && customer) record("logout");
  if (more?.visitor) remember("a", (visitor = ""));
  look(true);
};

const choose = (choice: string): void => {
  remember("o", choice);
  looked = 0;
};

/** Record nothing from now on, and forget what has not been sent. */
export const optOut = (): void => {
  keys(named("q:")).forEach(giveUp);
  for (const key of ["a", "s", "t"]) remember(key, "");
  state = visitor = "";
  choose("1");
  soon(0);
};

export const optIn = (): void => choose("0");
