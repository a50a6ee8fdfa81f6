/** The file a page includes: `window.sillok`, after the calls that were made before it came. */
import { track } from "./api";
import { type EventFields, at, identify, optIn, optOut, record, reset, sessionId, set } from "./client";
import { error } from "./errors";
import type { EventType } from "./fields";
import { type AutoOptions, init } from "./parts";
import { drain as flush } from "./send";
import { quietly } from "./store";

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

for (const name in api) {
  const call = api[name]!;
  api[name] = (...given) => quietly(() => call(...given));
}

const page = window as unknown as { sillok?: Call[] | typeof api };
const early = page.sillok;
page.sillok = api;

const script = document.currentScript as HTMLScriptElement | null;
if (script?.dataset["key"]) {
  const { appName, appVersion, ...given } = script.dataset;
  const options: Record<string, unknown> = {
    url: new URL(script.src).origin,
    context: { app_name: appName, app_version: appVersion },
  };
  for (const name in given) {
    options[name] = quietly(() => JSON.parse(given[name]!)) ?? given[name];
  }
  init(options as unknown as AutoOptions);
}
if (Array.isArray(early)) early.forEach(api["push"] as (call: Call) => unknown);
