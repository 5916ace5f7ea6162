import assert from "node:assert/strict";
import { test } from "node:test";
import { pauseAfter } from "../../dashboard/lib/poll.js";
import { rowsInView } from "../../dashboard/lib/window.js";

test("pauses double with each failure, up to a minute", () => {
  assert.deepEqual(
    [0, 1, 2, 3, 99].map((failures) => pauseAfter(10, failures)),
    [10, 20, 40, 60, 60],
  );
});

test("failures never shorten a pause", () => {
  assert.equal(pauseAfter(120, 0), 120);
  assert.equal(pauseAfter(120, 5), 120);
});

test("only the rows in view are drawn, with a few around them", () => {
  const list = { count: 1000, rowHeight: 40, height: 400 };
  assert.deepEqual(rowsInView({ ...list, top: 0 }), { first: 0, last: 18 });
  assert.deepEqual(rowsInView({ ...list, top: 4000 }), { first: 92, last: 118 });
  assert.deepEqual(rowsInView({ ...list, top: 39_600 }), { first: 982, last: 1000 });
});

test("a list that has become shorter than its scroll position is drawn up to its end", () => {
  const { first, last } = rowsInView({ count: 5, rowHeight: 40, top: 4000, height: 400 });
  assert.ok(first <= last);
  assert.equal(last, 5);
});

test("an overscrolled list begins with its first row", () => {
  assert.equal(rowsInView({ count: 50, rowHeight: 40, top: -100, height: 400 }).first, 0);
  assert.deepEqual(rowsInView({ count: 0, rowHeight: 40, top: 0, height: 400 }), {
    first: 0,
    last: 0,
  });
});
