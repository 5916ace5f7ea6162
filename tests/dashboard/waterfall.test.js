import assert from "node:assert/strict";
import { test } from "node:test";
import { arrivalOf, waterfall } from "../../dashboard/lib/waterfall.js";

const ARRIVED = "2026-11-29T12:00:00.000Z";
const attempt = (began, took, firstByte, outcome = "success") => ({
  called_at: new Date(Date.parse(ARRIVED) + began).toISOString(),
  response_time_ms: took,
  first_byte_ms: firstByte,
  outcome,
});
const failed = (began, took, outcome) => attempt(began, took, null, outcome);
const partsOf = (attempts) =>
  waterfall(ARRIVED, attempts).bars.map(({ start, waiting, streaming }) => [
    start,
    waiting,
    streaming,
  ]);
const gapsOf = (attempts) => waterfall(ARRIVED, attempts).bars.map(({ gap, kind }) => [gap, kind]);

test("an attempt has a wait for the first byte and a stream after it", () => {
  const { bars, total } = waterfall(ARRIVED, [attempt(100, 1000, 300)]);
  const bar = {
    start: 100,
    waiting: 300,
    streaming: 700,
    gap: 100,
    kind: "arrival",
    isOpen: false,
  };
  assert.deepEqual(bars, [bar]);
  assert.equal(total, 1100);
});

test("without a first byte, all of it is waiting", () => {
  assert.deepEqual(partsOf([failed(0, 400, "unanswered")]), [[0, 400, 0]]);
});

test("a first byte after the end is at the end", () => {
  assert.deepEqual(partsOf([attempt(0, 400, 401)]), [[0, 400, 0]]);
});

test("attempts never overlap, whatever the clocks of instances say", () => {
  const attempts = [
    failed(-50, 400, "model_overloaded"),
    attempt(100, 600, 200),
    attempt(1500, 100, 50),
  ];
  const { bars, total } = waterfall(ARRIVED, attempts);
  assert.deepEqual(
    bars.map(({ start, gap }) => [start, gap]),
    [
      [0, 0],
      [400, 0],
      [1500, 500],
    ],
  );
  assert.equal(total, 1600);
});

test("an attempt without an end reaches to its first byte, if it has one", () => {
  const { bars, total } = waterfall(ARRIVED, [attempt(10, null, 300), attempt(400, null, null)]);
  assert.deepEqual(
    bars.map(({ waiting, streaming, isOpen }) => [waiting, streaming, isOpen]),
    [
      [300, 0, true],
      [0, 0, true],
    ],
  );
  assert.equal(total, 400);
});

test("an attempt at an unreadable time follows the one before", () => {
  const unreadable = { ...attempt(0, 10, 5), called_at: null };
  assert.deepEqual(partsOf([attempt(0, 20, 10), unreadable]), [
    [0, 10, 10],
    [20, 5, 5],
  ]);
});

test("a gap is named by what it was for", () => {
  const after = (outcome, gap) => gapsOf([failed(0, 100, outcome), attempt(100 + gap, 9, 9)])[1];
  assert.deepEqual(after("model_overloaded", 90), [90, "back_off"]);
  assert.deepEqual(after("model_overloaded", 3000), [3000, "wait"]);
  assert.deepEqual(after("quota_per_minute", 800), [800, "wait"]);
  assert.deepEqual(after("quota_per_minute", 4), [4, "choice"]);
  assert.deepEqual(after("not_sent", 4), [4, "choice"]);
});

test("no attempt takes no time", () => {
  assert.deepEqual(waterfall(ARRIVED, []), { bars: [], total: 0 });
});

test("the id of a request tells when it arrived", () => {
  assert.equal(arrivalOf("req_01a3185c507bffffffffffffffffffff"), 1_800_000_000_123);
  for (const other of ["", "req_", "req_zz", "chatcmpl-1"]) assert.equal(arrivalOf(other), null);
});
