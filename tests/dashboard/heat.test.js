import assert from "node:assert/strict";
import { test } from "node:test";
import { cellsOf } from "../../dashboard/lib/heat.js";

const HOURS = [10, 11, 12].map((hour) => Date.parse(`2026-11-29T${hour}:00:00.000Z`));
const cells = (outcomes) => cellsOf([{ hour: "2026-11-29T11:00:00.000Z", outcomes }], HOURS);

test("each hour has a cell, and those without calls are empty", () => {
  const found = cells({ success: 5 });
  assert.deepEqual(
    found.map(({ calls, fault, strength }) => [calls, fault, strength]),
    [
      [0, null, 0],
      [5, "success", 2],
      [0, null, 0],
    ],
  );
});

test("failures give a cell their colour if they are a notable share", () => {
  const [, few] = cells({ success: 95, quota_per_day: 5 });
  assert.deepEqual([few.fault, few.failures], ["success", 5]);
  const [, many] = cells({ success: 5, quota_per_day: 3, quota_per_minute: 2, key_rejected: 4 });
  assert.deepEqual([many.fault, many.failures], ["quota", 9]);
});

test("more calls make a cell stronger, up to a limit", () => {
  const strengths = [1, 10, 100, 100_000].map((success) => cells({ success })[1].strength);
  assert.deepEqual(strengths, [1, 3, 4, 4]);
});
