// Bundles the pages into dist/: a flat folder of files whose names carry their hash, and two HTML files that name them.
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import * as esbuild from "esbuild";

const DIST = new URL("dist/", import.meta.url).pathname;
const ASSETS = `${DIST}assets/`;
const SOURCE = new URL("src/", import.meta.url).pathname;

const common = {
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  outdir: ASSETS,
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  metafile: true,
  logLevel: "warning",
  define: { "process.env.NODE_ENV": '"production"' },
  loader: { ".graphql": "text", ".svg": "file", ".ttf": "file" },
};

// GraphiQL's own style sheet holds Monaco's; what Monaco's modules import would be a second copy.
const monacoStyles = {
  name: "monaco-styles",
  setup(build) {
    build.onLoad({ filter: /monaco-editor[\\/].*\.css$/ }, () => ({ contents: "", loader: "empty" }));
  },
};

/** Return the name of the file that an entry point became. */
function built(result, entry, extension = ".js") {
  const outputs = Object.entries(result.metafile.outputs);
  const [path, output] = outputs.find(([, one]) => one.entryPoint?.endsWith(entry));
  return basename(extension === ".css" ? output.cssBundle : path);
}

async function page(name, names) {
  let text = await readFile(`${SOURCE}${name}`, "utf8");
  for (const [placeholder, file] of Object.entries(names)) text = text.replaceAll(`{{${placeholder}}}`, `assets/${file}`);
  await writeFile(`${DIST}${name}`, text);
}

async function copied(name) {
  const content = await readFile(`${SOURCE}${name}`);
  const [stem, extension] = name.split(".");
  const file = `${stem}-${createHash("sha256").update(content).digest("hex").slice(0, 8)}.${extension}`;
  await writeFile(`${ASSETS}${file}`, content);
  return file;
}

async function build() {
  await rm(DIST, { recursive: true, force: true });
  await mkdir(ASSETS, { recursive: true });
  const workers = {
    editor: "node_modules/monaco-editor/esm/vs/editor/editor.worker.js",
    json: "node_modules/monaco-editor/esm/vs/language/json/json.worker.js",
    graphql: "node_modules/monaco-graphql/esm/graphql.worker.js",
  };
  const made = await esbuild.build({ ...common, format: "iife", entryPoints: Object.values(workers) });
  const names = Object.fromEntries(Object.entries(workers).map(([label, path]) => [label, built(made, path)]));
  const result = await esbuild.build({
    ...common,
    splitting: true,
    entryPoints: [`${SOURCE}explorer.jsx`, `${SOURCE}page.js`],
    jsx: "automatic",
    plugins: [monacoStyles],
    define: { ...common.define, WORKERS: JSON.stringify(names) },
  });
  const icon = await copied("icon.svg");
  for (const [name, entry] of [["explorer.html", "src/explorer.jsx"], ["index.html", "src/page.js"]]) {
    await page(name, { script: built(result, entry), style: built(result, entry, ".css"), icon });
  }
  const pack = promisify(gzip);
  for (const name of await readdir(ASSETS)) {
    const content = await readFile(ASSETS + name);
    if (content.length > 1400) await writeFile(`${ASSETS}${name}.gz`, await pack(content, { level: 9 }));
  }
}

const began = Date.now();
await build();
console.log(`built dist/ in ${Date.now() - began} ms`);
