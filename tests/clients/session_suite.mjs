// An operator signs in with Chromium, and pages of other origins try to use the session.
//
// Arguments: the pool's origin, the operator's token, and the path of a change.

import assert from "node:assert";
import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { run } from "./suite.mjs";

const { chromium } = createRequire(`${process.cwd()}/`)("playwright-core");
const [pool, token, change] = process.argv.slice(2);
const SESSION = "/admin/api/v1/session";
const KEYS = "/admin/api/v1/keys";

const program = process.env.KEYPOOL_TEST_BROWSER ?? "chromium";
const browser = await chromium.launch({
  executablePath: execFileSync("which", [program], { encoding: "utf8" }).trim(),
  // Chromium's sandbox does not work for root, the user in containers.
  chromiumSandbox: false,
});
const context = await browser.newContext();
const own = await context.newPage();
await own.goto(`${pool}/healthz`);

const other = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html>"));
await new Promise((listening) => other.listen(0, listening));

/** Makes a request from a page of the pool, and returns its status. */
const request = (method, path, headers = {}) =>
  own.evaluate(async ([method, path, headers]) => (await fetch(path, { method, headers })).status, [method, path, headers]);

/** Makes the change from a page of another origin, and returns the status, which the page cannot see. */
async function changeFrom(host) {
  const page = await context.newPage();
  await page.goto(`http://${host}:${other.address().port}/`);
  const responses = page.waitForEvent("response", (response) => response.url() === pool + change);
  const seen = await page.evaluate(
    async (url) => (await fetch(url, { method: "POST", mode: "no-cors", credentials: "include" })).status,
    pool + change,
  );
  assert.equal(seen, 0);
  return (await responses).status();
}

await run({
  async a_page_needs_a_session() {
    assert.equal(await request("GET", KEYS), 401);
  },
  async signs_in() {
    assert.equal(await request("POST", SESSION, { authorization: `Bearer ${token}` }), 200);
    const [cookie, ...more] = await context.cookies();
    assert.deepEqual(more, []);
    assert.equal(cookie.name, "keypool_session");
    assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.secure], [true, "Strict", false]);
    assert(!cookie.value.includes(token));
  },
  async scripts_cannot_read_the_cookie() {
    assert.equal(await own.evaluate(() => document.cookie), "");
  },
  async a_page_of_the_pool_reads_and_changes() {
    assert.equal(await request("GET", KEYS), 200);
    assert.equal(await request("POST", change), 200);
  },
  async a_page_of_another_port_changes_nothing() {
    // The browser sends the cookie, since ports belong to the same site.
    assert.equal(await changeFrom(new URL(pool).hostname), 403);
  },
  async a_page_of_another_site_has_no_session() {
    assert.equal(await changeFrom("localhost"), 401);
  },
  async signs_out() {
    assert.equal(await request("DELETE", SESSION), 204);
    assert.deepEqual(await context.cookies(), []);
    assert.equal(await request("GET", KEYS), 401);
  },
});
