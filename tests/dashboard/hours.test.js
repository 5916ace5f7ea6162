import assert from "node:assert/strict";
import { test } from "node:test";
import { everyHour, hoursAgo, sumOf } from "../../dashboard/lib/hours.js";

const NOW = Date.parse("2026-11-29T12:30:00.000Z");
const iso = (time) => new Date(time).toISOString();

test("a range begins with an hour", () => {
  assert.equal(iso(hoursAgo(24, NOW)), "2026-11-28T12:00:00.000Z");
  assert.equal(iso(hoursAgo(0, NOW)), "2026-11-29T12:00:00.000Z");
});

test("hours without calls are there, without a group", () => {
  const group = { hour: "2026-11-29T11:00:00.000Z", requests: 3 };
  const { times, groups } = everyHour([group], hoursAgo(2, NOW), NOW);
  assert.deepEqual(times.map(iso), [
    "2026-11-29T10:00:00.000Z",
    "2026-11-29T11:00:00.000Z",
    "2026-11-29T12:00:00.000Z",
  ]);
  assert.deepEqual(groups, [undefined, group, undefined]);
});

test("groups are summed", () => {
  const group = {
    requests: 1,
    calls: 2,
    successes: 1,
    input_tokens: 3,
    output_tokens: 4,
    thinking_tokens: 5,
    cached_tokens: 6,
  };
  assert.deepEqual(sumOf([group, group]), {
    requests: 2,
    calls: 4,
    successes: 2,
    input: 6,
    output: 8,
    thinking: 10,
    cached: 12,
  });
  assert.equal(sumOf([]).requests, 0);
});
