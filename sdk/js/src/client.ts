/**
 * One instance: what a page load is to the books. It numbers its events, keeps them, and counts what it gives up.
 *
 * An event has its number before anything can go wrong with it, so that none is missing silently; and it is in the
 * queue when `record` returns.
 */
import { serialise } from "./event";
import type { EventType, Fields } from "./fields";
import { note, quietly, warn } from "./guard";
import { hex, uuid } from "./ids";
import { json, parse } from "./json";
import { isNamed } from "./kinds";
import { isNobody } from "./nobody";
import { options } from "./options";
import { owe, soon } from "./send";
import { isAhead, seen } from "./seen";
import { forget, keep, keys, named, read, recall, remember, store } from "./store";
import { clean } from "./text";
import { typed } from "./typed";
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

// Who is here, and whether they may be watched, is looked up so often: other tabs may have changed it.
const LOOK_MS = 500;
// What a person does, and so what begins and prolongs a session; the rest happens to whoever is there (contract/event.py).
const DOING = /^(page_view|click|checkbox|tab|step|search|login|logout)$/;

export const client = uuid(0);
export const instance: Instance = { created: 0, dropped: {}, context: {}, sdk: "js/" + VERSION };

let laid: object = {};
let base: EventFields = {};
let page: EventFields = {};
let replayed: unknown;
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

/** Called before an event is made; returns what to add to its `props`. */
export const hooks: ((type: EventType) => object | undefined | void)[] = [];

/** Lay fields under the events of this page. */
export const setPage = (fields: EventFields): void => {
  page = typed(fields);
};

/** Whether the session has no event yet. */
export const isFirst = (): boolean => isFresh;

/** Return what is known of an instance. */
export const instanceOf = (id: string): Instance =>
  id == client ? instance : { ...instance, created: 1, dropped: {}, ...quietly(() => parse(read(instanceKey(id))!)) };

/** Keep what is known of an instance that has made events, for whoever sends them. */
export const save = (id = client, found = instance): unknown =>
  found.created && store(instanceKey(id), json(found));

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

/**
 * Look up who is here; return whether their events may be recorded. A person's doing begins a session when there is none,
 * and prolongs it; whatever else happens belongs to it as long as it lasts, and to none afterwards.
 */
export const look = (isDoing?: boolean): boolean => {
  const now = Date.now();
  if (Math.abs(now - looked) > LOOK_MS) {
    looked = now;
    const choice = recall("o");
    isOn = !!options.key && (options.consent == false ? choice == "0" : choice != "1");
    if (isOn) {
      const known = recall("a");
      visitor = isNobody(known) ? visitor : known;
      if (!visitor) remember("a", (visitor = uuid(1)));
      state = recall("s") || state;
    }
  }
  if (isOn) {
    const [id, last, ...who] = state.split(".");
    const idle = Math.abs(now - +last!);
    const isOver = !(idle < options.sessionMinutes * 6e4);
    session = isOver ? "" : id!;
    // The next session may be somebody else's.
    customer = isOver ? "" : who.join(".");
    if (isDoing && isOver) {
      isFresh = true;
      session = uuid(2);
    }
    if (isDoing && !(idle < 1e4)) keepSession();
  }
  return isOn;
};

const keepSession = (): void => remember("s", (state = `${session}.${Date.now()}.${customer}`));

/** End the session; whatever a person does next begins another. In other tabs too, which remember the last they saw. */
export const endSession = (): unknown => look() && remember("s", (state = ".0."));

/** Return the session's id, if there is one: asking is nobody's doing. */
export const sessionId = (): string => (look() && base.session_id) || session;

/** Record calls as of when they were made. */
export const at = (time: unknown, call: () => void): void => {
  replayed = time;
  quietly(call);
  replayed = undefined;
};

/** Record an event; return its id, or nothing when nothing was recorded. Never throws. */
export const record = (event_type: EventType, fields?: EventFields, event_name?: string): string =>
  quietly(() => {
    // Of a page that nobody may ever open.
    if (isAhead()) return seen(() => record(event_type, fields, event_name)) as undefined;
    const isCustom = event_type == "custom";
    const isDoing = DOING.test(event_type) || (isCustom && navigator.userActivation?.isActive);
    if (!look(isDoing)) return note("not recorded, for want of consent", event_type) as undefined;
    let added: object | undefined | void;
    for (const hook of hooks) added = quietly(() => hook(event_type)) ?? added;
    if (isDoing) isFresh = false;
    const seq = ++instance.created;
    // At the first event; and later if it was forgotten meanwhile.
    read(instanceKey(client)) ?? save();
    const event_id = uuid(seq);
    try {
      const own = typed(fields);
      const {
        time = Date.now(),
        session_id = session || undefined,
        customer_id = customer || undefined,
        props: _,
        ...more
      } = {
        anonymous_id: visitor,
        page_url: here(),
        ...page,
        ...base,
        ...(isCustom && { event_name: "unnamed" }),
        ...typed({ event_name, time: replayed }),
        ...own,
      };
      const props = { ...added, ...page.props, ...base.props, ...own.props };
      const head = json({ event_id, seq, event_type, time, session_id, customer_id });
      const rest = serialise({ ...more, props: Object.keys(props)[0] ? props : undefined });
      const event = head.slice(0, -1) + "," + rest.slice(1);
      if (!keep(eventKey(client, hex(seq, 6)), event)) drop(client, "queue_full");
      note("recorded", event);
    } catch {
      drop(client, "unserialisable");
    }
    soon(seq % options.batchEvents ? options.flushMs : 0);
    return event_id;
  }) ?? "";

/** Lay fields under every later event; null takes one away, and so does what cannot be. */
export const set = (fields: { [name in keyof EventFields]: EventFields[name] | null }): void => {
  base = typed((laid = { ...laid, ...(isNamed(fields) ? fields : typed(fields)) }));
};

/** Say who is logged in; a `login` when it was somebody else, or nobody. */
export const identify = (customer_id: string): void => {
  const id = typed({ customer_id }).customer_id;
  if (clean(customer_id + "") != customer_id + "") return warn("hash the customer_id");
  if (id && look(true) && id != customer) {
    customer = id;
    keepSession();
    record("login");
  }
};

/** Say that nobody is logged in any more; a `logout` when somebody was. */
export const reset = (more?: { visitor?: boolean }): void => {
  if (look() && customer) record("logout");
  if (more?.visitor) remember("a", (visitor = ""));
  endSession();
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
