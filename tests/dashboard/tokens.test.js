import assert from "node:assert/strict";
import { test } from "node:test";
import {
  EMPTY_FORM,
  fieldOf,
  formOf,
  parseForm,
  parseNumber,
  quotaDayStart,
  snippetFor,
  tokensOf,
  usesByToken,
} from "../../dashboard/lib/tokens.js";

process.env.TZ = "Asia/Shanghai";
const parse = (changes, before = EMPTY_FORM) => parseForm({ ...before, ...changes }, before);

test("only fields that differ are changed", () => {
  assert.deepEqual(parse({ name: " Anna " }), { name: "Anna" });
  const before = { ...EMPTY_FORM, name: "Anna", models: "a\nb", expires_at: "2020-01-01T00:00" };
  assert.deepEqual(parse({ models: "a\nc" }, before), { models: ["a", "c"] });
  assert.deepEqual(parse({}, before), {});
});

test("an emptied field removes its limit", () => {
  const before = {
    name: "Anna",
    models: "a",
    networks: "10.0.0.1",
    requests_per_minute: "5",
    tokens_per_day: "5",
    expires_at: "2027-01-01T00:00",
  };
  assert.deepEqual(parseForm({ ...EMPTY_FORM, name: "Anna" }, before), {
    models: null,
    networks: null,
    requests_per_minute: null,
    tokens_per_day: null,
    expires_at: null,
  });
});

test("lists are split at lines, blanks, commas and semicolons, without repetitions", () => {
  const { models } = parse({ models: "a, b;a\n gemini-*flash*，c " });
  assert.deepEqual(models, ["a", "b", "gemini-*flash*", "c"]);
});

test("numbers may have separators and units", () => {
  const numbers = {
    7: 7,
    "2,000,000": 2e6,
    "2 000 000": 2e6,
    "2M": 2e6,
    "1.1m": 1.1e6,
    "1.5k": 1500,
  };
  for (const [text, number] of Object.entries({ ...numbers, "200万": 2e6 })) {
    assert.equal(parseNumber(text), number, text);
  }
  for (const text of ["", "-1", "1.5", "1,00", "x", "1e9", "99999999999999999"]) {
    assert.equal(parseNumber(text), null, text);
  }
});

test("what cannot be read is left to the API, which says what is wrong", () => {
  const changes = { tokens_per_day: "2M", requests_per_minute: "many", expires_at: "tomorrow" };
  assert.deepEqual(parse(changes), { ...changes, tokens_per_day: 2_000_000 });
});

test("an expiry is in the viewer's zone", () => {
  const { expires_at } = parse({ expires_at: "2027-06-30T09:00" });
  assert.equal(expires_at, "2027-06-30T01:00:00.000Z");
});

test("the form of a token changes nothing if it is sent unchanged", () => {
  const token = {
    id: 1,
    name: "Anna",
    prefix: "kp_1",
    state: /** @type {const} */ ("active"),
    expires_at: "2027-06-30T01:00:59.123Z",
    disabled_at: null,
    models: ["a", "b"],
    networks: null,
    requests_per_minute: 60,
    tokens_per_day: null,
    previous_until: null,
    created_at: null,
    updated_at: null,
  };
  const form = formOf(token);
  assert.equal(form.expires_at, "2027-06-30T09:00");
  assert.deepEqual(parseForm(form, formOf(token)), {});
});

test("an error's parameter names its field", () => {
  assert.equal(fieldOf("models[1]"), "models");
  assert.equal(fieldOf("tokens_per_day"), "tokens_per_day");
  assert.equal(fieldOf("grace_seconds"), null);
  assert.equal(fieldOf(null), null);
});

test("the day of quotas begins at midnight in Los Angeles, across daylight saving", () => {
  const days = {
    "2026-12-01T07:59:59Z": "2026-11-30T08:00:00.000Z",
    "2026-12-01T08:00:00Z": "2026-12-01T08:00:00.000Z",
    "2026-07-01T12:00:00Z": "2026-07-01T07:00:00.000Z",
    // The clocks go forward on March 8 and back on November 1.
    "2026-03-09T06:30:00Z": "2026-03-08T08:00:00.000Z",
    "2026-03-09T07:00:00Z": "2026-03-09T07:00:00.000Z",
    "2026-11-02T07:30:00Z": "2026-11-01T07:00:00.000Z",
    "2026-11-02T08:00:00Z": "2026-11-02T08:00:00.000Z",
  };
  for (const [now, start] of Object.entries(days)) {
    assert.equal(new Date(quotaDayStart(Date.parse(now))).toISOString(), start, now);
  }
});

test("tokens are those of prompts, answers and thoughts", () => {
  const group = { input_tokens: 1, output_tokens: 20, thinking_tokens: 300, cached_tokens: 1 };
  assert.equal(tokensOf(/** @type {any} */ (group)), 321);
});

test("a token without a group has no calls, unless there are more pages", () => {
  const items = /** @type {any[]} */ ([
    { token_id: null, calls: 1 },
    { token_id: 3, calls: 2 },
  ]);
  const all = usesByToken({ items, next_cursor: null });
  assert.equal(all(null).calls, 1);
  assert.equal(all(3).calls, 2);
  assert.equal(all(4), null);
  assert.equal(usesByToken({ items, next_cursor: "x" })(4), undefined);
  assert.equal(usesByToken(undefined)(3), undefined);
});

test("snippets have the pool's address below its prefix", () => {
  const pool = {
    base: "https://example.com/gemini/",
    token: "kp_1",
    models: ["gemini-*", "gemini-x"],
  };
  assert.match(
    snippetFor("environment", pool),
    /OPENAI_BASE_URL="https:\/\/example\.com\/gemini\/v1"/,
  );
  assert.match(snippetFor("python", pool), /model="gemini-x"/);
  assert.match(snippetFor("claude", pool), /ANTHROPIC_BASE_URL="https:\/\/example\.com\/gemini"/);
  assert.match(snippetFor("python", { ...pool, models: null }), /model="gemini-flash-latest"/);
});
