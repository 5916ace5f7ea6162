// Whose fault an outcome is, for its colour and for sums. docs/errors.md explains each outcome.

/** @typedef {"success" | "quota" | "key" | "upstream" | "client" | "other"} Fault */

/** The groups in the order in which plots stack them. @type {readonly Fault[]} */
export const FAULTS = ["success", "quota", "upstream", "key", "client", "other"];

/** @type {Record<string, Fault>} */
const GROUPS = {
  success: "success",
  client_gone: "client",
  client_fault: "client",
  request_too_large: "client",
  request_refused: "client",
  entity_not_found: "client",
  signature_missing: "client",
  signature_refused: "client",
  key_rejected: "key",
  key_restricted: "key",
  credential_misplaced: "key",
  project_refused: "key",
  resource_refused: "key",
  model_refused: "key",
  plan_refused: "key",
  plan_doubted: "key",
  free_tier_refused: "key",
  billing_exhausted: "key",
  egress_refused: "key",
  quota_per_minute: "quota",
  quota_per_day: "quota",
  quota_none: "quota",
  quota_unspecified: "quota",
  tool_quota: "quota",
  empty_answer: "upstream",
  model_overloaded: "upstream",
  upstream_trouble: "upstream",
  not_sent: "upstream",
  unanswered: "upstream",
  pool_fault: "other",
};

/** The outcomes that have a text of their own. */
export const OUTCOMES = Object.keys(GROUPS);

/**
 * @param {string | null | undefined} outcome
 * @returns {Fault}
 */
export function faultOf(outcome) {
  return GROUPS[outcome ?? ""] ?? "other";
}

/**
 * Sums calls by whose fault they ended.
 *
 * @param {Record<string, number>} outcomes
 */
export function sumByFault(outcomes) {
  const sums = Object.fromEntries(FAULTS.map((fault) => [fault, 0]));
  for (const [outcome, calls] of Object.entries(outcomes)) sums[faultOf(outcome)] += calls;
  return /** @type {Record<Fault, number>} */ (sums);
}
