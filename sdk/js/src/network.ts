/** What the browser says of the network: of what kind it is, and that it is back. */
import { instance } from "./client";
import { on } from "./guard";
import { soon } from "./send";
import { forget, named } from "./store";

export const network = (): void => {
  const { connection } = navigator as { connection?: { effectiveType?: string } };
  instance.context.network_type ??= connection?.effectiveType;
  on("online", () => {
    forget(named("w"));
    soon(0);
  });
};
