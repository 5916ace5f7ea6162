// The form of a client token, and what its limits and its use come to.

import { QUOTA_ZONE } from "./format.js";

/** @typedef {import("../types.d.ts").Token} Token */
/** @typedef {import("../types.d.ts").CallGroup} CallGroup */

/** The most models or networks of a token, and the longest name: rules of the admin API. */
const MAX_ITEMS = 100;
const MAX_NAME = 200;
const MAX_MODEL = 128;

const HOUR = 3_600_000;

/**
 * The texts in the form, by the names that the API gives to its parameters.
 *
 * @typedef {object} TokenForm
 * @property {string} name
 * @property {string} models
 * @property {string} networks
 * @property {string} requests_per_minute
 * @property {string} tokens_per_day
 * @property {string} expires_at a time in the viewer's zone, such as `2027-06-30T09:00`
 */

/** @typedef {keyof TokenForm} TokenField */

/**
 * What is wrong with a field: which rule it breaks, and the value that does.
 *
 * @typedef {{rule: "required" | "long" | "model" | "network" | "many" | "number" | "past" | "time", value: string}} Problem
 */

/** @type {readonly TokenField[]} */
export const TOKEN_FIELDS = [
  "name",
  "models",
  "networks",
  "requests_per_minute",
  "tokens_per_day",
  "expires_at",
];

/** @type {Readonly<TokenForm>} */
export const EMPTY_FORM = Object.freeze({
  name: "",
  models: "",
  networks: "",
  requests_per_minute: "",
  tokens_per_day: "",
  expires_at: "",
});

/**
 * The form of a token as it is.
 *
 * @param {Token} token
 * @returns {TokenForm}
 */
export function formOf(token) {
  return {
    name: token.name ?? "",
    models: (token.models ?? []).join("\n"),
    networks: (token.networks ?? []).join("\n"),
    requests_per_minute: String(token.requests_per_minute ?? ""),
    tokens_per_day: String(token.tokens_per_day ?? ""),
    expires_at: token.expires_at ? localTime(token.expires_at) : "",
  };
}

/**
 * What a form asks the API for. Only fields that differ from `before` count, so that a time in the
 * past, or a limit that somebody else changes meanwhile, stays as it is. An empty field is `null`,
 * which removes a limit.
 *
 * @param {TokenForm} form
 * @param {TokenForm} before
 * @param {number} now
 */
export function parseForm(form, before, now) {
  /** @type {Partial<Record<TokenField, unknown>>} */
  const values = {};
  /** @type {Partial<Record<TokenField, Problem>>} */
  const problems = {};
  for (const field of TOKEN_FIELDS) {
    const text = form[field].trim();
    // A new token needs a name, also one that nobody has touched.
    if (text === before[field].trim() && (field !== "name" || text !== "")) continue;
    const { value, problem } = PARSERS[field](text, now);
    if (problem) problems[field] = problem;
    else values[field] = value;
  }
  return { values, problems };
}

/** @type {Record<TokenField, (text: string, now: number) => {value?: unknown, problem?: Problem}>} */
const PARSERS = {
  name: parseName,
  models: (text) => parseList(text, isModelPattern, "model"),
  networks: (text) => parseList(text, isNetwork, "network"),
  requests_per_minute: parseLimit,
  tokens_per_day: parseLimit,
  expires_at: parseExpiry,
};

/** @param {string} text */
function parseName(text) {
  if (text === "") return wrong("required", text);
  return text.length > MAX_NAME ? wrong("long", String(MAX_NAME)) : { value: text };
}

/**
 * @param {string} text items between blanks, commas, semicolons or line breaks
 * @param {(item: string) => boolean} isValid
 * @param {"model" | "network"} rule
 */
function parseList(text, isValid, rule) {
  const items = [...new Set(text.split(/[\s,;，；、]+/).filter((item) => item !== ""))];
  if (items.length === 0) return { value: null };
  if (items.length > MAX_ITEMS) return wrong("many", String(MAX_ITEMS));
  const invalid = items.find((item) => !isValid(item));
  return invalid === undefined ? { value: items } : wrong(rule, invalid);
}

/** @param {string} text a whole number, perhaps with separators, or such as `2M` */
function parseLimit(text) {
  if (text === "") return { value: null };
  const number = parseNumber(text);
  return number === null || number < 1 ? wrong("number", text) : { value: number };
}

/**
 * A whole number as people write it: `2000000`, `2,000,000`, `2 000 000`, `2M`, `1.5k`.
 *
 * @param {string} text
 * @returns {number | null}
 */
export function parseNumber(text) {
  const match = /^(\d+(?:[,_'\s]\d{3})*)(\.\d+)?\s*([kmb万亿]?)$/i.exec(text.trim());
  if (!match) return null;
  const [, whole, fraction = "", unit] = match;
  const factor = { "": 1, k: 1e3, m: 1e6, b: 1e9, 万: 1e4, 亿: 1e8 }[unit.toLowerCase()];
  const number = Number(whole.replace(/\D/g, "") + fraction) * factor;
  const rounded = Math.round(number);
  // 1.1 × 1e6 is not quite whole.
  const isWhole = Math.abs(number - rounded) < 1e-6;
  return isWhole && Number.isSafeInteger(rounded) ? rounded : null;
}

/**
 * @param {string} text
 * @param {number} now
 */
function parseExpiry(text, now) {
  if (text === "") return { value: null };
  // Without a zone, a time is in the viewer's.
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) return wrong("time", text);
  return time.getTime() <= now ? wrong("past", text) : { value: time.toISOString() };
}

/**
 * @param {Problem["rule"]} rule
 * @param {string} value
 * @returns {{problem: Problem}}
 */
function wrong(rule, value) {
  return { problem: { rule, value } };
}

/** Whether this can be a model, or a pattern in which `*` stands for any characters. */
export function isModelPattern(/** @type {string} */ text) {
  return text.length <= MAX_MODEL && /^[\w.:/@*-]+$/.test(text);
}

/** Whether this looks like an address or a network. The API is stricter. */
export function isNetwork(/** @type {string} */ text) {
  const [address, bits, more] = text.split("/");
  if (more !== undefined || (bits !== undefined && !/^\d{1,3}$/.test(bits))) return false;
  const isV4 = /^\d{1,3}(\.\d{1,3}){3}$/.test(address);
  if (isV4)
    return address.split(".").every((part) => Number(part) < 256) && Number(bits ?? 32) < 33;
  return /^[\da-f:.]*:[\da-f:.]*$/i.test(address) && Number(bits ?? 128) < 129;
}

/**
 * The field that an error of the API is about: `models` for `models[1]`.
 *
 * @param {string | null | undefined} param
 * @returns {TokenField | null}
 */
export function fieldOf(param) {
  const name = (param ?? "").replace(/[[.].*$/, "");
  return TOKEN_FIELDS.find((field) => field === name) ?? null;
}

/** A time in the viewer's zone as an input for times takes it. */
export function localTime(/** @type {string | number} */ time) {
  const at = new Date(time);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/**
 * When the day of Google's quotas began, in milliseconds: the latest midnight in Los Angeles.
 *
 * @param {number} now
 */
export function quotaDayStart(now) {
  const clock = new Intl.DateTimeFormat("en-US", {
    timeZone: QUOTA_ZONE,
    hourCycle: "h23",
    hour: "numeric",
  });
  // The clock is put on or back at two, so that some days have 23 or 25 hours: look for the hour.
  let hour = Math.floor(now / HOUR) * HOUR;
  while (Number(clock.format(hour)) !== 0) hour -= HOUR;
  return hour;
}

/**
 * What counts towards `tokens_per_day`: prompts, answers and thoughts.
 *
 * @param {CallGroup} group
 */
export function tokensOf(group) {
  return group.input_tokens + group.output_tokens + group.thinking_tokens;
}

/**
 * Groups of `statistics?by=token` by the id of the token; the built-in one has none.
 *
 * @param {{items: CallGroup[], next_cursor: string | null} | undefined} page
 * @returns {(id: number | null) => CallGroup | null | undefined} `null` for no calls, and `undefined`
 *   while that is not known
 */
export function usesByToken(page) {
  const groups = new Map(page?.items.map((group) => [group.token_id ?? null, group]));
  const isComplete = page !== undefined && page.next_cursor === null;
  return (id) => groups.get(id) ?? (isComplete ? null : undefined);
}

/**
 * A ready-made beginning for a client.
 *
 * @param {"environment" | "python" | "claude"} client
 * @param {{base: string, token: string, models: string[] | null}} pool `base` ends with `/`
 */
export function snippetFor(client, { base, token, models }) {
  const model = models?.find((model) => !model.includes("*")) ?? "gemini-flash-latest";
  if (client === "environment") {
    return `export OPENAI_BASE_URL="${base}v1"\nexport OPENAI_API_KEY="${token}"`;
  }
  if (client === "claude") {
    return `export ANTHROPIC_BASE_URL="${base.replace(/\/$/, "")}"\nexport ANTHROPIC_AUTH_TOKEN="${token}"\nexport ANTHROPIC_MODEL="${model}"`;
  }
  return `from openai import OpenAI

client = OpenAI(base_url="${base}v1", api_key="${token}")
answer = client.chat.completions.create(
    model="${model}",
    messages=[{"role": "user", "content": "Hello"}],
)
print(answer.choices[0].message.content)`;
}
