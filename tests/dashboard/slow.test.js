import assert from "node:assert/strict";
import { test } from "node:test";
import { named } from "../../dashboard/lib/i18n.js";
import { OUTCOMES } from "../../dashboard/lib/outcomes.js";
import { explainRequest, remedyOf } from "../../dashboard/lib/slow.js";
import { en } from "../../dashboard/strings/en.js";

const ARRIVED = "2026-11-29T12:00:00.000Z";
let nextKey = 1;
const attempt = (began, took, firstByte, changes = {}) => ({
  called_at: new Date(Date.parse(ARRIVED) + began).toISOString(),
  key_id: nextKey++,
  response_time_ms: took,
  first_byte_ms: firstByte,
  success: true,
  outcome: "success",
  model: "gemini-2.5-flash",
  output_tokens: 100,
  thinking_tokens: null,
  drill: false,
  ...changes,
});
const failed = (began, took, outcome, changes = {}) =>
  attempt(began, took, null, { success: false, outcome, output_tokens: null, ...changes });
const kinds = (attempts) => explainRequest(ARRIVED, attempts).map(({ kind }) => kind);

test("a fast request needs one sentence", () => {
  assert.deepEqual(kinds([attempt(0, 800, 500)]), ["succeeded"]);
});

test("a quota that was used up is told with its key", () => {
  const attempts = [failed(0, 120, "quota_per_minute", { key_id: 7 }), attempt(125, 500, 200)];
  const [, sentence] = explainRequest(ARRIVED, attempts);
  assert.deepEqual(sentence, {
    kind: "used_up",
    values: { n: 1, ms: 120, key: 7, outcome: "quota_per_minute" },
    advice: "quota",
  });
});

test("failed attempts are told together where they ended alike", () => {
  const attempts = [
    failed(0, 100, "model_overloaded"),
    failed(100, 150, "model_overloaded"),
    failed(250, 50, "resource_refused"),
    attempt(300, 500, 200),
  ];
  const sentences = explainRequest(ARRIVED, attempts);
  assert.deepEqual(
    sentences.map(({ kind }) => kind),
    ["succeeded", "failed_often", "failed_once"],
  );
  assert.deepEqual([sentences[1].values.n, sentences[1].values.ms], [2, 250]);
});

test("another attempt with the same key is not told as another key", () => {
  const attempts = [failed(0, 10, "not_sent", { key_id: 3 }), attempt(10, 9, 9, { key_id: 3 })];
  assert.deepEqual(kinds(attempts), ["succeeded", "failed_same_key"]);
});

test("waits are told by what they were for", () => {
  assert.deepEqual(kinds([attempt(900, 500, 200)]), ["succeeded", "arrival"]);
  const overloaded = failed(0, 100, "model_overloaded");
  assert.deepEqual(kinds([overloaded, attempt(1100, 500, 200)]).slice(2), ["back_off"]);
  const limited = failed(0, 100, "quota_per_minute");
  assert.deepEqual(kinds([limited, attempt(5100, 500, 200)]).slice(2), ["wait"]);
});

test("the wait for the first byte is told by why it was long", () => {
  assert.deepEqual(kinds([attempt(0, 9000, 8000)]), ["succeeded", "first_byte"]);
  const thought = { thinking_tokens: 900 };
  assert.deepEqual(kinds([attempt(0, 9000, 8000, thought)]), ["succeeded", "thought"]);
  assert.deepEqual(kinds([attempt(0, 9000, 8990)]), ["succeeded", "one_piece"]);
  assert.deepEqual(kinds([attempt(0, 9000, 8990, thought)]), ["succeeded", "thought"]);
  assert.deepEqual(kinds([failed(0, 60_000, "upstream_trouble")]), ["failed", "silent"]);
});

test("a long answer is told with how fast it came, if its tokens are known", () => {
  const [, sentence] = explainRequest(ARRIVED, [attempt(0, 39_000, 1000, { output_tokens: 2100 })]);
  assert.deepEqual(
    [sentence.kind, sentence.values.tokens, sentence.values.rate],
    ["streamed", 2100, 55],
  );
  const unknown = attempt(0, 39_000, 1000, { output_tokens: null });
  assert.deepEqual(kinds([unknown]), ["succeeded", "streamed_unknown"]);
});

test("a failed request and a client that left are told first", () => {
  assert.deepEqual(kinds([failed(0, 100, "client_fault")]), ["failed"]);
  assert.deepEqual(kinds([attempt(0, 100, 50, { outcome: "client_gone" })]), ["left"]);
  assert.deepEqual(kinds([]), []);
});

test("every failure has a remedy, and every sentence has its text", () => {
  const harmless = ["success", "credential_misplaced"];
  for (const outcome of OUTCOMES.filter((outcome) => !harmless.includes(outcome))) {
    const remedy = remedyOf({ outcome, drill: false });
    assert.ok(`remedy.${remedy}` in en, `${outcome}: ${remedy}`);
  }
  const attempts = [
    failed(300, 100, "quota_per_day", { drill: true }),
    failed(1200, 200, "upstream_trouble"),
    attempt(5000, 9000, 4000),
  ];
  for (const { kind, values, advice } of explainRequest(ARRIVED, attempts)) {
    const words = { ...values, key: "Anna" };
    for (const text of [named("slow", kind, words), advice ? named("remedy", advice, words) : ""]) {
      assert.doesNotMatch(text, /\{\w+\}|undefined/, text);
    }
  }
});

test("each advice is given once", () => {
  const attempts = [failed(0, 1, "not_sent"), failed(2, 1, "not_sent"), failed(4, 1, "unanswered")];
  const advice = explainRequest(ARRIVED, attempts).map(({ advice }) => advice);
  assert.deepEqual(advice, ["network", null]);
});

test("what a fault drill ended is not Google's doing", () => {
  assert.equal(remedyOf(failed(0, 1, "quota_per_minute", { drill: true })), "drill");
});
