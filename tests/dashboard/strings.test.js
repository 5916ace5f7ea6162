import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { OUTCOMES } from "../../dashboard/lib/outcomes.js";
import { en } from "../../dashboard/strings/en.js";
import { zh } from "../../dashboard/strings/zh.js";

const root = new URL("../../dashboard/", import.meta.url);
const folders = ["", "lib/", "parts/", "views/"];
const code = folders
  .flatMap((folder) => readdirSync(new URL(folder, root)).map((name) => folder + name))
  .filter((name) => name.endsWith(".js") && name !== "vendor.mjs")
  .map((name) => readFileSync(new URL(name, root), "utf8"))
  .join("\n");

/** The texts of an entry: one, or one for each form. */
const textsOf = (entry) => (typeof entry === "string" ? [entry] : Object.values(entry));
const placesOf = (text) => [...new Set(text.match(/\{\w+\}/g) ?? [])].toSorted();

/** The groups whose names come from the API or from lists: `named("outcome", …)`. */
const groups = [...code.matchAll(/\bnamed\(\s*"([\w.]+)"/g)].map(([, group]) => group);

test("both languages have the same keys in the same order", () => {
  assert.deepEqual(Object.keys(zh), Object.keys(en));
});

test("no text is empty or has blanks around it", () => {
  for (const [key, entry] of [...Object.entries(en), ...Object.entries(zh)]) {
    assert.ok(textsOf(entry).length > 0, key);
    for (const text of textsOf(entry)) {
      assert.notEqual(text, "", key);
      assert.equal(text, text.trim(), key);
    }
  }
});

test("a text has the same values in both languages", () => {
  const valuesOf = (entry) => [...new Set(textsOf(entry).flatMap(placesOf))].toSorted();
  for (const key of Object.keys(en)) assert.deepEqual(valuesOf(zh[key]), valuesOf(en[key]), key);
});

test("every text with forms has the one for all other numbers", () => {
  for (const table of [en, zh]) {
    for (const [key, entry] of Object.entries(table)) {
      if (typeof entry !== "string") assert.ok("other" in entry, key);
    }
  }
});

test("every key that the code uses exists", () => {
  const used = [...code.matchAll(/\bt\(\s*"([^"]+)"/g)].map(([, key]) => key);
  assert.ok(used.length > 50);
  assert.deepEqual(
    [...new Set(used)].filter((key) => !(key in en)),
    [],
  );
});

test("every group that the code uses exists", () => {
  const keys = Object.keys(en);
  const missing = groups.filter((group) => !keys.some((key) => key.startsWith(`${group}.`)));
  assert.deepEqual([...new Set(missing)], []);
});

test("every key is used", () => {
  // Such as t(`keys.done_${action}`).
  const starts = [...code.matchAll(/\bt\(\s*`([\w.]+)\$\{/g)].map(([, start]) => start);
  // Groups that are passed on.
  const literals = new Set([...code.matchAll(/"([\w.]+)"/g)].map(([, text]) => text));
  const isUsed = (key) =>
    literals.has(key) ||
    literals.has(key.slice(0, key.lastIndexOf("."))) ||
    groups.some((group) => key.startsWith(`${group}.`)) ||
    starts.some((start) => key.startsWith(start));
  assert.deepEqual(
    Object.keys(en).filter((key) => !isUsed(key)),
    [],
  );
});

test("every outcome has a text", () => {
  const page = readFileSync(new URL("../docs/errors.md", root), "utf8");
  const [, table] = page.split("<!-- table: outcomes -->");
  const rows = table.split("<!-- end -->")[0].matchAll(/^\| `(\w+)`/gm);
  const outcomes = [...rows].map(([, name]) => name);
  assert.ok(outcomes.length > 20);
  assert.deepEqual(OUTCOMES.toSorted(), outcomes.toSorted());
  for (const outcome of outcomes) assert.ok(`outcome.${outcome}` in en, outcome);
});
