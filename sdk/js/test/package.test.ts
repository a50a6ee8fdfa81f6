import { execFileSync } from "node:child_process";
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";

const sdk = process.cwd();
const project = mkdtempSync(join(tmpdir(), "sillok-project-"));
const run = (command: string, ...given: string[]): string =>
  execFileSync(command, given, { cwd: project, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** An empty project that has nothing but the packed package. */
beforeAll(() => {
  execFileSync("node", ["build.js", "--modules"], { cwd: sdk });
  const [{ filename }] = JSON.parse(execFileSync("npm", ["pack", "--json", "--pack-destination", project], { cwd: sdk, encoding: "utf8" }));
  mkdirSync(join(project, "node_modules/sillok"), { recursive: true });
  run("tar", "-xzf", filename, "-C", "node_modules/sillok", "--strip-components=1");
}, 60_000);
afterAll(() => rmSync(project, { recursive: true }));

it("is imported as a module, where there is no page, without a word", () => {
  writeFileSync(
    join(project, "a.mjs"),
    'import { track, sessionId } from "sillok"; import { init } from "sillok/auto"; init({ url: "http://127.0.0.1:1", key: "k" }); console.log(typeof init, track("a").length, sessionId().length);',
  );
  expect(run("node", "a.mjs")).toMatch(/^function \d+ \d+\n$/);
});

it("is required as CommonJS", () => {
  writeFileSync(join(project, "a.cjs"), 'const { init, track } = require("sillok"); console.log(typeof init, typeof require("sillok/auto").track, track("a"));');
  expect(run("node", "a.cjs")).toBe("function function \n");
});

it.each(["node16", "bundler"])("has types for module resolution %s", (resolution) => {
  writeFileSync(
    join(project, "a.ts"),
    'import { init, track } from "sillok/auto"; import { pages } from "sillok"; init({ url: "u", key: "k", clicks: false }); track("a", { page_code: "M" }); pages();',
  );
  writeFileSync(join(project, "package.json"), '{ "type": "module" }');
  const module = resolution == "node16" ? "node16" : "esnext";
  run("node", join(sdk, "node_modules/typescript/bin/tsc"), "--noEmit", "--strict", "--module", module, "--moduleResolution", resolution, "--target", "es2022", "--lib", "es2022,dom", "a.ts");
  writeFileSync(join(project, "b.ts"), 'import { track } from "sillok"; track("a", { pageCode: "M" });');
  expect(() => run("node", join(sdk, "node_modules/typescript/bin/tsc"), "--noEmit", "--strict", "--module", module, "--moduleResolution", resolution, "--target", "es2022", "b.ts")).toThrow();
}, 60_000);
