import assert from "node:assert/strict";
import { test } from "node:test";
import { forEach } from "../../dashboard/lib/bulk.js";

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
  await forEach([1, 2, 3, 4, 5, 6, 7, 8], act, () => {}, stop.signal);
  assert.ok(begun.length < 8);
});
