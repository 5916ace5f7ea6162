// Numbers with their units, and times in the viewer's time zone.

import { currentLanguage, t } from "./i18n.js";

/** Google's quotas of a day begin at midnight here. */
export const QUOTA_ZONE = "America/Los_Angeles";

/** What stands for a missing value. */
export const NONE = "–";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** @typedef {number | null | undefined} Maybe */

/** Formatters, which take long to make: a table needs hundreds of texts for each screen. */
const formatters = new Map();

/**
 * @template T
 * @param {string} kind
 * @param {object} options
 * @param {(language: string) => T} make
 * @returns {T}
 */
function kept(kind, options, make) {
  const language = currentLanguage();
  const name = `${kind} ${language} ${JSON.stringify(options)}`;
  if (!formatters.has(name)) formatters.set(name, make(language));
  return formatters.get(name);
}

/** @param {Intl.NumberFormatOptions} options */
function numbers(options) {
  return kept("number", options, (language) => new Intl.NumberFormat(language, options));
}

/** @param {Maybe} value */
export function number(value, digits = 0) {
  if (value === null || value === undefined) return NONE;
  return numbers({ maximumFractionDigits: digits }).format(value);
}

/** A number in few characters, such as 1.2M. @param {Maybe} value */
export function compact(value) {
  if (value === null || value === undefined) return NONE;
  if (Math.abs(value) < 10000) return number(value);
  const options = /** @type {const} */ ({ notation: "compact", maximumFractionDigits: 1 });
  return numbers(options).format(value);
}

/**
 * A share in percent; none of nothing. It is 100 % only if it is all.
 *
 * @param {number} part
 * @param {number} whole
 */
export function percent(part, whole) {
  if (whole === 0) return NONE;
  const share = Math.floor((part / whole) * 1000) / 1000;
  const options = /** @type {const} */ ({ style: "percent", maximumFractionDigits: 1 });
  return numbers(options).format(share);
}

/** How long something took, in milliseconds, to about three digits. @param {Maybe} ms */
export function duration(ms) {
  if (ms === null || ms === undefined) return NONE;
  if (ms < SECOND) return t("unit.ms", { value: number(Math.round(ms)) });
  if (ms < 10 * SECOND) return t("unit.s", { value: number(ms / SECOND, 2) });
  if (ms < 100 * SECOND) return t("unit.s", { value: number(ms / SECOND, 1) });
  return span(ms);
}

/** A longer time in its two largest units, such as `3 h 20 min`. @param {number} ms */
export function span(ms) {
  const units = /** @type {const} */ ([
    ["unit.d", DAY],
    ["unit.h", HOUR],
    ["unit.min", MINUTE],
    ["unit.s", SECOND],
  ]);
  const rounded = Math.max(Math.round(ms / SECOND), 1) * SECOND;
  const first = units.findIndex(([, length]) => rounded >= length);
  const parts = units.slice(first, first + 2).map(([unit, length], place) => {
    const value = place === 0 ? rounded : rounded % units[first][1];
    return { unit, value: Math.floor(value / length) };
  });
  const shown = parts.filter(({ value }) => value > 0);
  return shown.map(({ unit, value }) => t(unit, { value: number(value) })).join(" ");
}

/**
 * @param {string | number} time
 * @param {Intl.DateTimeFormatOptions} options
 */
function format(time, options) {
  const formatter = kept("time", options, (language) => {
    return new Intl.DateTimeFormat(language, { hourCycle: "h23", ...options });
  });
  return formatter.format(new Date(time));
}

/** A time with its date. @param {string | number} time */
export function dateTime(time) {
  return format(time, { dateStyle: "medium", timeStyle: "medium" });
}

/** A time in few characters: without the date if that is today's. @param {string | number} time */
export function shortTime(time, now = Date.now()) {
  const isToday = format(time, { dateStyle: "short" }) === format(now, { dateStyle: "short" });
  const clock = /** @type {const} */ ({ hour: "2-digit", minute: "2-digit" });
  if (isToday) return format(time, { ...clock, second: "2-digit" });
  const isNear = Math.abs(new Date(time).getTime() - now) < 300 * DAY;
  const year = isNear ? undefined : "numeric";
  return format(time, { year, month: "short", day: "numeric", ...clock });
}

/** A time on the axis of a plot. @param {number} time */
export function clockTime(time) {
  return format(time, { hour: "2-digit", minute: "2-digit" });
}

/** A time on the axis of a plot of several days. @param {number} time */
export function dayAndTime(time) {
  return format(time, { month: "numeric", day: "numeric", hour: "2-digit" });
}

/** @param {string | number} time */
export function date(time) {
  return format(time, { dateStyle: "medium" });
}

/** The day of a quota, which is Google's. @param {string | number} time */
export function quotaDay(time) {
  return format(time, { dateStyle: "medium", timeZone: QUOTA_ZONE });
}

/**
 * How long ago, or how far ahead, a time is, in words.
 *
 * @param {string | number} time
 * @param {number} now
 */
export function relative(time, now) {
  const ms = new Date(time).getTime() - now;
  const words = new Intl.RelativeTimeFormat(currentLanguage(), { numeric: "auto", style: "short" });
  const units = /** @type {const} */ ([
    ["day", DAY],
    ["hour", HOUR],
    ["minute", MINUTE],
  ]);
  for (const [unit, length] of units) {
    if (Math.abs(ms) >= length) return words.format(Math.trunc(ms / length), unit);
  }
  return words.format(Math.trunc(ms / SECOND), "second");
}
