// The cells of the heat map: how the calls of a key ended, hour by hour.

import { sumByFault } from "./outcomes.js";

/** The faults that a cell may show, in the order in which they matter. */
const FAILURES = /** @type {const} */ (["key", "quota", "upstream", "client", "other"]);
/** From this share on, failures give a cell its colour. */
const NOTABLE = 0.2;

/**
 * @typedef {object} Cell
 * @property {number} time the beginning of the hour
 * @property {number} calls
 * @property {number} failures
 * @property {import("./outcomes.js").Fault | null} fault what the cell shows; `null` without calls
 * @property {number} strength from 0 to 4, by the number of calls
 */

/**
 * The cells of a key, one per hour.
 *
 * @param {{hour: string, outcomes: Record<string, number>}[]} hours
 * @param {number[]} times the beginnings of the hours
 * @returns {Cell[]}
 */
export function cellsOf(hours, times) {
  const byTime = new Map(hours.map(({ hour, outcomes }) => [Date.parse(hour), outcomes]));
  return times.map((time) => cellOf(time, byTime.get(time) ?? {}));
}

/**
 * @param {number} time
 * @param {Record<string, number>} outcomes
 * @returns {Cell}
 */
function cellOf(time, outcomes) {
  const sums = sumByFault(outcomes);
  const failures = FAILURES.reduce((sum, fault) => sum + sums[fault], 0);
  const calls = failures + sums.success;
  if (calls === 0) return { time, calls, failures, fault: null, strength: 0 };
  const worst = FAILURES.toSorted((one, other) => sums[other] - sums[one])[0];
  const fault = failures >= calls * NOTABLE ? worst : "success";
  return {
    time,
    calls,
    failures,
    fault,
    strength: Math.min(Math.ceil(Math.log10(calls + 1) * 2), 4),
  };
}
