/**
 * Builds dist/ (modules and types, for bundlers) and the one file the collector serves; `--modules` only dist/. `--check`
 * writes nothing and fails when the served file is not what the source builds, or when a size is over its limit.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

const here = fileURLToPath(new URL(".", import.meta.url));
const SERVED = join(here, "../../collector_server/static/sillok.js");
const { version } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));

// 5,120 was wanted; DECISIONS.md has what each part weighs.
const SCRIPT_BYTES_MAX = 10850;
const CORE_BYTES_MAX = 5200;
const CORE = 'import { init, track } from "./src/index.ts"; init({ url: "https://c.example", key: "k" }); track("a");';

const COMPRESS = { ecma: 2020, passes: 3, unsafe_arrows: true, pure_getters: true, booleans_as_integers: false };

async function bundle(input, more = {}) {
  const { outputFiles } = await build({
    ...input,
    absWorkingDir: here,
    bundle: true,
    write: false,
    target: "es2020",
    charset: "utf8",
    legalComments: "none",
    define: { VERSION: JSON.stringify(version) },
    ...more,
  });
  return outputFiles[0].text;
}

async function small(text) {
  const { code } = await minify(text, {
    ecma: 2020,
    toplevel: true,
    compress: COMPRESS,
    mangle: { toplevel: true },
    format: { ecma: 2020, comments: false },
  });
  return code;
}

const gzipped = (text) => gzipSync(text, { level: 9 }).length;

export async function script() {
  // A plain bundle inside one function: then every name of ours can be shortened.
  const text = await bundle({ entryPoints: ["src/script.ts"] }, { format: "esm" });
  return `/*! sillok ${version} */\n!function(){${await small(text)}}();\n`;
}

export async function core() {
  return small(await bundle({ stdin: { contents: CORE, resolveDir: here, loader: "ts" } }, { format: "esm", treeShaking: true }));
}

function withinLimits(sizes) {
  let isFine = true;
  for (const [what, text, max] of sizes) {
    const size = gzipped(text);
    console.log(`${what}: ${text.length} bytes, ${size} gzip, limit ${max}`);
    isFine &&= size <= max;
  }
  return isFine;
}

async function modules() {
  rmSync(join(here, "dist"), { recursive: true, force: true });
  const options = { absWorkingDir: here, entryPoints: ["src/index.ts", "src/auto.ts"], bundle: true, outdir: "dist", target: "es2020" };
  const more = { charset: "utf8", splitting: false, legalComments: "none", define: { VERSION: JSON.stringify(version) } };
  await build({ ...options, ...more, format: "esm", splitting: true });
  await build({ ...options, ...more, format: "cjs", outExtension: { ".js": ".cjs" } });
  const types = mkdtempSync(join(tmpdir(), "sillok-"));
  execFileSync(join(here, "node_modules/.bin/tsc"), ["--project", join(here, "tsconfig.build.json"), "--outDir", types], {
    stdio: "inherit",
  });
  for (const name of readdirSync(types).filter((found) => found.endsWith(".d.ts"))) {
    const text = readFileSync(join(types, name), "utf8");
    const to = (extension) => text.replace(/(from |import\()"\.\/(\w+)"/g, `$1"./$2.${extension}"`);
    writeFileSync(join(here, "dist", name), to("js"));
    writeFileSync(join(here, "dist", name.replace(".d.ts", ".d.cts")), to("cjs"));
  }
  rmSync(types, { recursive: true });
}

async function main(order) {
  if (order === "--modules") return modules();
  const served = await script();
  if (order === "--check") {
    if (readFileSync(SERVED, "utf8") !== served) {
      throw new Error("collector_server/static/sillok.js is stale: run `npm run build` in sdk/js");
    }
  } else {
    writeFileSync(SERVED, served);
    await modules();
  }
  const sizes = [
    ["script", served, SCRIPT_BYTES_MAX],
    ["core", await core(), CORE_BYTES_MAX],
  ];
  if (!withinLimits(sizes)) throw new Error("too large");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv[2]);
