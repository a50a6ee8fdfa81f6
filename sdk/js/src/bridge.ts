/**
 * The app around a WebView: it says who and which session, and may take the batches into a queue of its own.
 *
 *     Android   window.SillokBridge.context(): JSON of fields    .send(body): whether it is kept
 *     iOS       window.sillokContext, an object                  webkit.messageHandlers.sillok, the same, as a promise
 */
import { instance, set } from "./client";
import { quietly } from "./guard";
import { parse } from "./json";
import { useTransport } from "./send";
import { typed } from "./typed";

interface Native {
  SillokBridge?: { context?(): string; send?(body: string): boolean };
  sillokContext?: object;
  webkit?: { messageHandlers?: { sillok?: { postMessage(body: string): Promise<unknown> } } };
}

export const bridge = (): void => {
  const { SillokBridge: android, sillokContext, webkit } = window as unknown as Native;
  const ios = webkit?.messageHandlers?.sillok;
  const fields = { ...typed(sillokContext), ...typed(quietly(() => parse(android!.context!()))) };
  const { session_id, anonymous_id, customer_id, ...context } = fields;
  // Who is there may change as long as the page is open; the device does not.
  set({ session_id, anonymous_id, customer_id });
  Object.assign(instance.context, context);
  if (android?.send || ios) {
    useTransport(async (body) => {
      try {
        return [(await (android?.send ? android.send(body) : ios!.postMessage(body))) === true ? 200 : 0];
      } catch {
        return [0];
      }
    });
  }
};
