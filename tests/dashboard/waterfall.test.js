import assert from "node:assert/strict";
import { test } from "node:test";
import { explainRequest, waterfall } from "../../dashboard/lib/waterfall.js";

const ARRIVED = "2026-11-29T12:00:00.000Z";
const at = (ms) => new Date(Date.parse(ARRIVED) + ms).toISOString();
const attempt = (began, took, firstByte, changes = {}) => ({
  called_at: at(began),
  response_time_ms: took,
  first_byte_ms: firstByte,
  success: true,
  outcome: "success",
  response_status: 200,
  model: "gemini-2.5-flash",
  output_tokens: 100,
  thinking_tokens: null,
  ...changes,
});
const failed = (began, took, outcome) =>
  attempt(began, took, null, { success: false, outcome, output_tokens: null });
const kinds = (attempts) => explainRequest(ARRIVED, attempts).map(({ kind }) => kind);

test("an attempt has a wait for the first byte and a stream after it", () => {
  const { bars, total } = waterfall(ARRIVED, [attempt(100, 1000, 300)]);
  assert.deepEqual(bars, [{ start: 100, waiting: 300, streaming: 700, gap: 100 }]);
  assert.equal(total, 1100);
});

test("without a first byte, all of it is waiting", () => {
  const { bars } = waterfall(ARRIVED, [failed(0, 400, "unanswered")]);
  assert.deepEqual(bars, [{ start: 0, waiting: 400, streaming: 0, gap: 0 }]);
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

test("an attempt under way and an unreadable time take no place", () => {
  const attempts = [attempt(0, null, null), { ...attempt(0, 10, 5), called_at: null }];
  const { bars, total } = waterfall(ARRIVED, attempts);
  assert.deepEqual(bars[1], { start: 0, waiting: 5, streaming: 5, gap: 0 });
  assert.equal(total, 10);
});

test("a fast request needs one sentence", () => {
  assert.deepEqual(kinds([attempt(0, 800, 500)]), ["succeeded"]);
});

test("failed attempts are told together where they ended alike", () => {
  const attempts = [
    failed(0, 100, "model_overloaded"),
    failed(100, 150, "model_overloaded"),
    failed(250, 50, "quota_per_minute"),
    attempt(300, 500, 200),
  ];
  const sentences = explainRequest(ARRIVED, attempts);
  assert.deepEqual(
    sentences.map(({ kind }) => kind),
    ["succeeded", "failed_often", "failed_once"],
  );
  assert.deepEqual(sentences[1].values, { outcome: "model_overloaded", n: 2, ms: 250 });
});

test("slow parts are told: waits, the first byte, thoughts and a long answer", () => {
  assert.deepEqual(kinds([attempt(0, 9000, 6000)]), ["succeeded", "first_byte", "streamed"]);
  assert.deepEqual(kinds([attempt(0, 9000, 8000, { thinking_tokens: 900 })]), [
    "succeeded",
    "thought",
  ]);
  assert.deepEqual(kinds([failed(0, 100, "model_overloaded"), attempt(1100, 500, 200)]), [
    "succeeded",
    "failed_once",
    "waited",
  ]);
  assert.deepEqual(kinds([attempt(900, 500, 200)]), ["succeeded", "began_late"]);
});

test("a failed request and a client that left are told first", () => {
  assert.deepEqual(kinds([failed(0, 100, "client_fault")]), ["failed"]);
  assert.deepEqual(kinds([failed(0, 100, "client_gone")]), ["left"]);
  assert.deepEqual(kinds([]), []);
});
