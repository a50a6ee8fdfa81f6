import { describe, expect, it, vi } from "vitest";
import { masked } from "../src/mask";
import { options } from "../src/options";

describe("personal numbers", () => {
  it.each([
    ["900101-1234567", "[rrn]"],
    ["주민번호는 9001011234567 입니다", "주민번호는 [rrn] 입니다"],
    ["900101 - 5234567", "[rrn]"],
    ["9００101-1234567", "[rrn]"],
    ["4111-1111-1111-1111", "[card]"],
    ["카드 4111111111111111!", "카드 [card]!"],
    ["3782 822463 10005", "[card]"],
    ["010-1234-5678", "[phone]"],
    ["01012345678로 전화", "[phone]로 전화"],
    ["+82 10-1234-5678", "[phone]"],
    ["02)123-4567", "[phone]"],
    ["(02) 1234-5678", "[phone]"],
    ["110-234-567890", "[account]"],
    ["1002-123-456789 로 이체", "[account] 로 이체"],
    ["hong.gildong@example.co.kr", "[email]"],
    ["문의: 홍길동 hong@회사.한국", "문의: 홍길동 [email]"],
    ["010-1234-5678 900101-1234567", "[phone] [rrn]"],
  ])("%s becomes %s", (text, expected) => {
    expect(masked(text)).toBe(expected);
  });

  it.each([
    "2026-11-27",
    "2026-11-27 09:30:15",
    "20261127000123",
    "2026-1127-000123",
    "삼성전자 005930",
    "1,234,567원",
    "4111-1111-1111-1112",
    "-12.5%",
    "01a21ac8-2c6a-7000-84e9-19cf7390429b",
    "v5.12.0-rc1",
  ])("%s stays", (text) => {
    expect(masked(text)).toBe(text);
  });

  it("leaves milliseconds near now alone, also in 2027, when they look like a resident number", () => {
    vi.useFakeTimers({ now: Date.UTC(2027, 0, 15) });
    expect(masked("1801011234567")).toBe("1801011234567");
    vi.useRealTimers();
    vi.useFakeTimers({ now: Date.UTC(2024, 0, 15) });
    expect(masked("1801011234567")).toBe("[rrn]");
    vi.useRealTimers();
  });

  it("masks the firm's own account numbers", () => {
    options.accounts = [/\d{8}-\d{2}/g];
    expect(masked("계좌 12345678-01 12345678-02")).toBe("계좌 [account] [account]");
    options.accounts = [];
  });

  it("does not take quadratic time, which would be minutes here", { timeout: 60_000 }, () => {
    for (const text of ["1-".repeat(5e4), "a.".repeat(5e4) + "@", "1 ".repeat(5e4), "900101 ".repeat(2e4)]) {
      expect(masked(text)).toBe(text);
    }
  });
});
