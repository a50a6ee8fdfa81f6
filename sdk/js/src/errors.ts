/** JavaScript errors and rejected promises. */
import { type EventFields, client, drop, instance, record } from "./client";
import { masks } from "./mask";
import { here } from "./urls";

const PER_PAGE_MAX = 50;
const MESSAGE_MAX = 1e3;
let count = 0;

/** Record an error, or fields that speak of one. */
export const error = (found: unknown, where = ""): string => {
  const { name = "Error", message } = Object(found) as Error;
  return record("error", {
    error_page: here(),
    ...(Object(found) == found && message == undefined
      ? (found as EventFields)
      : { error_code: name, error_message: ((message ?? found) + where).slice(0, MESSAGE_MAX) }),
  });
};

/** The same for what nobody asked for: an error in a loop is one error, and the rest is counted. */
export const unasked = (found: unknown, where?: string): void => {
  if (count++ < PER_PAGE_MAX) error(found, where);
  else {
    instance.created++;
    drop(client, "error_limit");
  }
};

export const errors = (): void => {
  masks();
  addEventListener("error", ({ error: found, message, filename, lineno }) =>
    unasked(found ?? message, ` (${filename.split("?")[0]}:${lineno})`),
  );
  addEventListener("unhandledrejection", (event) => unasked(event.reason));
};
