// One request with its attempts, over time.

/** @typedef {import("../types.js").Call} Call */

/**
 * A part of the time of a request.
 *
 * @typedef {object} Bar
 * @property {number} start in milliseconds since the request arrived
 * @property {number} waiting until the first byte, in milliseconds; all of it without a first byte
 * @property {number} streaming after the first byte
 * @property {number} gap since the attempt before ended, or the request arrived
 * @property {Gap} kind of the gap
 * @property {boolean} isOpen whether its end is not known
 */

/**
 * What a gap was for: the time before the first attempt, the back-off after trouble of the upstream,
 * the choice of another key, or the wait until one was available.
 *
 * @typedef {"arrival" | "back_off" | "choice" | "wait"} Gap
 */

/** The outcomes after which the pool backs off. */
const BACKS_OFF = new Set(["model_overloaded", "upstream_trouble", "not_sent", "unanswered"]);
/** The longest back-off, with some time for the choice of a key, in milliseconds. */
const LONGEST_BACK_OFF_MS = 2_200;
/** The choice of a key takes less than this, in milliseconds. */
const LONGEST_CHOICE_MS = 50;

/**
 * The bars of the attempts, and how long the request took in all.
 *
 * The pool makes one attempt after another, but clocks of instances differ: an attempt that seems to
 * begin before the request arrived, or before the attempt before it ended, begins there.
 *
 * @param {string} arrivedAt
 * @param {Call[]} attempts
 */
export function waterfall(arrivedAt, attempts) {
  const arrived = Date.parse(arrivedAt);
  let end = 0;
  const bars = attempts.map((attempt, at) => {
    const began = Date.parse(attempt.called_at ?? "") - arrived;
    const start = Math.max(Number.isNaN(began) ? end : began, end);
    const isOpen = attempt.response_time_ms === null;
    const duration = attempt.response_time_ms ?? attempt.first_byte_ms ?? 0;
    const waiting = Math.min(attempt.first_byte_ms ?? duration, duration);
    const gap = start - end;
    const kind = gapAfter(attempts[at - 1], gap);
    end = start + duration;
    return { start, waiting, streaming: duration - waiting, gap, kind, isOpen };
  });
  return { bars, total: end };
}

/**
 * @param {Call | undefined} before
 * @param {number} gap
 * @returns {Gap}
 */
function gapAfter(before, gap) {
  if (before === undefined) return "arrival";
  if (gap < LONGEST_CHOICE_MS) return "choice";
  return BACKS_OFF.has(before.outcome ?? "") && gap <= LONGEST_BACK_OFF_MS ? "back_off" : "wait";
}

/**
 * When a request arrived, which its id tells; `null` if it is none.
 *
 * @param {string} id
 */
export function arrivalOf(id) {
  const [, time] = /^req_([0-9a-f]{12})[0-9a-f]{20}$/.exec(id) ?? [];
  return time === undefined ? null : Number.parseInt(time, 16);
}
