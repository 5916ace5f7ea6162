import assert from "node:assert/strict";
import { test } from "node:test";
import { forEach, testKeys } from "../../dashboard/lib/bulk.js";

test("all are done, a few at a time, whatever fails", async () => {
  let running = 0;
  let most = 0;
  const act = async (item) => {
    running += 1;
    most = Math.max(most, running);
    await Promise.resolve();
    running -= 1;
    if (item === 3) throw new Error("no");
  };
  const seen = [];
  const { done, failures } = await forEach([1, 2, 3, 4, 5, 6, 7], act, (progress) =>
    seen.push(progress.done),
  );
  assert.equal(done, 7);
  assert.deepEqual(
    failures.map(({ item, error }) => [item, error.message]),
    [[3, "no"]],
  );
  assert.deepEqual(seen, [1, 2, 3, 4, 5, 6, 7]);
  assert.ok(most > 1 && most <= 4);
});

test("no more are begun once it is stopped", async () => {
  const stop = new AbortController();
  const begun = [];
  const act = async (item) => {
    begun.push(item);
    stop.abort();
  };
  const items = [1, 2, 3, 4, 5, 6, 7, 8];
  const { left } = await forEach(items, act, () => {}, stop.signal);
  assert.ok(begun.length < 8);
  assert.deepEqual([...begun, ...left], items);
});

/** Tests two keys of a request at a time. */
const post = async ({ ids, cursor = 0 }) => {
  const items = ids.slice(cursor, cursor + 2).map((id) => ({ id, outcome: "success" }));
  return { items, next_cursor: cursor + 2 < ids.length ? cursor + 2 : null };
};

test("keys are tested some at a time, with all pages of each request", async () => {
  const ids = Array.from({ length: 23 }, (_, id) => id);
  const seen = [];
  await testKeys(ids, post, (results) => seen.push(results.map(({ id }) => id)), {});
  assert.deepEqual(seen.at(-1), ids);
  assert.equal(seen.length, 12);
});

test("a test of keys ends between requests", async () => {
  const stop = new AbortController();
  const seen = [];
  const onTested = (results) => {
    seen.push(results.length);
    if (results.length >= 4) stop.abort();
  };
  await testKeys([1, 2, 3, 4, 5, 6, 7], post, onTested, stop.signal);
  assert.deepEqual(seen, [2, 4]);
});
