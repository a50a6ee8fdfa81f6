import { afterEach, describe, expect, it, vi } from "vitest";
import { plainUrl } from "../src/urls";

describe("an address", () => {
  it.each([
    ["https://a.kr/b?q=홍길동&page=2", "https://a.kr/b?q=&page=2"],
    ["https://a.kr/b?a=1?utm_source=n&b=2", "https://a.kr/b?a=?utm_source=n&b="],
    ["https://a.kr/b?next=https://c.kr/?d=e", "https://a.kr/b?next="],
    ["https://a.kr/b?next=https://c.kr/?utm_source=e", "https://a.kr/b?next="],
    ["https://a.kr/b?utm%5Fsource=n", "https://a.kr/b?utm%5Fsource=n"],
    ["https://a.kr/b&utm_source=n&c=d", "https://a.kr/b&utm_source=n&c="],
    ["https://a.kr/b?utm_source%3Dn%26utm_medium%3Dm", "https://a.kr/b?utm_source%3Dn%26utm_medium%3Dm"],
    ["https://a.kr/b#utm_source=n&token=1", "https://a.kr/b#utm_source=n&token="],
    ["https://a.kr/b#top?utm_source=n", "https://a.kr/b#top?utm_source=n"],
    ["https://a.kr/b#access_token=1", "https://a.kr/b"],
    ["https://a.kr/b#top", "https://a.kr/b"],
    ["https://a.kr/#/path?id=7&utm_source=n", "https://a.kr/#/path?id=&utm_source=n"],
  ])("%s is told as %s", (url, told) => {
    expect(plainUrl(url)).toBe(told);
  });
});

describe("a campaign", () => {
  afterEach(() => history.replaceState(null, "", "/"));

  it.each([
    ["/?utm_source=n&utm_medium=m&x=1", "utm_source=n&utm_medium=m"],
    ["/?a=1?utm_source=n", "utm_source=n"],
    ["/?utm%5Fsource=n", "utm%5Fsource=n"],
    ["/?x#utm_source=n&utm_medium=m", "utm_source=n&utm_medium=m"],
    ["/#/order?utm_source=n", "utm_source=n"],
    ["/?gclid=1&n_ad=2&utm_x=3;utm_y=4", "gclid=1&n_ad=2&utm_x=3&utm_y=4"],
    ["/?next=https%3A%2F%2Fc.kr%2F%3Futm_source%3De", undefined],
  ])("of %s is %s", async (address, told) => {
    vi.resetModules();
    localStorage.clear();
    history.replaceState(null, "", address);
    const sillok = await import("../src/index");
    sillok.init({ url: "https://c.example/", key: "k", use: [sillok.campaigns] });
    sillok.click();
    const [key] = Object.keys(localStorage).filter((name) => name.includes(":q:"));
    expect(JSON.parse(localStorage.getItem(key!)!).props?.last_touch).toBe(told);
  });
});
