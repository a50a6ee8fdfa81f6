/** What localStorage does not take goes to IndexedDB, a moment later. */
import { load, named, unload, useOverflow } from "./store";

const FETCHED = 500;

const open = (): Promise<IDBDatabase> =>
  new Promise((resolve, reject) => {
    const opening = indexedDB.open(named("q"));
    opening.onupgradeneeded = () => opening.result.createObjectStore("q");
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = reject;
  });

export const spill = (): void => {
  // Whether anything can be there: an earlier page may have left something.
  let isUsed: unknown = true;
  let database: Promise<IDBDatabase> | undefined;
  const here: Record<string, boolean> = {};
  /** Work on the events, in the order of the calls; return whether it is done, which without IndexedDB it is not. */
  const on = async (work: (events: IDBObjectStore) => unknown): Promise<unknown> => {
    try {
      const change = (await (database ??= open())).transaction("q", "readwrite");
      work(change.objectStore("q"));
      return await new Promise((resolve, reject) => {
        change.oncomplete = resolve;
        change.onabort = reject;
      });
    } catch {
      return;
    }
  };
  useOverflow({
    put(key, value) {
      isUsed = here[key] = true;
      on((events) => events.put(value, key)).then((done) => done && unload(key));
    },
    remove: (key) => here[key] && !(here[key] = false) && on((events) => events.delete(key)),
    async fetch() {
      if (!isUsed) return;
      isUsed = false;
      await on((events) => {
        const keys = events.getAllKeys(null, FETCHED);
        const values = events.getAll(null, FETCHED);
        values.onsuccess = () =>
          (keys.result as string[]).forEach((key, i) => {
            isUsed = here[key] = true;
            load(key, values.result[i]);
          });
      });
    },
  });
};
