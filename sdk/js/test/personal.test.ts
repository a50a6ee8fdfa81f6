import { describe, expect, it } from "vitest";
import table from "../../../contract/personal.json";
import { masked } from "../src/mask";

const MASKS = { resident: "[rrn]", card: "[card]", phone: "[phone]", email: "[email]", account: "[account]" };

describe("the table that the collector is held to as well", () => {
  for (const [kind, mask] of Object.entries(MASKS)) {
    it.each(table[kind as keyof typeof MASKS])(`${kind}: %j is masked whole`, (text) => {
      for (const around of [text, `님 ${text} 님`]) {
        const left = masked(around);
        expect(left).toContain(mask);
        expect(left.replace(mask, "").replace(/%[\dA-F]{2}/g, "")).not.toMatch(/[\p{Nd}@]/u);
        expect(masked(left)).toBe(left);
      }
    });
  }

  it.each(table.innocent)("%j stays", (text) => {
    expect(masked(text)).toBe(text);
  });
});

// Were it more than linear, it would be minutes.
it.each(["a", "a@", "a.", "a@b.", "가@", "é", "@", "\u0301", "\u200b", "%25", "1-", "4111 ", "0x1"])(
  "a hostile text of %j is masked in linear time",
  (piece) => {
    const text = piece.repeat(40_000);
    for (const hostile of [text, text + "@", "@" + text + "0"]) expect(masked(masked(hostile))).toBe(masked(hostile));
  },
);

it("is masked also where JSON writes what parts it as an escape", async () => {
  const sillok = await import("../src/index");
  sillok.init({ url: "https://c.example/", key: "k", name: "escapes", use: [sillok.masks] });
  sillok.track("a", { page_name: "900101\n1234567", props: { 가: "010\t1234\u00005678" } });
  const [key] = Object.keys(localStorage).filter((name) => name.startsWith("escapes:q:"));
  expect(JSON.parse(localStorage.getItem(key!)!)).toMatchObject({ page_name: "[rrn]", props: { 가: "[phone]" } });
});
