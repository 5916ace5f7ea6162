import assert from "node:assert/strict";
import { test } from "node:test";
import { readReason, whyOf } from "../../dashboard/lib/key_state.js";

const NOW = Date.parse("2026-11-29T12:00:00.000Z");
const LATER = "2026-11-29T13:00:00.000Z";
const EARLIER = "2026-11-29T11:00:00.000Z";
const OUTCOMES = ["key_rejected", "key_restricted", "quota_per_day"];

const key = (changes) => ({
  status: "active",
  disabled_until: null,
  disabled_reason: null,
  cooling: [],
  consecutive_failures: 0,
  last_outcome: "success",
  project: "projects/1",
  drill: null,
  ...changes,
});
const kinds = (changes) => whyOf(key(changes), OUTCOMES, NOW).map(({ kind }) => kind);

test("a reason of the pool begins with an outcome, and one of an operator does not", () => {
  const read = (reason) => readReason(reason, OUTCOMES);
  assert.deepEqual(read("key_rejected: API key not valid"), {
    outcome: "key_rejected",
    words: "API key not valid",
  });
  assert.deepEqual(read("key_rejected"), { outcome: "key_rejected", words: "" });
  assert.deepEqual(read("holidays: back in May"), {
    outcome: null,
    words: "holidays: back in May",
  });
  assert.deepEqual(read(null), { outcome: null, words: "" });
});

test("the first sentence is about the state", () => {
  const disabled_reason = "key_rejected: gone";
  assert.deepEqual(kinds({}), ["active"]);
  assert.deepEqual(kinds({ status: "disabled", disabled_reason }), ["disabled_by_pool"]);
  assert.deepEqual(kinds({ status: "disabled", disabled_reason: "sold" }), ["disabled"]);
  assert.deepEqual(kinds({ status: "cooling", disabled_reason, disabled_until: LATER }), [
    "paused_by_pool",
  ]);
  assert.deepEqual(kinds({ status: "cooling", disabled_until: LATER }), ["paused"]);
  assert.deepEqual(kinds({ status: "cooling", disabled_until: EARLIER }), ["pause_over"]);
  assert.deepEqual(kinds({ status: null }), ["unknown"]);
});

test("cool-downs that are over are not told", () => {
  const cools = (scope, until) => ({ scope, model: "m", reason: "quota_per_day", until });
  const cooling = [
    cools("project:projects/1", LATER),
    cools("key:1", LATER),
    cools("key:1", EARLIER),
  ];
  assert.deepEqual(kinds({ cooling }), ["active_but", "project_cools", "key_cools"]);
  // They outlast a pause.
  const paused = kinds({ cooling, status: "cooling", disabled_until: LATER });
  assert.deepEqual(paused, ["paused", "project_cools", "key_cools"]);
});

test("several failures in a row and drills are told", () => {
  const drill = { fault: "429", calls_left: 2 };
  assert.deepEqual(kinds({ consecutive_failures: 2 }), ["active"]);
  assert.deepEqual(kinds({ consecutive_failures: 3, drill }), ["active", "failing", "drill"]);
});
