// The language of the dashboard, and its texts.

import { en } from "../strings/en.js";
import { zh } from "../strings/zh.js";

/** @typedef {keyof typeof en} Key */
/** @typedef {"en" | "zh-CN"} Language */

const TABLES = { en, "zh-CN": zh };
const STORED = "keypool.language";

/** @type {Language} */
let language = "en";

/**
 * The first of the browser's languages that the dashboard has.
 *
 * @param {readonly string[]} wanted
 * @returns {Language}
 */
export function bestLanguage(wanted) {
  for (const tag of wanted) {
    if (/^zh\b/i.test(tag)) return "zh-CN";
    if (/^en\b/i.test(tag)) return "en";
  }
  return "en";
}

/** Chooses the language that was chosen before, or the browser's. */
export function initLanguage() {
  const stored = localStorage.getItem(STORED);
  setLanguage(stored === "en" || stored === "zh-CN" ? stored : bestLanguage(navigator.languages));
}

/** @param {Language} chosen */
export function chooseLanguage(chosen) {
  localStorage.setItem(STORED, chosen);
  setLanguage(chosen);
}

/** @param {Language} chosen */
export function setLanguage(chosen) {
  language = chosen;
  if (typeof document !== "undefined") document.documentElement.lang = chosen;
}

export function currentLanguage() {
  return language;
}

/**
 * A text in the current language. `{name}` stands for a value. A text with forms, such as
 * `{one: …, other: …}`, is chosen by the number `n`. The tests check that all keys exist.
 *
 * @param {string} key
 * @param {Record<string, unknown>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  /** @type {string | {one?: string, other: string}} */
  const entry = TABLES[language][/** @type {Key} */ (key)];
  const text = typeof entry === "string" ? entry : formOf(entry, Number(values.n));
  return fill(text, values);
}

/**
 * The text for a name of the API, such as an outcome; the name itself if there is none, since a
 * newer pool may have more of them.
 *
 * @param {string} group
 * @param {string | null | undefined} name
 * @param {Record<string, unknown>} [values]
 * @returns {string}
 */
export function named(group, name, values) {
  const key = `${group}.${name}`;
  return key in TABLES.en ? t(key, values) : (name ?? "–");
}

/**
 * @param {{one?: string, other: string}} forms
 * @param {number} n
 */
function formOf(forms, n) {
  const form = new Intl.PluralRules(language).select(n);
  return form === "one" && forms.one !== undefined ? forms.one : forms.other;
}

/**
 * @param {string} text
 * @param {Record<string, unknown>} values numbers are grouped
 */
function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (place, name) => {
    const value = values[name];
    if (value === undefined) return place;
    return typeof value === "number" ? value.toLocaleString(language) : String(value);
  });
}
