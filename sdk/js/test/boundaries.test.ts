import { afterEach, expect, it, vi } from "vitest";
import { isOurs } from "../src/exits";
import { options } from "../src/options";

afterEach(() => {
  options.cookieDomain = undefined;
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
