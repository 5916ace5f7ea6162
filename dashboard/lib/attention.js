// What needs an operator's attention, from what the API tells of the pool.

import { readReason } from "./key_state.js";
import { faultOf, OUTCOMES } from "./outcomes.js";
import { linkTo } from "./route.js";

/**
 * Something that needs attention. Its text is `attention.KIND` of the strings, and what to do about
 * it `attention.KIND.advice`.
 *
 * @typedef {object} Item
 * @property {string} kind
 * @property {"bad" | "warn" | "info"} tone
 * @property {Record<string, unknown>} values of the texts; times are in ISO 8601
 * @property {string} [link] where to look
 */

/**
 * @typedef {object} Facts
 * @property {import("../types.js").Pool} [pool]
 * @property {import("../types.js").Key[]} [paused] keys that are out of use until a time
 * @property {import("../types.js").ModelBudget[]} [budgets]
 * @property {import("../types.js").CallGroup[]} [hours] the last hours, the latest last
 * @property {{unreadable: number}} [encryption]
 * @property {import("../types.js").Token[]} [tokens]
 * @property {number} now in milliseconds
 */

const HOUR_MS = 3_600_000;
const TOKEN_EXPIRES_SOON_MS = 7 * 24 * HOUR_MS;
/** Fewer requests than this say nothing about how well the pool works. */
const ENOUGH_REQUESTS = 20;
const LOW_SUCCESS = 0.9;
/** More keys than this are told in one sentence. */
const MANY_KEYS = 3;
/** The pool tells no more disabled keys than this. */
const MAX_DISABLED = 20;

const TONES = ["bad", "warn", "info"];

/**
 * The worst first.
 *
 * @param {Facts} facts
 * @returns {Item[]}
 */
export function attention(facts) {
  const items = [
    ...aboutKeys(facts),
    ...aboutPausedKeys(facts),
    ...aboutCalls(facts),
    ...aboutBudgets(facts),
    ...aboutTokens(facts),
    ...aboutSettings(facts),
  ];
  return items.sort((one, other) => TONES.indexOf(one.tone) - TONES.indexOf(other.tone));
}

/**
 * @param {Facts} facts
 * @returns {Item[]}
 */
function aboutKeys({ pool, encryption }) {
  /** @type {Item[]} */
  const items = [];
  if (!pool) return items;
  const { keys, suspicion, disabled_lately: disabled } = pool;
  if (keys.total > 0 && keys.active === 0) {
    items.push({
      kind: "no_active_key",
      tone: "bad",
      values: { n: keys.total },
      link: linkTo(["keys"]),
    });
  }
  if (suspicion) {
    const { outcome, keys, latest_at: at } = suspicion;
    items.push({ kind: "suspicion", tone: "bad", values: { outcome, n: keys, at } });
  }
  if (disabled.length > MANY_KEYS) {
    const link = linkTo(["keys"], { status: "disabled" });
    const n = disabled.length < MAX_DISABLED ? disabled.length : `≥ ${MAX_DISABLED}`;
    items.push({ kind: "keys_disabled", tone: "warn", values: { n }, link });
  } else {
    for (const { id, name, reason, disabled_at: at } of disabled) {
      const { outcome, words } = readReason(reason, OUTCOMES);
      const values = { name: name ?? `#${id}`, outcome, words: words || "–", at };
      items.push({ kind: "key_disabled", tone: "warn", values, link: linkTo(["keys", id]) });
    }
  }
  if (encryption && encryption.unreadable > 0) {
    const values = { n: encryption.unreadable };
    const link = linkTo(["settings"], { tab: "encryption" });
    items.push({ kind: "keys_unreadable", tone: "bad", values, link });
  }
  if (pool.drills > 0) {
    items.push({
      kind: "drills",
      tone: "info",
      values: { n: pool.drills },
      link: linkTo(["keys"]),
    });
  }
  return items;
}

/**
 * Keys that the pool has paused for a fault of theirs: the pool tries them again, but somebody has to
 * remove the cause.
 *
 * @param {Facts} facts
 * @returns {Item[]}
 */
function aboutPausedKeys({ paused = [] }) {
  const refused = paused.flatMap(({ id, name, disabled_reason: reason, disabled_until: at }) => {
    const { outcome } = readReason(reason, OUTCOMES);
    const values = { name: name ?? `#${id}`, outcome, at };
    return faultOf(outcome) === "key" ? [{ values, link: linkTo(["keys", id]) }] : [];
  });
  if (refused.length <= MANY_KEYS) {
    return refused.map((key) => ({ kind: "key_paused", tone: "warn", ...key }));
  }
  const link = linkTo(["keys"], { status: "cooling" });
  return [{ kind: "keys_paused", tone: "warn", values: { n: refused.length }, link }];
}

/**
 * The calls of the last two hours, if too few succeed.
 *
 * @param {Facts} facts
 * @returns {Item[]}
 */
function aboutCalls({ hours = [], now }) {
  const recent = hours.filter(({ hour }) => now - Date.parse(hour ?? "") < 2 * HOUR_MS);
  let requests = 0;
  let successes = 0;
  /** @type {Record<string, number>} */
  const failures = {};
  for (const group of recent) {
    requests += group.requests;
    successes += group.successes;
    for (const [outcome, calls] of Object.entries(group.outcomes)) {
      // A client that leaves or errs is no fault of the pool.
      if (faultOf(outcome) === "client") requests -= calls;
      else if (outcome !== "success") failures[outcome] = (failures[outcome] ?? 0) + calls;
    }
  }
  const [most] = Object.entries(failures).sort((one, other) => other[1] - one[1]);
  if (requests < ENOUGH_REQUESTS || successes >= requests * LOW_SUCCESS || !most) return [];
  const [outcome, calls] = most;
  return [
    {
      kind: "low_success",
      tone: "warn",
      values: { successes, requests, outcome, calls },
      link: linkTo(["calls"], { outcome }),
    },
  ];
}

/**
 * Budgets of a day that are used up, or will be before they reset.
 *
 * @param {Facts} facts
 * @returns {Item[]}
 */
function aboutBudgets({ budgets = [] }) {
  return budgets
    .filter(({ limit, left, ends_at }) => limit > 0 && (left === 0 || ends_at !== null))
    .map(({ model, unit, left, ends_at, resets_at }) => ({
      kind: left === 0 ? "budget_used_up" : "budget_ends",
      tone: left === 0 ? "bad" : "warn",
      values: { model, unit, at: ends_at, resets_at },
      link: model ? linkTo(["explain"], { model }) : undefined,
    }));
}

/**
 * @param {Facts} facts
 * @returns {Item[]}
 */
function aboutTokens({ tokens = [], now }) {
  const ends = tokens.filter(({ state, expires_at: at }) => {
    const left = Date.parse(at ?? "") - now;
    return state === "active" && left > 0 && left < TOKEN_EXPIRES_SOON_MS;
  });
  return ends.map(({ id, name, expires_at: at }) => ({
    kind: "token_expires",
    tone: "info",
    values: { name: name ?? `#${id}`, at },
    link: linkTo(["tokens"]),
  }));
}

/**
 * @param {Facts} facts
 * @returns {Item[]}
 */
function aboutSettings({ pool }) {
  return (pool?.warnings ?? []).map((text) => ({
    kind: "warning",
    tone: "info",
    values: { text },
    link: linkTo(["settings"]),
  }));
}
