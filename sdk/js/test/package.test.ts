import { execFile } from "node:child_process";
import { mkdtempSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";

const sdk = process.cwd();
const project = mkdtempSync(join(tmpdir(), "sillok-project-"));
const execute = promisify(execFile);
/** Run without holding up the test runner, which wants to hear of its workers. */
const run = async (command: string, ...given: string[]): Promise<string> => (await execute(command, given, { cwd: project })).stdout;
const tsc = (...given: string[]): Promise<string> =>
  run("node", join(sdk, "node_modules/typescript/bin/tsc"), "--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom", ...given);

/** An empty project that has nothing but the packed package. */
beforeAll(async () => {
  await execute("node", ["build.js", "--modules"], { cwd: sdk });
  const { stdout } = await execute("npm", ["pack", "--json", "--pack-destination", project], { cwd: sdk });
  const [{ filename }] = JSON.parse(stdout);
  mkdirSync(join(project, "node_modules/sillok"), { recursive: true });
  await run("tar", "-xzf", filename, "-C", "node_modules/sillok", "--strip-components=1");
}, 60_000);
afterAll(() => rmSync(project, { recursive: true }));

it("is imported as a module, where there is no page, without a word", async () => {
  writeFileSync(
    join(project, "a.mjs"),
    'import { track, sessionId } from "sillok"; import { init } from "sillok/auto"; init({ url: "http://127.0.0.1:1", key: "k" }); console.log(typeof init, track("a").length, sessionId().length);',
  );
  expect(await run("node", "a.mjs")).toMatch(/^function \d+ \d+\n$/);
});

it("is required as CommonJS", async () => {
  writeFileSync(join(project, "a.cjs"), 'const { init, track } = require("sillok"); console.log(typeof init, typeof require("sillok/auto").track, track("a"));');
  expect(await run("node", "a.cjs")).toBe("function function \n");
});

it.each(["node16", "bundler"])("has types for module resolution %s", async (resolution) => {
  writeFileSync(
    join(project, "a.ts"),
    'import { init, track } from "sillok/auto"; import { pages } from "sillok"; init({ url: "u", key: "k", clicks: false }); track("a", { page_code: "M" }); pages();',
  );
  writeFileSync(join(project, "package.json"), '{ "type": "module" }');
  const module = resolution == "node16" ? "node16" : "esnext";
  await tsc("--module", module, "--moduleResolution", resolution, "a.ts");
  writeFileSync(join(project, "b.ts"), 'import { track } from "sillok"; track("a", { pageCode: "M" });');
  await expect(tsc("--module", module, "--moduleResolution", resolution, "b.ts")).rejects.toThrow();
}, 180_000);

it("is used as the recipes for React and Vue say", async () => {
  for (const name of ["@types", "vue", "vue-router"]) symlinkSync(join(sdk, "node_modules", name), join(project, "node_modules", name));
  const recipe = (name: string): string[] =>
    [...readFileSync(join(sdk, `../../docs/browser-sdk/${name}.md`), "utf8").matchAll(/```tsx?\n(.*?)```/gs)].map((found) => found[1]!);
  const [start, , markup, effect, boundary] = recipe("react");
  writeFileSync(
    join(project, "recipe-react.tsx"),
    `import { Component, useEffect } from "react"; import { error, identify } from "sillok/auto"; ${start}
    declare const buy: () => void; declare const user: { id: string } | undefined;
    export const View = () => { ${effect} return ${markup}; };
    export class Boundary extends Component { ${boundary} override render() { return undefined; } }`,
  );
  const [begin, after] = recipe("vue");
  writeFileSync(
    join(project, "recipe-vue.ts"),
    `import { type Component, createApp } from "vue"; import type { Router } from "vue-router";
    declare const App: Component; declare const router: Router; ${begin} ${after}`,
  );
  writeFileSync(join(project, "package.json"), '{ "type": "module" }');
  const compiled = (): Promise<string> =>
    tsc("--skipLibCheck", "--jsx", "react-jsx", "--module", "esnext", "--moduleResolution", "bundler", "recipe-react.tsx", "recipe-vue.ts");
  expect(await compiled()).toBe("");
  writeFileSync(join(project, "recipe-vue.ts"), 'import { error } from "sillok/auto"; error();');
  await expect(compiled()).rejects.toThrow();
}, 180_000);
