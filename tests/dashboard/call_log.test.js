import assert from "node:assert/strict";
import { test } from "node:test";
import { merge, newIn, readOn, tailFrom, withNew } from "../../dashboard/lib/call_log.js";

const NOON = Date.parse("2026-11-29T12:00:00.000Z");
/** A call that began so many seconds after noon. */
const call = (id, second, changes = {}) => ({
  id,
  called_at: new Date(NOON + second * 1000).toISOString(),
  request_id: `req_${id}`,
  attempt: 1,
  ...changes,
});
const idsOf = (items) => items.map(({ id }) => id);
const page = (items, next_cursor = null) => ({ items, next_cursor });

test("empty pages lead on to the next call, or to the end", async () => {
  const pages = { first: page([], "a"), a: page([], "b"), b: page([call(1, 0)], "c") };
  const read = async (cursor) => pages[cursor ?? "first"];
  const found = await readOn(read, null);
  assert.deepEqual([idsOf(found.items), found.next_cursor, found.isTired], [[1], "c", false]);
  const end = await readOn(async (cursor) => page([], cursor === "z" ? null : "z"), null);
  assert.deepEqual([end.next_cursor, end.isTired], [null, false]);
});

test("after many empty pages, somebody must want to go on", async () => {
  let reads = 0;
  const found = await readOn(async () => page([], `c${reads++}`), null, 4);
  assert.deepEqual([reads, found.next_cursor, found.isTired], [4, "c3", true]);
});

test("a call that ends late is put where it began", () => {
  const items = [call(9, 30), call(7, 10)];
  assert.deepEqual(idsOf(merge(items, [call(8, 20), call(9, 30), call(12, 30)])), [12, 9, 8, 7]);
  assert.deepEqual(idsOf(merge(items, [call(6, 5), call(5, 0)])), [9, 7, 6, 5]);
  assert.deepEqual(idsOf(merge([], [call(6, 5)])), [6]);
  assert.equal(merge(items, []), items);
});

test("a full page without a known call leaves a hole", () => {
  const items = [call(2, 10), call(1, 0)];
  const { fresh, hasHole } = newIn(items, page([call(3, 20), call(2, 10)], "more"));
  assert.deepEqual([idsOf(fresh), hasHole], [[3], false]);
  assert.equal(newIn(items, page([call(9, 90), call(8, 80)], "more")).hasHole, true);
  assert.equal(newIn(items, page([call(9, 90)])).hasHole, false);
  assert.equal(newIn([], page([call(9, 90)], "more")).hasHole, false);
  assert.equal(newIn(items, page([], "more")).hasHole, false);
});

test("new calls are held while somebody reads older ones", () => {
  const state = { items: [call(1, 0)], waiting: [], hasHole: false, error: undefined };
  const found = page([call(2, 10), call(1, 0)]);
  const shown = withNew(state, found, false);
  assert.deepEqual(idsOf(shown.items), [2, 1]);
  const held = withNew(state, found, true);
  assert.deepEqual([idsOf(held.items), idsOf(held.waiting)], [[1], [2]]);
  assert.equal(withNew(held, found, true), held, "nothing new is nothing to draw");
  assert.equal(withNew(shown, found, false), shown);
});

test("a poll reads no further back than calls may take, and never before the filter", () => {
  const since = "2026-11-29T13:00:00.000Z";
  assert.equal(tailFrom([call(1, 0)], since, undefined), "2026-11-29T11:50:00.000Z");
  assert.equal(tailFrom([], since, undefined), "2026-11-29T12:50:00.000Z");
  const from = "2026-11-29T12:55:00Z";
  assert.equal(tailFrom([], since, from), from);
});
