import { expect, it } from "vitest";
import { type Body, SAFE, load, pass, waiting, world } from "./page";

const html = { headers: { "Content-Type": "text/html" } };
const json = (value: unknown) => () => new Response(JSON.stringify(value));

it.each<[string, () => Response]>([
  ["a captive portal's page", () => new Response("<!doctype html><title>Wi-Fi</title><form>", html)],
  ["nothing", () => new Response("")],
  ["a sign-in page after a redirect", () => Object.defineProperty(new Response("<html>", html), "redirected", { value: true })],
  ["another service's JSON", json({ status: "ok" })],
  ["an empty object", json({})],
  ["null", json(null)],
  ["a list", json([1])],
  ["a text", json("ok")],
  ["a number", json(1)],
  ["no receipt", json({ accepted: 1, rejected: [] })],
  ["an empty receipt", json({ accepted: 1, rejected: [], receipt: "" })],
  ["a receipt that is none", json({ accepted: 1, rejected: [], receipt: true })],
  ["half an answer", () => new Response(SAFE.slice(0, -3))],
  ["an answer that breaks off", () => new Response(new ReadableStream({ start: (stream) => stream.error(new Error("cut")) }))],
])("a 200 with %s is an outage, and the queue stays", async (_, answer) => {
  const { track } = await load();
  world.answer = answer;
  const ids = [track("a"), track("b")];
  await pass(20_000);
  expect(world.sent.length).toBeGreaterThan(1);
  expect(waiting().length).toBe(2);
  world.answer = () => new Response(SAFE);
  await pass(90_000);
  expect(waiting()).toEqual([]);
  const last = world.sent[world.sent.length - 1]!;
  expect(last.events.map((event) => event["event_id"])).toEqual(ids);
  expect(last.clients[0]).toMatchObject({ created: 2, pending: 2, dropped: {} });
});

it("says once per code what was refused, and counts every one", async () => {
  const { track } = await load({ batchEvents: 5 });
  const refuse = (body: Body) =>
    body.events.flatMap(({ event_id, event_name }, index) =>
      event_name == "bad" ? [{ index, event_id, code: "invalid_field", field: `events[${index}].time`, message: "Expected `int`" }] : [],
    );
  world.answer = (body) => new Response(JSON.stringify({ accepted: 1, rejected: refuse(body), receipt: "0.1.2.3" }));
  for (const name of ["good", "bad", "good", "bad", "good", "bad", "good"]) track(name);
  await pass(10_000);
  expect(waiting()).toEqual([]);
  expect(world.said.filter((said) => said.includes("invalid_field")).length).toBe(1);
  const last = world.sent[world.sent.length - 1]!;
  expect(last.clients[0]).toMatchObject({ created: 7, pending: 0, dropped: { rejected: 3 } });
});

it.each([[7], ["x"], [{}], [[null, 7, {}, { index: 99, code: "no" }, { index: -1 }]]])(
  "takes an answer for one whatever its list of refused events is: %j",
  async (rejected) => {
    const { track } = await load();
    world.answer = json({ accepted: 1, rejected, receipt: "0.1.2.3" });
    track("a");
    await pass(9_000);
    expect(waiting()).toEqual([]);
    expect(world.sent[0]!.events.length).toBe(1);
    expect(world.sent.slice(1).flatMap((body) => body.events)).toEqual([]);
    expect(world.sent[world.sent.length - 1]!.clients[0]!.dropped).toEqual({});
  },
);

it("leaves the time of sending out when somebody else sends", async () => {
  const bodies: string[] = [];
  (window as any).SillokBridge = { context: () => '{"platform":"android","customer_id":null}', send: (body: string) => !!bodies.push(body) };
  const { bridge, track } = await load();
  bridge();
  track("a");
  await pass(9_000);
  delete (window as any).SillokBridge;
  expect(bodies.map((body) => "sent_at" in JSON.parse(body))).toEqual([false]);
  expect(world.sent).toEqual([]);
  const other = await load();
  other.track("b");
  await pass(9_000);
  expect(world.sent[0]!.sent_at).toBe(Date.now() - 7_000);
});
