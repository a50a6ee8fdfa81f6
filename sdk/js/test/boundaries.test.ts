import { afterEach, expect, it, vi } from "vitest";
import { isOurs } from "../src/exits";
import { options } from "../src/options";

afterEach(() => {
  options.cookieDomain = "";
  vi.unstubAllGlobals();
});

it.each([
  ["https://firm.test/a", true],
  ["https://www.firm.test/", true],
  ["https://FIRM.TEST:443/", true],
  ["https://otherfirm.test/", false],
  ["https://firm.test.evil.example/", false],
  ["https://evil.example/firm.test", false],
  ["https://evil.example/?x=.firm.test", false],
  ["https://firm.test@evil.example/", false],
  ["https://test/", false],
  ["about:blank", false],
  ["tel:0212345678", false],
])("a host ends where a name does: %s", (url, ours) => {
  vi.stubGlobal("location", { host: "firm.test" });
  expect(isOurs(url)).toBe(ours);
});

it.each(["firm.test", ".firm.test", "Firm.test"])("a shared domain is one with its sub-domains on any port: %s", (domain) => {
  vi.stubGlobal("location", { host: "www.firm.test:8443" });
  options.cookieDomain = domain;
  for (const ours of ["https://trade.firm.test/", "https://firm.test:8443/", "http://www.firm.test/"]) expect(isOurs(ours)).toBe(true);
  for (const other of ["https://otherfirm.test/", "https://firm.test.evil.example/"]) expect(isOurs(other)).toBe(false);
});

it("a cookie's name is whole", async () => {
  vi.resetModules();
  const set = (name: string, value: string): string => (document.cookie = `${name}=${encodeURIComponent(value)};path=/`);
  set("hmts:a", "theirs");
  set("mts:aa", "theirs too");
  const { options: ours } = await import("../src/options");
  const { recall } = await import("../src/store");
  Object.assign(ours, { name: "mts", cookieDomain: "localhost" });
  expect(recall("a")).toBe("");
  set("mts:a", "ours=1;2");
  expect(recall("a")).toBe("ours=1;2");
});

it.each(["mts:q", "a b", "a;b", "종목", "a=b", "%"])("a name of an app is one part of a key, and of a cookie: %s", async (name) => {
  vi.resetModules();
  localStorage.clear();
  const sillok = await import("../src/index");
  const { clientOf } = await import("../src/client");
  const { options: ours } = await import("../src/options");
  sillok.init({ url: "https://c.example", key: "k", name });
  sillok.track("a");
  const [key] = Object.keys(localStorage).filter((found) => found.includes(":q:"));
  expect(clientOf(key!)).toMatch(/^[0-9a-f-]{36}$/);
  expect(ours.name).not.toMatch(/[\s:;=]/);
  ours.flushMs = 9e7;
});

it.each<[string, object]>([
  ["a text of names", { queryNames: "code, tab", requestHosts: "api.firm.test" }],
  ["a list of names", { queryNames: ["code", "tab"], requestHosts: ["api.firm.test"] }],
])("%s holds whole names", async (_, given) => {
  vi.resetModules();
  const sillok = await import("../src/index");
  const { plainUrl } = await import("../src/urls");
  const { options: ours } = await import("../src/options");
  sillok.init({ url: "https://c.example", key: "k", flushMs: 9e7, ...given });
  expect(plainUrl("/a?code=1&cod=2&ode=3&tab=4")).toBe("/a?code=1&cod=&ode=&tab=4");
  expect(ours.requestHosts).toEqual(["api.firm.test"]);
});
