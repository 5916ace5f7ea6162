import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import {
  compact,
  duration,
  number,
  percent,
  quotaDay,
  relative,
  shortTime,
  span,
} from "../../dashboard/lib/format.js";
import { bestLanguage, named, setLanguage, t } from "../../dashboard/lib/i18n.js";

process.env.TZ = "UTC";
const HOUR = 3_600_000;
beforeEach(() => setLanguage("en"));

test("durations have about three digits and a unit", () => {
  const texts = { 0: "0 ms", 999: "999 ms", 1234: "1.23 s", 12340: "12.3 s", 200000: "3 min 20 s" };
  for (const [ms, text] of Object.entries(texts)) assert.equal(duration(Number(ms)), text);
  assert.equal(duration(null), "–");
});

test("spans have their two largest units", () => {
  assert.equal(span(400), "1 s");
  assert.equal(span(59_600), "1 min");
  assert.equal(span(3 * HOUR + 20 * 60_000 + 5000), "3 h 20 min");
  assert.equal(span(24 * HOUR + 60_000), "1 d");
  assert.equal(span(50 * HOUR), "2 d 2 h");
});

test("a share is 100 % only if it is all", () => {
  assert.equal(percent(99_999, 100_000), "99.9%");
  assert.equal(percent(5, 5), "100%");
  assert.equal(percent(0, 0), "–");
  assert.equal(percent(1, 3), "33.3%");
});

test("numbers are short from ten thousand on", () => {
  assert.equal(compact(9999), "9,999");
  assert.equal(compact(1_234_567), "1.2M");
  assert.equal(number(undefined), "–");
});

test("the day of a quota is that in Los Angeles, across daylight saving", () => {
  assert.equal(quotaDay("2026-07-01T06:59:59Z"), "Jun 30, 2026");
  assert.equal(quotaDay("2026-07-01T07:00:00Z"), "Jul 1, 2026");
  assert.equal(quotaDay("2026-12-01T07:59:59Z"), "Nov 30, 2026");
  assert.equal(quotaDay("2026-12-01T08:00:00Z"), "Dec 1, 2026");
});

test("times of other days have their date", () => {
  const now = Date.parse("2026-12-01T12:00:00Z");
  assert.equal(shortTime("2026-12-01T09:05:07Z", now), "09:05:07");
  assert.equal(shortTime("2026-11-30T09:05:07Z", now), "Nov 30, 09:05");
});

test("relative times are in the largest unit, and not rounded up", () => {
  const now = Date.parse("2026-12-01T12:00:00Z");
  assert.equal(relative(now - 119_000, now), "1 min. ago");
  assert.equal(relative(now + 47 * HOUR, now), "tomorrow");
  assert.equal(relative(now - 30_000, now), "30 sec. ago");
});

test("values are filled in, and numbers are grouped", () => {
  assert.equal(t("settings.all", { n: 1234 }), "All settings (1,234)");
  assert.equal(t("error.status", {}), "The pool answered with status {status}.");
});

test("forms follow the number and the language", () => {
  assert.equal(t("encryption.keys", { n: 1 }), "1 key");
  assert.equal(t("encryption.keys", { n: 0 }), "0 keys");
  setLanguage("zh-CN");
  assert.equal(t("encryption.keys", { n: 1 }), "1 个密钥");
});

test("names of a newer pool are shown as they are", () => {
  assert.equal(named("outcome", "success"), "success");
  assert.equal(named("outcome", "brand_new"), "brand_new");
  assert.equal(named("outcome", null), "–");
});

test("the first of the browser's languages that there is counts", () => {
  assert.equal(bestLanguage(["de", "zh-TW", "en"]), "zh-CN");
  assert.equal(bestLanguage(["en-GB", "zh"]), "en");
  assert.equal(bestLanguage(["de"]), "en");
});
