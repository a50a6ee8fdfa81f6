/**
 * The app around a WebView: it says who and which session, and may take the batches into a queue of its own.
 *
 *     Android   window.SillokBridge.context(): JSON of fields    .send(body): whether it is kept
 *     iOS       window.sillokContext, an object                  webkit.messageHandlers.sillok, the same, as a promise
 */
import { instance, set } from "./client";
import { useTransport } from "./send";
import { quietly } from "./store";

interface Native {
  SillokBridge?: { context?(): string; send?(body: string): boolean };
  sillokContext?: object;
  webkit?: { messageHandlers?: { sillok?: { postMessage(body: string): Promise<unknown> } } };
}

export const bridge = (): void => {
  const { SillokBridge: android, sillokContext, webkit } = window as unknown as Native;
  const ios = webkit?.messageHandlers?.sillok;
  const fields = { ...sillokContext, ...quietly(() => JSON.parse(android!.context!())) };
  set(fields);
  Object.assign(instance.context, fields);
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
