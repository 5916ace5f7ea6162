import assert from "node:assert/strict";
import { test } from "node:test";
import {
  EMPTY_FORM,
  fieldOf,
  formOf,
  isNetwork,
  localTime,
  parseForm,
  parseNumber,
  quotaDayStart,
  snippetFor,
  tokensOf,
  usesByToken,
} from "../../dashboard/lib/tokens.js";

process.env.TZ = "Asia/Shanghai";
const NOW = Date.parse("2026-12-01T00:00:00Z");
const parse = (changes, before = EMPTY_FORM) => parseForm({ ...before, ...changes }, before, NOW);
const ruleOf = (field, text) => parse({ name: "x", [field]: text }).problems[field]?.rule;

test("a new token needs a name and nothing else", () => {
  assert.deepEqual(parse({ name: " Anna " }), { values: { name: "Anna" }, problems: {} });
  assert.equal(ruleOf("name", "  "), "required");
  assert.equal(ruleOf("name", "x".repeat(201)), "long");
});

test("only fields that differ are changed", () => {
  const before = { ...EMPTY_FORM, name: "Anna", models: "a\nb", expires_at: "2020-01-01T00:00" };
  assert.deepEqual(parse({ models: "a\nc" }, before).values, { models: ["a", "c"] });
  assert.deepEqual(parse({}, before), { values: {}, problems: {} });
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
  const { values, problems } = parseForm({ ...EMPTY_FORM, name: "Anna" }, before, NOW);
  assert.deepEqual(problems, {});
  assert.deepEqual(values, {
    models: null,
    networks: null,
    requests_per_minute: null,
    tokens_per_day: null,
    expires_at: null,
  });
});

test("a name cannot be removed", () => {
  const before = { ...EMPTY_FORM, name: "Anna" };
  assert.equal(parse({ name: "" }, before).problems.name.rule, "required");
});

test("lists are split at lines, blanks, commas and semicolons, without repetitions", () => {
  const { values } = parse({ name: "x", models: "a, b;a\n gemini-*flash*，c " });
  assert.deepEqual(values.models, ["a", "b", "gemini-*flash*", "c"]);
});

test("problems of lists name the item", () => {
  const { problems } = parse({ name: "x", models: "good, b!d", networks: "10.0.0.0/33" });
  assert.deepEqual(problems, {
    models: { rule: "model", value: "b!d" },
    networks: { rule: "network", value: "10.0.0.0/33" },
  });
  assert.equal(ruleOf("models", Array.from({ length: 101 }, (_, n) => `m${n}`).join(" ")), "many");
  assert.equal(ruleOf("models", "x".repeat(129)), "model");
});

test("addresses and networks of both versions are accepted", () => {
  for (const text of ["10.0.0.0/8", "192.168.1.7", "2001:db8::/32", "::1", "::ffff:10.0.0.1"]) {
    assert.ok(isNetwork(text), text);
  }
  for (const text of [
    "10.0.0",
    "10.0.0.256",
    "10.0.0.0/",
    "10.0.0.0/8/8",
    "example.com",
    "::/129",
  ]) {
    assert.ok(!isNetwork(text), text);
  }
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

test("limits are whole numbers of at least one", () => {
  assert.equal(ruleOf("requests_per_minute", "0"), "number");
  assert.equal(ruleOf("tokens_per_day", "1.5"), "number");
  assert.equal(parse({ name: "x", tokens_per_day: "2M" }).values.tokens_per_day, 2_000_000);
});

test("an expiry is in the viewer's zone and in the future", () => {
  const { values } = parse({ name: "x", expires_at: "2027-06-30T09:00" });
  assert.equal(values.expires_at, "2027-06-30T01:00:00.000Z");
  assert.equal(ruleOf("expires_at", "2026-12-01T08:00"), "past");
  assert.equal(ruleOf("expires_at", "tomorrow"), "time");
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
  assert.deepEqual(parseForm(form, formOf(token), NOW), { values: {}, problems: {} });
});

test("local times are those of the clock on the wall", () => {
  assert.equal(localTime("2026-12-01T20:30:00Z"), "2026-12-02T04:30");
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
