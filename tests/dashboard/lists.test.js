import assert from "node:assert/strict";
import { test } from "node:test";
import { numberOf, partsOf, timeOf, toLocalInput } from "../../dashboard/lib/lists.js";

test("lists are split at commas, semicolons and lines", () => {
  assert.deepEqual(partsOf(" a, b;c\n\n d ,"), ["a", "b", "c", "d"]);
  assert.deepEqual(partsOf(null), []);
});

test("a local time survives the way to the API and back", () => {
  const local = "2026-11-29T12:30";
  assert.equal(toLocalInput(timeOf(local)), local);
  assert.equal(timeOf(""), null);
  assert.equal(toLocalInput(null), "");
});

test("an empty number is none", () => {
  assert.equal(numberOf(" "), null);
  assert.equal(numberOf("0"), 0);
  assert.equal(numberOf("250"), 250);
});
