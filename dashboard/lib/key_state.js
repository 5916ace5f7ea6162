// What state a key is in, why, and what to do about it.

/**
 * A sentence about a key: the text `why.KIND` of the strings, and what to do `why.KIND.advice`.
 *
 * @typedef {{kind: string, values: Record<string, unknown>}} Sentence
 */

const ERROR_WORDS = /^([a-z_]+)(?::\s*(.*))?$/s;

/** From this many failures in a row, a key is worth a look. */
const SEVERAL_FAILURES = 3;

/**
 * The outcome and the upstream's words in the reason that the pool gives for a state; an operator's
 * reason has no outcome.
 *
 * @param {string | null} reason
 * @param {string[]} outcomes the known ones
 */
export function readReason(reason, outcomes) {
  const match = ERROR_WORDS.exec(reason ?? "");
  if (!match || !outcomes.includes(match[1])) return { outcome: null, words: reason ?? "" };
  return { outcome: match[1], words: match[2] ?? "" };
}

/**
 * Why a key is or is not in use. The first sentence is about its state.
 *
 * @param {import("../types.js").Key} key
 * @param {string[]} outcomes the known ones
 * @param {number} now in milliseconds
 * @returns {Sentence[]}
 */
export function whyOf(key, outcomes, now) {
  const sentences = [stateOf(key, outcomes, now)];
  const cooling = key.cooling.filter(({ until }) => Date.parse(until ?? "") > now);
  if (key.status === "active" && cooling.length > 0) sentences[0].kind = "active_but";
  for (const { model, reason, until, scope } of cooling) {
    const kind = scope.startsWith("project:") ? "project_cools" : "key_cools";
    sentences.push({ kind, values: { model, outcome: reason, until, project: key.project } });
  }
  if (key.status === "active" && key.consecutive_failures >= SEVERAL_FAILURES) {
    const values = { n: key.consecutive_failures, outcome: key.last_outcome };
    sentences.push({ kind: "failing", values });
  }
  if (key.drill) {
    const { fault, calls_left: n } = key.drill;
    sentences.push({ kind: "drill", values: { fault, n } });
  }
  return sentences;
}

/**
 * @param {import("../types.js").Key} key
 * @param {string[]} outcomes
 * @param {number} now
 * @returns {Sentence}
 */
function stateOf(key, outcomes, now) {
  const { status, disabled_until: until } = key;
  const { outcome, words } = readReason(key.disabled_reason, outcomes);
  switch (status) {
    case "active":
      return { kind: "active", values: {} };
    case "cooling":
      if (Date.parse(until ?? "") <= now) return { kind: "pause_over", values: { until } };
      return outcome
        ? { kind: "paused_by_pool", values: { outcome, words, until } }
        : { kind: "paused", values: { until } };
    case "disabled":
      return outcome
        ? { kind: "disabled_by_pool", values: { outcome, words } }
        : { kind: "disabled", values: { words: words || "–" } };
    default:
      return { kind: "unknown", values: {} };
  }
}
