import { expect, it, vi } from "vitest";
import { load, pass, world } from "./page";

it("says on the console what was recorded, sent, refused and ignored, when asked to", async () => {
  const said: string[] = [];
  vi.spyOn(console, "log").mockImplementation((...words) => void said.push(words.join(" ")));
  const sillok = (await load({ debug: true, flushms: 500, batch_events: 3, nscript: 1 })) as any;
  sillok.init({ url: "https://other.example", key: "k2" });
  for (const name of ["pageCode", "page-name", "PageUrl", "colour"]) sillok.click({ [name]: "M1" });
  world.answer = () => new Response("<html>");
  await pass(2_000);
  sillok.optOut();
  sillok.track("a");
  const all = said.join("\n");
  for (const part of [
    "no such option: flushms,batch_events,nscript\n",
    "begun already",
    "goes to props: pageCode, but page_code",
    "goes to props: page-name, but page_name",
    "goes to props: PageUrl, but page_url",
    "goes to props: colour\n",
    'recorded {"event_id"',
    "sent 4 no answer",
    "not recorded",
  ]) {
    expect(all).toContain(part);
  }
  vi.clearAllTimers();
  said.length = 0;
  (await load()).track("a");
  await pass(3_000);
  expect(said).toEqual([]);
});

it("says that there is no key", async () => {
  await load({ key: undefined });
  expect(world.said.join()).toContain("no url or key");
});

it("says which option cannot be", async () => {
  await load({ sessionMinutes: "half", consent: "granted" });
  expect(world.said.join()).toContain("left out: sessionMinutes");
  expect(world.said.join()).toContain("left out: consent");
});
