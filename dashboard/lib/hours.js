// The hours of a plot. Statistics leave out hours without calls.

const HOUR_MS = 3_600_000;

/** How far back the overview may go, in hours. */
export const RANGES = { "24h": 24, "7d": 7 * 24, "30d": 30 * 24 };

/** The beginning of the hour that began so many hours before the current one. */
export function hoursAgo(hours, now) {
  return now - (now % HOUR_MS) - hours * HOUR_MS;
}

/**
 * The groups of statistics by hour, with `undefined` for hours without calls, and the times of the
 * hours.
 *
 * @param {import("../types.js").CallGroup[]} groups
 * @param {number} from the beginning of the first hour
 * @param {number} now
 */
export function everyHour(groups, from, now) {
  const byTime = new Map(groups.map((group) => [Date.parse(group.hour ?? ""), group]));
  const times = [];
  for (let time = from; time <= now; time += HOUR_MS) times.push(time);
  return { times, groups: times.map((time) => byTime.get(time)) };
}

/**
 * The sums of groups of calls.
 *
 * @param {import("../types.js").CallGroup[]} groups
 */
export function sumOf(groups) {
  const sum = { requests: 0, calls: 0, successes: 0, input: 0, output: 0, thinking: 0, cached: 0 };
  for (const group of groups) {
    sum.requests += group.requests;
    sum.calls += group.calls;
    sum.successes += group.successes;
    sum.input += group.input_tokens;
    sum.output += group.output_tokens;
    sum.thinking += group.thinking_tokens;
    sum.cached += group.cached_tokens;
  }
  return sum;
}
