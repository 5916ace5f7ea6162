// One request with its attempts, over time.

/**
 * A part of the time of a request.
 *
 * @typedef {object} Bar
 * @property {number} start in milliseconds since the request arrived
 * @property {number} waiting until the first byte, in milliseconds; all of it without a first byte
 * @property {number} streaming after the first byte
 * @property {number} gap since the attempt before ended, or the request arrived
 */

/**
 * The bars of the attempts, and how long the request took in all.
 *
 * Clocks of instances differ, so an attempt may seem to begin before the request arrived or the
 * attempt before it ended: it then begins there.
 *
 * @param {string} arrivedAt
 * @param {import("../types.js").Call[]} attempts
 */
export function waterfall(arrivedAt, attempts) {
  const arrived = Date.parse(arrivedAt);
  let before = 0;
  const bars = attempts.map((attempt) => {
    const began = Date.parse(attempt.called_at ?? "") - arrived;
    const start = Math.max(Number.isNaN(began) ? before : began, before);
    const duration = attempt.response_time_ms ?? 0;
    const waiting = Math.min(attempt.first_byte_ms ?? duration, duration);
    const bar = { start, waiting, streaming: duration - waiting, gap: start - before };
    before = start + duration;
    return bar;
  });
  return { bars, total: before };
}

/** A part of a request is worth a sentence from this share of its time on. */
const NOTABLE = 0.25;
/** Requests that are faster than this, in milliseconds, are not slow. */
const FAST_MS = 2000;
/** A wait between attempts is worth a sentence from here on, in milliseconds. */
const NOTABLE_GAP_MS = 200;

/**
 * Why a request failed or took as long as it did: sentences with the texts `slow.KIND` and, if there
 * is something to do, `slow.KIND.advice`.
 *
 * @param {string} arrivedAt
 * @param {import("../types.js").Call[]} attempts
 * @returns {{kind: string, values: Record<string, unknown>}[]}
 */
export function explainRequest(arrivedAt, attempts) {
  const { bars, total } = waterfall(arrivedAt, attempts);
  const last = attempts.at(-1);
  const lastBar = bars.at(-1);
  if (!last || !lastBar) return [];
  const failures = attempts.slice(0, -1);
  /** @type {{kind: string, values: Record<string, unknown>}[]} */
  const sentences = [resultOf(last, attempts.length, total)];
  for (const group of groupFailures(failures, bars)) {
    sentences.push({ kind: group.n === 1 ? "failed_once" : "failed_often", values: group });
  }
  const gaps = bars.slice(1).reduce((sum, { gap }) => sum + gap, 0);
  if (gaps >= NOTABLE_GAP_MS) sentences.push({ kind: "waited", values: { ms: gaps } });
  const [first] = bars;
  if (first.gap >= NOTABLE_GAP_MS)
    sentences.push({ kind: "began_late", values: { ms: first.gap } });
  if (total >= FAST_MS) {
    if (lastBar.waiting >= total * NOTABLE) {
      const values = {
        ms: lastBar.waiting,
        total,
        model: last.model,
        thinking: last.thinking_tokens,
      };
      const kind = (last.thinking_tokens ?? 0) > 0 ? "thought" : "first_byte";
      sentences.push({ kind, values });
    }
    if (lastBar.streaming >= total * NOTABLE) {
      const values = { ms: lastBar.streaming, total, tokens: last.output_tokens ?? 0 };
      sentences.push({ kind: "streamed", values });
    }
  }
  return sentences;
}

/**
 * @param {import("../types.js").Call} last
 * @param {number} n
 * @param {number} total
 */
function resultOf(last, n, total) {
  const values = { n, total, outcome: last.outcome, status: last.response_status };
  if (last.success) return { kind: "succeeded", values };
  return { kind: last.outcome === "client_gone" ? "left" : "failed", values };
}

/**
 * Failed attempts, together where they ended alike, in the order of the first of each.
 *
 * @param {import("../types.js").Call[]} failures
 * @param {Bar[]} bars
 */
function groupFailures(failures, bars) {
  /** @type {Map<string | null, {outcome: string | null, n: number, ms: number}>} */
  const groups = new Map();
  failures.forEach(({ outcome }, at) => {
    const group = groups.get(outcome) ?? { outcome, n: 0, ms: 0 };
    group.n += 1;
    group.ms += bars[at].waiting + bars[at].streaming;
    groups.set(outcome, group);
  });
  return [...groups.values()];
}
