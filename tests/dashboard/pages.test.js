import assert from "node:assert/strict";
import { test } from "node:test";
import { readPages } from "../../dashboard/lib/pages.js";

/** Pages of two items, of five in all. */
const read = async (cursor) => {
  reads.push(cursor);
  const first = Number(cursor ?? 0);
  const items = [0, 1, 2, 3, 4].slice(first, first + 2);
  return { items, next_cursor: first + 2 < 5 ? String(first + 2) : null };
};
let reads = [];

test("only as many pages are read as are wanted", async () => {
  reads = [];
  assert.deepEqual(await readPages(read, 1), { items: [0, 1], hasMore: true });
  assert.deepEqual(reads, [null]);
  assert.deepEqual(await readPages(read, 2), { items: [0, 1, 2, 3], hasMore: true });
});

test("the last page ends the list", async () => {
  const all = await readPages(read, Number.POSITIVE_INFINITY);
  assert.deepEqual(all, { items: [0, 1, 2, 3, 4], hasMore: false });
});

test("an empty page does not end the list, since few rows may match", async () => {
  const pages = { first: { items: [], next_cursor: "x" }, x: { items: [1], next_cursor: null } };
  const readThem = async (cursor) => pages[cursor ?? "first"];
  assert.deepEqual(await readPages(readThem, 1), { items: [], hasMore: true });
  assert.deepEqual(await readPages(readThem, 2), { items: [1], hasMore: false });
});

test("an error ends the reading", async () => {
  await assert.rejects(
    readPages(() => Promise.reject(new Error("gone")), 1),
    /gone/,
  );
});
