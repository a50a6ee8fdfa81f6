/** The file a page includes: `window.sillok`, after the calls that were made before it came. */
import { track } from "./api";
import { type EventFields, at, identify, optIn, optOut, record, reset, sessionId, set } from "./client";
import { error } from "./errors";
import type { EventType } from "./fields";
import { quietly } from "./guard";
import { parse } from "./json";
import { init } from "./parts";
import { drain as flush } from "./send";

type Call = [name: string, given: ArrayLike<unknown>, time: number];

const api: Record<string, (...given: never[]) => unknown> = {
  init,
  track,
  error,
  identify,
  reset,
  set,
  flush,
  optOut,
  optIn,
  sessionId,
  push: ([name, given, time]: Call) => at(time, () => api[name]!(...(Array.from(given) as never[]))),
};
for (const type of "page_view click checkbox popup tab step search login logout exit".split(" ")) {
  api[type.replace("_v", "V")] = (fields?: EventFields) => record(type as EventType, fields);
}

for (const name of Object.keys(api)) {
  const call = api[name]!;
  api[name] = (...given) => quietly(() => call(...given));
}

const page = window as unknown as { sillok?: Call[] | typeof api };
const early = page.sillok;
const script = document.currentScript as HTMLScriptElement | null;
const { dataset } = script ?? ({ dataset: {} } as HTMLScriptElement);
const isCopy = !!early?.push && !Array.isArray(early);
// The tag a second time, or another version of it: the page goes on with the first. Under a name of its own it is another app.
const first = isCopy && !dataset["name"] ? (early as typeof api) : api;
if (!isCopy) page.sillok = api;

if (dataset["key"] || dataset["debug"] != null) {
  const { appName, appVersion, ...given } = dataset;
  const options: Record<string, unknown> = {
    // Of a script within the page there is none.
    url: quietly(() => new URL(script!.src).origin),
    context: { app_name: appName, app_version: appVersion },
  };
  if (given["debug"] == "") given["debug"] = "true";
  for (const name of Object.keys(given)) options[name] = quietly(() => parse(given[name]!)) ?? given[name];
  // `parse` would make a number of a key.
  for (const name of ["key", "name", "url", "cookieDomain"]) if (given[name]) options[name] = given[name];
  first["init"]!(options as never);
}
if (Array.isArray(early)) early.forEach(api["push"] as (call: Call) => unknown);
