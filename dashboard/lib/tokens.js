// The form of a client token, and what its limits and its use come to.

import { QUOTA_ZONE } from "./format.js";
import { timeOf, toLocalInput } from "./lists.js";

/** @typedef {import("../types.d.ts").Token} Token */
/** @typedef {import("../types.d.ts").CallGroup} CallGroup */

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
    expires_at: toLocalInput(token.expires_at),
  };
}

/**
 * What a form asks the API for, which says what is wrong with it. Only fields that differ from
 * `before` count, so that a time in the past, or a limit that somebody else changes meanwhile, stays as
 * it is. An empty field is `null`, which removes a limit.
 *
 * @param {TokenForm} form
 * @param {TokenForm} before
 */
export function parseForm(form, before) {
  const changed = TOKEN_FIELDS.filter((field) => form[field].trim() !== before[field].trim());
  return Object.fromEntries(
    changed.map((field) => {
      const text = form[field].trim();
      return [field, text === "" ? null : PARSERS[field](text)];
    }),
  );
}

/** What cannot be read is sent as it is. @type {Record<TokenField, (text: string) => unknown>} */
const PARSERS = {
  name: (text) => text,
  models: parseList,
  networks: parseList,
  requests_per_minute: (text) => parseNumber(text) ?? text,
  tokens_per_day: (text) => parseNumber(text) ?? text,
  expires_at: (text) => timeOf(text) ?? text,
};

/** @param {string} text items between blanks, commas, semicolons or line breaks */
function parseList(text) {
  return [...new Set(text.split(/[\s,;，；、]+/).filter((item) => item !== ""))];
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
 * The field that an error of the API is about: `models` for `models[1]`.
 *
 * @param {string | null | undefined} param
 * @returns {TokenField | null}
 */
export function fieldOf(param) {
  const name = (param ?? "").replace(/[[.].*$/, "");
  return TOKEN_FIELDS.find((field) => field === name) ?? null;
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
  return [
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${base}v1", api_key="${token}")`,
    "answer = client.chat.completions.create(",
    `    model="${model}",`,
    '    messages=[{"role": "user", "content": "Hello"}],',
    ")",
    "print(answer.choices[0].message.content)",
  ].join("\n");
}
