import type { Fields } from "./fields";

/** What `init` takes; everything but `url` and `key` has a default. */
export interface Options {
  /** Where the collector is, e.g. `https://collect.example.com`. */
  url: string;
  /** The write key, of kind `browser`. It is no secret: every page shows it. */
  key: string;
  /** What is the same for all events of this page: `app_name`, `app_version`, `platform` … */
  context?: Fields;
  /** Namespace in storage. Two apps on one origin with different sources need two names. */
  name?: string;
  /** Events in a batch; as many waiting ones are sent at once. */
  batchEvents?: number;
  /** Bytes of the events in a batch. */
  batchBytes?: number;
  /** Milliseconds an event waits for company. */
  flushMs?: number;
  /** A visitor idle for longer begins a new session. */
  sessionMinutes?: number;
  /** Whether arriving by another campaign begins a new session. */
  newSessionOnCampaign?: boolean;
  /** Keep visitor and session in cookies of this domain, shared by its sub-domains, instead of in storage. */
  cookieDomain?: string;
  /** `false`: nothing is recorded or kept before `optIn()`. */
  consent?: boolean;
  /** More shapes of account numbers to mask. */
  accounts?: (RegExp | string)[];
  /** More names whose query values stay in addresses. */
  queryNames?: string[];
  /** Events kept in memory when the browser stores none; what is beyond is dropped, and counted. */
  queueMax?: number;
  /** Hosts whose failed requests are recorded, besides the page's own. */
  requestHosts?: string[];
  /** Say on the console what is recorded, sent, refused and ignored. */
  debug?: boolean;
  /** What to record by itself: `use: [pages, clicks]`. Not for `sillok/auto`, which has all of them. */
  use?: Part[];
}

/** A part that can be left out of a bundle. It is started by `init`. */
export type Part = () => void;

/** Every option with its default, whose kind is what it must be. */
export const options: Required<Options> = {
  url: "",
  key: "",
  context: {},
  name: "sillok",
  batchEvents: 50,
  batchBytes: 5e4,
  flushMs: 2e3,
  sessionMinutes: 30,
  newSessionOnCampaign: false,
  cookieDomain: "",
  consent: true,
  accounts: [],
  queryNames: [],
  queueMax: 1e4,
  requestHosts: [],
  debug: false,
  use: [],
};
