import { expect, it, vi } from "vitest";
import { load, pass, world } from "./page";

it("says on the console what was recorded, sent, refused and ignored, when asked to", async () => {
  const said: string[] = [];
  vi.spyOn(console, "log").mockImplementation((...words) => void said.push(words.join(" ")));
  const sillok = (await load({ debug: true, flushms: 500 })) as any;
  sillok.click({ pageCode: "M1" });
  world.answer = () => new Response("<html>");
  await pass(2_000);
  sillok.optOut();
  sillok.track("a");
  const all = said.join("\n");
  for (const part of ["no such option: flushms", "goes to props: pageCode", 'recorded {"event_id"', "sent 1 no answer", "not recorded"]) {
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
