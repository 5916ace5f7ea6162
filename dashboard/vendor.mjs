// Copies the libraries of the dashboard from npm's packages to `vendor/`, where the browser loads
// them, or with `--check` tells which copies differ. `tests/clients/package.json` pins the versions.
//
// usage: node dashboard/vendor.mjs [--check] NODE_MODULES

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [folder, check] = [process.argv.at(-1), process.argv.includes("--check")];

/** @param {string} text */
const withoutSourceMap = (text) => text.replace(/\n\/\/# sourceMappingURL=.*\n*$/, "\n");

/** Each copy with its original, and what must change for a browser. */
const COPIES = {
  "preact.js": ["preact/dist/preact.mjs", withoutSourceMap],
  // Browsers resolve no bare names without an import map, which the content security policy forbids.
  "hooks.js": [
    "preact/hooks/dist/hooks.mjs",
    (text) => withoutSourceMap(text).replace('from"preact"', 'from"./preact.js"'),
  ],
  "htm.js": ["htm/dist/htm.module.js", (text) => text],
  // Only this form of it is minified.
  "uplot.js": [
    "uplot/dist/uPlot.iife.min.js",
    (text) => `${text.trimEnd()}\nexport default uPlot;\n`,
  ],
  "uplot.css": ["uplot/dist/uPlot.min.css", (text) => text],
};

let differences = 0;
for (const [name, [original, change]] of Object.entries(COPIES)) {
  const copy = join(import.meta.dirname, "vendor", name);
  const wanted = change(readFileSync(join(folder, original), "utf8"));
  if (!check) {
    writeFileSync(copy, wanted);
  } else if (readFileSync(copy, "utf8") !== wanted) {
    console.error(`${copy} is not the pinned version of ${original}; run dashboard/vendor.mjs`);
    differences += 1;
  }
}
process.exit(differences === 0 ? 0 : 1);
