/** Requests of the page that failed: the status as the error's code. Of the address, nothing behind the path. */
import { unasked } from "./errors";
import { options } from "./options";
import { quietly } from "./store";

const OK_MAX = 399;

const answered = (address: string | URL, status: number): unknown =>
  (!status || status > OK_MAX) &&
  quietly(() => {
    const { host, origin, pathname } = new URL(address, location.href);
    if (host == location.host || options.requestHosts?.includes(host)) {
      unasked({ error_code: "HTTP_" + status, error_message: origin + pathname });
    }
  });

export const requests = (): void => {
  const ask = window.fetch;
  window.fetch = function (...given) {
    const answer = ask.apply(this, given);
    const url = (given[0] as Request).url ?? given[0];
    answer.then(
      ({ status }) => answered(url, status),
      ({ name }) => name == "AbortError" || answered(url, 0),
    );
    return answer;
  };
  const { open } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (this: XMLHttpRequest, ...given: unknown[]) {
    for (const type of ["load", "error"]) {
      this.addEventListener(type, () => answered(given[1] as string, this.status), { once: true });
    }
    return open.apply(this, given as Parameters<typeof open>);
  } as typeof open;
};
