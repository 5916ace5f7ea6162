import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { test } from "node:test";

const root = new URL("../../dashboard/", import.meta.url);
const read = (path) => readFileSync(new URL(path, root), "utf8");

/** What a module imports, besides what it loads later. */
function importsOf(path) {
  const found = read(path).matchAll(/^(?:import|export)\b[^;]*?from "(\.[^"]+)";/gms);
  return [...found].map(([, to]) => posix.join(posix.dirname(path), to));
}

/** A module, and all that it needs. */
function closureOf(path, seen = new Set()) {
  if (!seen.has(path)) {
    seen.add(path);
    for (const imported of importsOf(path)) closureOf(imported, seen);
  }
  return seen;
}

test("the page names the modules of the first view, so that browsers load them at once", () => {
  const preloaded = [
    ...read("index.html").matchAll(/modulepreload" href="dashboard\/\{version\}\/([^"]+)"/g),
  ];
  const named = preloaded.map(([, path]) => path).toSorted();
  // The libraries are minified, with imports of another form.
  const needed = [...closureOf("main.js"), ...closureOf("views/overview.js")];
  const expected = [...new Set(needed)].filter((path) => path !== "main.js").toSorted();
  assert.deepEqual(named, expected);
});

test("every module is used", () => {
  const views = readdirSync(new URL("views/", root)).map((name) => `views/${name}`);
  const loaded = [...read("app.js").matchAll(/import\("\.\/(views\/\w+\.js)"\)/g)].map(
    ([, path]) => path,
  );
  const used = new Set(["main.js", ...loaded].flatMap((path) => [...closureOf(path)]));
  const folders = ["lib", "parts", "strings", "vendor"];
  const files = folders.flatMap((folder) =>
    readdirSync(new URL(folder, root)).map((name) => `${folder}/${name}`),
  );
  const modules = [...views, ...files].filter((path) => path.endsWith(".js"));
  assert.deepEqual(
    modules.filter((path) => !used.has(path)),
    [],
  );
});
