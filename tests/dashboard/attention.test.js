import assert from "node:assert/strict";
import { test } from "node:test";
import { attention } from "../../dashboard/lib/attention.js";

const NOW = Date.parse("2026-11-29T12:30:00.000Z");

const pool = (changes = {}) => ({
  at: "2026-11-29T12:30:00.000Z",
  keys: { total: 5, active: 5, cooling: 0, disabled: 0 },
  cooling_for_models: 0,
  suspicion: null,
  disabled_lately: [],
  drills: 0,
  warnings: [],
  ...changes,
});

const hour = (at, requests, successes, outcomes) => ({ hour: at, requests, successes, outcomes });

const budget = (changes) => ({
  model: "gemini-2.5-pro",
  unit: "requests",
  limit: 100,
  left: 40,
  ends_at: null,
  resets_at: "2026-11-30T08:00:00.000Z",
  ...changes,
});

const kinds = (facts) => attention({ now: NOW, ...facts }).map(({ kind }) => kind);

test("nothing needs attention without facts, or in a pool that works", () => {
  assert.deepEqual(kinds({}), []);
  const hours = [
    hour("2026-11-29T12:00:00.000Z", 500, 490, { success: 490, quota_per_minute: 10 }),
  ];
  assert.deepEqual(kinds({ pool: pool(), hours, budgets: [budget({})], tokens: [] }), []);
});

test("the worst comes first", () => {
  const facts = {
    pool: pool({
      keys: { total: 2, active: 0, cooling: 1, disabled: 1 },
      drills: 1,
      warnings: ["w"],
    }),
    budgets: [budget({ ends_at: "2026-11-29T15:00:00.000Z" })],
  };
  assert.deepEqual(kinds(facts), ["no_active_key", "budget_ends", "drills", "warning"]);
});

test("keys that were disabled lately are named, unless there are many", () => {
  const disabled = (count) =>
    Array.from({ length: count }, (_, id) => ({
      id,
      name: null,
      reason: "leaked",
      disabled_at: "2026-11-29T12:00:00.000Z",
    }));
  assert.deepEqual(
    kinds({ pool: pool({ disabled_lately: disabled(3) }) }),
    Array(3).fill("key_disabled"),
  );
  const [item] = attention({ now: NOW, pool: pool({ disabled_lately: disabled(4) }) });
  assert.deepEqual([item.kind, item.values.n], ["keys_disabled", 4]);
});

test("too few successes are told with the most frequent failure of the last two hours", () => {
  const hours = [
    hour("2026-11-29T09:00:00.000Z", 100, 0, { upstream_trouble: 100 }),
    hour("2026-11-29T11:00:00.000Z", 60, 30, { success: 30, quota_per_day: 30, client_fault: 10 }),
    hour("2026-11-29T12:00:00.000Z", 50, 40, { success: 40, model_overloaded: 5 }),
  ];
  const [item] = attention({ now: NOW, hours });
  assert.equal(item.kind, "low_success");
  assert.deepEqual(item.values, {
    successes: 70,
    requests: 100,
    outcome: "quota_per_day",
    calls: 30,
  });
});

test("few requests, and failures that are the clients', need no attention", () => {
  const at = "2026-11-29T12:00:00.000Z";
  assert.deepEqual(kinds({ hours: [hour(at, 19, 0, { upstream_trouble: 19 })] }), []);
  assert.deepEqual(kinds({ hours: [hour(at, 100, 10, { success: 10, client_fault: 90 })] }), []);
});

test("budgets that are used up or end before they reset need attention", () => {
  const budgets = [
    budget({ left: 0, ends_at: "2026-11-29T12:30:00.000Z" }),
    budget({ ends_at: "2026-11-29T14:00:00.000Z" }),
    budget({}),
    budget({ limit: 0, left: 0, resets_at: null }),
  ];
  assert.deepEqual(kinds({ budgets }), ["budget_used_up", "budget_ends"]);
});

test("client tokens that expire within a week are told", () => {
  const token = (state, expires_at) => ({ id: 1, name: "Anna", state, expires_at });
  const tokens = [
    token("active", "2026-12-02T00:00:00.000Z"),
    token("active", "2026-12-20T00:00:00.000Z"),
    token("active", null),
    token("expired", "2026-11-28T00:00:00.000Z"),
    token("disabled", "2026-12-02T00:00:00.000Z"),
  ];
  assert.deepEqual(kinds({ tokens }), ["token_expires"]);
});

test("keys that cannot be decrypted need attention at once", () => {
  const [item] = attention({ now: NOW, pool: pool(), encryption: { unreadable: 2 } });
  assert.deepEqual([item.kind, item.tone, item.values.n], ["keys_unreadable", "bad", 2]);
});
