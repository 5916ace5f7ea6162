// Why a request failed, or took as long as it did.

import { waterfall } from "./waterfall.js";

/** @typedef {import("../types.js").Call} Call */
/** @typedef {import("./waterfall.js").Bar} Bar */

/**
 * A sentence: the text `slow.KIND` with values, and with `advice` the text `remedy.ADVICE`.
 *
 * @typedef {{kind: string, values: Record<string, unknown>, advice?: string | null}} Sentence
 */

/** A part of a request is worth a sentence from this share of its time on. */
const NOTABLE = 0.2;
/** Requests that are faster than this, in milliseconds, are not slow. */
const FAST_MS = 2000;
/** A wait between attempts is worth a sentence from here on, in milliseconds. */
const NOTABLE_GAP_MS = 200;
/** An answer in one piece has at most this share of its time after the first byte. */
const ONE_PIECE = 0.05;

const QUOTAS = ["quota_per_minute", "quota_per_day"];

/** What can be done about an outcome. @type {Record<string, string>} */
const REMEDIES = {
  quota_per_minute: "quota",
  quota_per_day: "quota",
  quota_unspecified: "quota",
  tool_quota: "quota",
  quota_none: "billing",
  plan_refused: "billing",
  plan_doubted: "billing",
  billing_exhausted: "billing",
  model_overloaded: "overloaded",
  upstream_trouble: "upstream",
  empty_answer: "empty",
  not_sent: "network",
  unanswered: "network",
  key_rejected: "key",
  key_restricted: "key",
  project_refused: "permission",
  resource_refused: "permission",
  model_refused: "permission",
  free_tier_refused: "place",
  egress_refused: "place",
  client_fault: "client",
  request_refused: "client",
  entity_not_found: "client",
  signature_missing: "client",
  signature_refused: "client",
  request_too_large: "too_large",
  client_gone: "patience",
  pool_fault: "pool",
};

/** @param {Call} call */
export function remedyOf(call) {
  return call.drill ? "drill" : (REMEDIES[call.outcome ?? ""] ?? null);
}

/**
 * Why a request failed or took as long as it did: how it ended, then what failed before, then where
 * its time went.
 *
 * @param {string} arrivedAt
 * @param {Call[]} attempts
 * @returns {Sentence[]}
 */
export function explainRequest(arrivedAt, attempts) {
  const { bars, total } = waterfall(arrivedAt, attempts);
  const last = attempts.at(-1);
  const lastBar = bars.at(-1);
  if (!last || !lastBar) return [];
  return withoutRepeats([
    resultOf(last, attempts.length, total),
    ...failuresOf(attempts, bars),
    ...gapsOf(bars),
    ...(total >= FAST_MS ? timesOf(last, lastBar, total) : []),
  ]);
}

/**
 * Each advice once.
 *
 * @param {Sentence[]} sentences
 */
function withoutRepeats(sentences) {
  const given = new Set();
  return sentences.map((sentence) => {
    if (!sentence.advice) return sentence;
    const isGiven = given.has(sentence.advice);
    given.add(sentence.advice);
    return isGiven ? { ...sentence, advice: null } : sentence;
  });
}

/**
 * @param {Call} last
 * @param {number} n
 * @param {number} total
 * @returns {Sentence}
 */
function resultOf(last, n, total) {
  const values = { n, total, outcome: last.outcome };
  if (last.outcome === "client_gone") return { kind: "left", values, advice: "patience" };
  if (last.success) return { kind: "succeeded", values };
  return { kind: "failed", values, advice: remedyOf(last) };
}

/**
 * Failed attempts before the last, together where they ended alike, in the order of the first of
 * each.
 *
 * @param {Call[]} attempts
 * @param {Bar[]} bars
 * @returns {Sentence[]}
 */
function failuresOf(attempts, bars) {
  /** @type {Map<string, number[]>} */
  const groups = new Map();
  attempts.slice(0, -1).forEach((call, at) => {
    const name = `${call.outcome} ${call.drill}`;
    groups.set(name, [...(groups.get(name) ?? []), at]);
  });
  return [...groups.values()].map((places) => {
    const call = attempts[places[0]];
    const ms = places.reduce((sum, at) => sum + bars[at].waiting + bars[at].streaming, 0);
    const values = { n: places.length, ms, key: call.key_id, outcome: call.outcome };
    const advice = remedyOf(call);
    if (places.length > 1) return { kind: "failed_often", values, advice };
    const isSameKey = attempts[places[0] + 1].key_id === call.key_id;
    if (isSameKey) return { kind: "failed_same_key", values, advice };
    const isUsedUp = QUOTAS.includes(call.outcome ?? "") && !call.drill;
    return { kind: isUsedUp ? "used_up" : "failed_once", values, advice };
  });
}

/**
 * Waits before and between attempts.
 *
 * @param {Bar[]} bars
 * @returns {Sentence[]}
 */
function gapsOf(bars) {
  return /** @type {const} */ (["arrival", "back_off", "wait"]).flatMap((kind) => {
    const gaps = bars.filter((bar) => bar.kind === kind);
    const ms = gaps.reduce((sum, { gap }) => sum + gap, 0);
    return ms < NOTABLE_GAP_MS ? [] : [{ kind, values: { ms }, advice: kind }];
  });
}

/**
 * Where the time of the last attempt went.
 *
 * @param {Call} last
 * @param {Bar} bar
 * @param {number} total
 * @returns {Sentence[]}
 */
function timesOf(last, bar, total) {
  const sentences = [];
  const { waiting, streaming } = bar;
  if (waiting >= total * NOTABLE) sentences.push(waitOf(last, bar, total));
  if (streaming >= total * NOTABLE) {
    const tokens = last.output_tokens;
    const rate = tokens ? Math.max(Math.round(tokens / (streaming / 1000)), 1) : null;
    const kind = tokens ? "streamed" : "streamed_unknown";
    sentences.push({ kind, values: { ms: streaming, total, tokens, rate }, advice: "streamed" });
  }
  return sentences;
}

/**
 * @param {Call} last
 * @param {Bar} bar
 * @param {number} total
 * @returns {Sentence}
 */
function waitOf(last, { waiting, streaming }, total) {
  const { thinking_tokens: thinking, output_tokens: tokens, model } = last;
  const values = { ms: waiting, total, model, thinking, tokens };
  if (last.first_byte_ms === null) return { kind: "silent", values, advice: "silent" };
  if (thinking > 0 && thinking >= tokens) return { kind: "thought", values, advice: "thought" };
  const isOnePiece = last.success && streaming <= (waiting + streaming) * ONE_PIECE;
  if (isOnePiece && tokens > 0) return { kind: "one_piece", values, advice: "one_piece" };
  if (thinking > 0) return { kind: "thought", values, advice: "thought" };
  return { kind: "first_byte", values, advice: "first_byte" };
}
