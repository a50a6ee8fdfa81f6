/** Requests of the page that failed: the status as the error's code. Of the address, nothing behind the path. */
import { taken } from "./copies";
import { unasked } from "./errors";
import { quietly } from "./guard";
import { options } from "./options";

const OK_MAX = 399;

const answered = (address: unknown, status: number): void => {
  if (!status || status > OK_MAX) {
    const { host, origin, pathname } = new URL(address as string, location.href);
    if (host == location.host || options.requestHosts.includes(host)) {
      unasked({ error_code: "HTTP_" + status, error_message: origin + pathname });
    }
  }
};

export const requests = (): void => {
  if (taken("requests")) return;
  const ask = window.fetch;
  window.fetch = function (...given) {
    const answer = ask.apply(this, given);
    quietly(() => {
      const [asked, how] = given as [Request, RequestInit?];
      const url = asked.url ?? asked;
      answer.then(
        ({ status }) => quietly(() => answered(url, status)),
        // Who gives up does so with whatever reason; only a patience that ended is a failure.
        (found) => quietly(() => ((how?.signal ?? asked.signal)?.aborted && found?.name != "TimeoutError") || answered(url, 0)),
      );
    });
    return answer;
  };
  const { prototype } = XMLHttpRequest;
  const { open } = prototype;
  const addresses = new WeakMap<XMLHttpRequest, unknown>();
  prototype.open = function (this: XMLHttpRequest, ...given: unknown[]) {
    quietly(() => {
      // The same object may be used again.
      const isKnown = addresses.has(this);
      addresses.set(this, given[1]);
      for (const type of isKnown ? [] : ["load", "error", "timeout"]) {
        this.addEventListener(type, () => quietly(() => answered(addresses.get(this), this.status)));
      }
    });
    return open.apply(this, given as Parameters<typeof open>);
  } as typeof open;
};
