// Operators use the dashboard with Chromium: each view in both languages, both themes and two sizes,
// and each action.
//
// The argument is JSON: `pool`, `unconfigured`, `empty` and `large` are origins of pools, of which the
// second has no operator's token, the third no keys, and the last many keys and calls; `token`,
// `readToken` and `clientToken` are those of operators who change and read, and of a client;
// `screenshots` is a folder. With `large`, only the checks of that pool run.

import assert from "node:assert";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer, request as send } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { run } from "./suite.mjs";

const require = createRequire(`${process.cwd()}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const { pool, unconfigured, empty, large, token, readToken, clientToken, screenshots } = JSON.parse(process.argv[2]);

const LANGUAGES = ["en", "zh-CN"];
const THEMES = ["light", "dark"];
const SIZES = { desktop: { width: 1280, height: 860 }, phone: { width: 390, height: 844 } };

const program = process.env.KEYPOOL_TEST_BROWSER ?? "chromium";
const browser = await chromium.launch({
  executablePath: execFileSync("which", [program], { encoding: "utf8" }).trim(),
  // Chromium's sandbox does not work for root, the user in containers.
  chromiumSandbox: false,
});
mkdirSync(screenshots, { recursive: true });

/** What the console, or the content security policy, has complained of. */
const complaints = [];

/** A page of a new browser, whose complaints are collected. */
async function open({ language = "en", theme = "light", size = "desktop" } = {}) {
  const context = await browser.newContext({ locale: language, colorScheme: theme, viewport: SIZES[size], acceptDownloads: true });
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.violatedDirective}`));
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  return page;
}

async function signedIn(options = {}, by = token, origin = pool) {
  const page = await open(options);
  await page.goto(`${origin}/#/sign-in?token=${by}`);
  await page.getByRole("navigation").first().waitFor();
  return page;
}

/** Goes to a view, and waits until it has what it shows. */
async function visit(page, route) {
  await page.evaluate((route) => {
    location.hash = route;
  }, route);
  await settled(page);
}

async function settled(page) {
  await page.locator("main h1").waitFor();
  await page.locator("main .loading").first().waitFor({ state: "detached" });
  assert.equal(await page.locator("main .failed:not(.expected)").count(), 0, await page.locator("main").innerText());
}

async function assertAccessible(page, about) {
  // As a test tool does, not as the page.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  const found = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`);
  assert.deepEqual(found, [], `${about}: ${found.join("; ")}`);
}

/** The latest slow request of the log that had several attempts. */
async function failedOver() {
  const calls = await api("GET", "calls?min_duration_ms=5000&limit=1000");
  return calls.items.find(({ attempt }) => attempt > 1).request_id;
}

async function api(method, path, body) {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(`${pool}/admin/api/v1/${path}`, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  return text === "" ? null : JSON.parse(text);
}

const VIEWS = {
  overview: "#/",
  keys: "#/keys",
  heat: "#/keys?show=heat",
  key: "#/keys/5",
  calls: "#/calls",
  request: pool && `#/requests/${await failedOver()}`,
  tokens: "#/tokens",
  explain: "#/explain?model=gemini-2.5-flash",
  settings: "#/settings",
  encryption: "#/settings?tab=encryption",
  audit: "#/settings?tab=audit",
  import: "#/keys?add=1",
};

/** Opens the menu of a key, and chooses an action. */
async function choose(page, name, action) {
  await page.getByRole("button", { name: `Actions for ${name}` }).first().click();
  await page.getByRole("menuitem", { name: action, exact: true }).click();
}

const noticed = (page, text) => page.locator(".notices").getByText(text).waitFor();
const key = (id) => api("GET", `keys/${id}`);

/** Waits until a change has arrived in the pool. */
async function until(happens, what) {
  for (let left = 200; left > 0; left -= 1) {
    if (await happens()) return;
    await new Promise((later) => setTimeout(later, 50));
  }
  assert.fail(what);
}

const checks = {
  async without_a_token_the_page_says_how_to_set_one() {
    const page = await open();
    await page.goto(unconfigured);
    await page.getByText("Nobody can sign in yet").waitFor();
    await page.getByText("SPIN_VARIABLE_ADMIN_TOKEN").waitFor();
    await assertAccessible(page, "first start");
    await page.screenshot({ path: join(screenshots, "first-start.png") });
    await page.context().close();
  },

  async without_keys_the_page_says_how_to_add_some() {
    const page = await signedIn({}, token, empty);
    await visit(page, "#/keys");
    await page.getByText("Add your first keys").waitFor();
    await page.getByText("keypool keys import keys.txt").waitFor();
    await assertAccessible(page, "no keys");
    await page.screenshot({ path: join(screenshots, "no-keys.png") });
    for (const route of Object.values(VIEWS).filter((route) => !/keys.5|requests/.test(route))) await visit(page, route);
    await page.context().close();
  },

  async signs_in_with_a_token_that_is_stored_nowhere() {
    const page = await open();
    await page.goto(pool);
    const field = page.getByLabel("Operator's token");
    await assertAccessible(page, "sign-in");
    await page.screenshot({ path: join(screenshots, "sign-in.png") });
    await field.fill("a-wrong-token-of-somebody");
    const refused = page.waitForResponse((response) => response.status() === 401);
    await page.getByRole("button", { name: "Sign in" }).click();
    await refused;
    await page.getByRole("alert").waitFor();
    // The browser itself reports the 401.
    complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes("401")));
    await field.fill(token);
    await field.press("Enter");
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
    assert(!stored.includes(token));
    await page.getByRole("button", { name: "Sign out" }).click();
    await field.waitFor();
    await page.context().close();
  },

  async a_link_with_a_token_leaves_no_trace_of_it() {
    const page = await signedIn();
    assert(!page.url().includes(token), page.url());
    assert.equal(await page.evaluate(() => history.length), 2);
    await page.context().close();
  },

  async a_link_works_in_an_open_tab() {
    const page = await signedIn();
    await visit(page, "#/tokens");
    await page.evaluate((token) => {
      location.hash = `#/sign-in?token=${token}`;
    }, token);
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    assert(!page.url().includes(token), page.url());
    await page.context().close();
  },

  async a_change_of_view_during_the_first_render_is_not_lost() {
    const page = await open();
    await page.addInitScript(() => {
      const observer = new MutationObserver(() => {
        if (!document.querySelector("nav")) return;
        observer.disconnect();
        history.replaceState(null, "", "#/tokens");
        dispatchEvent(new HashChangeEvent("hashchange"));
      });
      observer.observe(document, { childList: true, subtree: true });
    });
    await page.goto(`${pool}/#/sign-in?token=${token}`);
    await page.getByRole("heading", { name: "Tokens", level: 1 }).waitFor();
    await page.context().close();
  },

  async every_view_is_complete_accessible_and_fits() {
    for (const size of Object.keys(SIZES)) {
      for (const theme of THEMES) {
        for (const language of LANGUAGES) {
          const page = await signedIn({ language, theme, size });
          for (const [name, route] of Object.entries(VIEWS)) {
            const about = `${name}-${language}-${theme}-${size}`;
            await visit(page, route);
            await assertAccessible(page, about);
            const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
            assert(overflow <= 0, `${about} is ${overflow} px too wide`);
            await page.screenshot({ path: join(screenshots, `${about}.png`) });
          }
          await page.context().close();
        }
      }
    }
  },

  async the_choice_of_language_and_theme_stays() {
    const page = await signedIn();
    await page.getByLabel("Language").selectOption("zh-CN");
    await page.getByRole("heading", { name: "概览" }).waitFor();
    await page.getByLabel("主题").selectOption("dark");
    await page.reload();
    await page.getByRole("heading", { name: "概览" }).waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
    assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-CN");
    await page.context().close();
  },

  async keys_are_found_and_sorted() {
    const page = await signedIn();
    await visit(page, "#/keys");
    await page.getByPlaceholder("Name, note or project").fill("lab");
    await page.getByRole("link", { name: "lab 1" }).waitFor();
    await page.getByRole("link", { name: "office" }).waitFor({ state: "detached" });
    assert(page.url().includes("q=lab"));
    await visit(page, "#/keys?status=disabled");
    await page.getByRole("link", { name: "team b, old" }).waitFor();
    await visit(page, "#/keys?sort=-name");
    const first = await page.locator("tbody tr:not(.space) a").first().innerText();
    assert.equal(first, "team b, old");
    await page.context().close();
  },

  async every_action_on_a_key_works() {
    const page = await signedIn();
    await visit(page, "#/keys");
    await choose(page, "office (#9)", "Enable");
    await noticed(page, "office (#9) is in use again.");
    assert.equal((await key(9)).status, "active");
    await choose(page, "office (#9)", "Disable");
    await page.getByLabel("Reason").fill("moving house");
    await page.getByRole("dialog").getByRole("button", { name: "Disable" }).click();
    await until(async () => (await key(9)).disabled_reason === "moving house", "the key is disabled");
    await choose(page, "office (#9)", "Reset");
    await until(async () => (await key(9)).status === "active", "the key is reset");
    await choose(page, "office (#9)", "Pause");
    await page.getByRole("dialog").getByRole("button", { name: "Pause" }).click();
    await until(async () => (await key(9)).status === "cooling", "the key is paused");
    await choose(page, "office (#9)", "Edit");
    await page.getByRole("textbox", { name: "Note" }).fill("Of the office");
    await page.getByRole("textbox", { name: "Tags" }).fill("office, quiet");
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await until(async () => (await key(9)).note === "Of the office", "the key is edited");
    assert.deepEqual((await key(9)).tags, ["office", "quiet"]);
    await choose(page, "lab 3 (#8)", "Fault drill");
    await page.getByRole("dialog").getByLabel("Calls", { exact: false }).fill("3");
    await page.getByRole("dialog").getByRole("button", { name: "Start" }).click();
    await until(async () => (await key(8)).drill?.calls_left === 3, "the drill is under way");
    await choose(page, "team a, first (#1)", "Test");
    await noticed(page, "team a, first (#1): success.");
    await choose(page, "batch, spare (#12)", "Delete");
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await until(async () => (await key(12)).code === "unknown_key", "the key is deleted");
    await page.context().close();
  },

  async a_poll_keeps_what_somebody_types() {
    const page = await signedIn();
    await visit(page, "#/keys");
    await choose(page, "lab 2 (#7)", "Edit");
    const note = page.getByRole("textbox", { name: "Note" });
    await note.fill("Half a sentence");
    // The pool takes the key out of use meanwhile, and a change shows that the list was read again.
    await api("POST", "keys/7/disable");
    await page.locator("tr", { hasText: "lab 2" }).getByText("disabled").waitFor();
    assert.equal(await note.inputValue(), "Half a sentence");
    await api("POST", "keys/7/enable");
    await page.context().close();
  },

  async selected_keys_are_changed_together() {
    const page = await signedIn();
    await visit(page, "#/keys?tag=lab");
    await page.getByLabel("Select all that are loaded").check();
    await page.getByText("3 keys selected").waitFor();
    await page.getByRole("group", { name: "Selected keys" }).getByRole("button", { name: "Disable" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Disable" }).click();
    await noticed(page, "Done: 3 of 3 keys.");
    assert.equal((await key(7)).status, "disabled");
    await page.getByLabel("Select all that are loaded").check();
    await page.getByRole("group", { name: "Selected keys" }).getByRole("button", { name: "Enable" }).click();
    await until(async () => (await key(7)).status === "active", "the keys are enabled");
    await page.context().close();
  },

  async what_a_bulk_change_leaves_undone_stays_selected() {
    const page = await signedIn();
    await visit(page, "#/keys?tag=team-b");
    await page.getByLabel("Select all that are loaded").check();
    // One of the two was deleted meanwhile.
    await page.route(/keys\/5\/enable$/, (route) => route.fulfill({ status: 404, json: { code: "unknown_key", detail: "No such key." } }));
    await page.getByRole("group", { name: "Selected keys" }).getByRole("button", { name: "Enable" }).click();
    await noticed(page, /Done: 1 of 2 keys.*still selected.*#5: No such key/);
    await page.getByText("1 key selected").waitFor();
    complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes("404")));
    await page.getByRole("group", { name: "Selected keys" }).getByRole("button", { name: "Test" }).click();
    await noticed(page, /Done: 0 of 1 key.*#5: key rejected/);
    await page.context().close();
  },

  async the_heat_map_leads_to_the_calls_of_an_hour() {
    const page = await signedIn();
    await visit(page, "#/keys?show=heat&tag=lab");
    const row = page.getByRole("link", { name: /attempts in 24 hours/ }).first();
    await row.locator("[class*=heat-success]").last().click();
    await page.waitForURL(/#\/calls\?key=6&from=[^&]+&until=/);
    await page.locator(".took").first().waitFor();
    const [from, until] = ["from", "until"].map((name) => Date.parse(new URLSearchParams(page.url().split("?")[1]).get(name)));
    assert.equal(until - from, 3_600_000);
    await page.context().close();
  },

  async keys_are_not_lost_by_a_slip() {
    const page = await signedIn();
    await visit(page, "#/keys?add=1");
    const field = page.getByRole("dialog").getByLabel("Keys", { exact: false }).first();
    await field.fill("fake-key-that-nobody-adds");
    const answers = [];
    page.on("dialog", (dialog) => (answers.length === 0 ? dialog.dismiss() : dialog.accept()).then(() => answers.push(dialog.message())));
    await page.keyboard.press("Escape");
    await until(() => answers.length === 1, "the page asks");
    assert.equal(await field.inputValue(), "fake-key-that-nobody-adds");
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.context().close();
  },

  async keys_are_tried_before_they_are_added_and_tested_after() {
    const page = await signedIn();
    await visit(page, "#/keys");
    await page.getByRole("button", { name: "Add keys" }).click();
    const dialog = page.getByRole("dialog");
    const before = (await api("GET", "pool")).keys.total;
    await dialog.getByLabel("Keys", { exact: false }).first().fill("fake-new-key-of-the-suite-1, fake-new-key-of-the-suite-2, not a key!, fake-new-key-of-the-suite-1");
    await dialog.getByRole("button", { name: "Check" }).click();
    await dialog.getByText("already there").first().waitFor();
    assert.equal((await api("GET", "pool")).keys.total, before);
    await page.screenshot({ path: join(screenshots, "import-entries.png") });
    await assertAccessible(page, "entries");
    const add = dialog.getByRole("button", { name: /^Add \d+ keys?$/ });
    const [, count] = /(\d+)/.exec(await add.innerText());
    await add.click();
    await dialog.getByText(/keys? (is|are) added/).waitFor();
    assert.equal((await api("GET", "pool")).keys.total, before + Number(count));
    await dialog.getByRole("button", { name: "Test them now" }).click();
    await dialog.getByText("key rejected").waitFor();
    await page.context().close();
  },

  async limits_of_a_key_are_set_and_shown_with_their_use() {
    const page = await signedIn();
    await visit(page, "#/keys/2");
    await page.getByRole("button", { name: "Edit limits" }).click();
    await page.getByRole("button", { name: "Add a limit" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Model").last().fill("gemini-2.5-flash");
    await dialog.getByLabel("Limit", { exact: true }).last().fill("77");
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.getByText("preset: 77").waitFor();
    const { limits } = await key(2);
    assert(limits.some(({ model, preset }) => model === "gemini-2.5-flash" && preset === 77));
    await page.context().close();
  },

  async a_key_tells_why_it_is_out_of_use() {
    const page = await signedIn();
    await visit(page, "#/keys/5");
    await page.getByText(/The pool has disabled it, after: key rejected/).waitFor();
    await page.getByText(/Replace it/).waitFor();
    await page.context().close();
  },

  async a_request_tells_why_it_was_slow() {
    const page = await signedIn();
    await visit(page, VIEWS.request);
    await page.getByText(/It succeeded at attempt [23]/).waitFor();
    await page.getByText(/another key took over|the pool tried again|attempts failed/).first().waitFor();
    assert((await page.locator(".waterfall li").count()) > 1);
    await page.context().close();
  },

  async new_calls_appear_while_somebody_watches() {
    const page = await signedIn();
    await visit(page, "#/calls");
    const body = JSON.stringify({ model: "gemini-of-the-suite", messages: [{ role: "user", content: "Hello" }] });
    const headers = { authorization: `Bearer ${clientToken}`, "content-type": "application/json" };
    await (await fetch(`${pool}/v1/chat/completions`, { method: "POST", headers, body })).text();
    await page.getByRole("cell", { name: "gemini-of-the-suite" }).first().waitFor();
    await page.context().close();
  },

  async new_calls_wait_while_somebody_reads_older_ones() {
    const page = await signedIn();
    await visit(page, "#/calls");
    const table = page.locator(".table");
    await table.evaluate((table) => table.scrollTo(0, 4000));
    // Rows above those in view are no longer drawn.
    await page.locator("tbody tr:first-child.space").waitFor({ state: "attached" });
    const row = page.locator("tbody tr:not(.space)").nth(12);
    const read = await row.innerText();
    const headers = { authorization: `Bearer ${clientToken}`, "content-type": "application/json" };
    const body = JSON.stringify({ model: "gemini-that-waits", messages: [{ role: "user", content: "Hello" }] });
    await (await fetch(`${pool}/v1/chat/completions`, { method: "POST", headers, body })).text();
    await page.getByRole("button", { name: /new calls?$/ }).waitFor();
    assert.equal(await row.innerText(), read);
    await page.getByRole("button", { name: /new calls?$/ }).click();
    await page.getByRole("cell", { name: "gemini-that-waits" }).first().waitFor();
    await page.context().close();
  },

  async a_request_is_found_by_its_id_and_slow_calls_by_their_duration() {
    const page = await signedIn();
    await visit(page, "#/calls");
    await page.getByLabel("Duration").selectOption("5000");
    await page.waitForURL(/min_duration_ms=5000/);
    await settled(page);
    const took = await page.locator("tbody .took").allInnerTexts();
    assert(took.length > 3 && took.every((text) => Number.parseFloat(text) >= 5), took.join());
    const search = page.getByPlaceholder("Request id");
    await search.fill(VIEWS.request.split("/").at(-1));
    await search.press("Enter");
    await page.getByRole("heading", { name: "Request" }).first().waitFor();
    await page.getByText(/It succeeded at attempt/).waitFor();
    await page.context().close();
  },

  async calls_are_filtered_and_exported() {
    const page = await signedIn();
    await visit(page, "#/calls");
    await page.getByLabel("Outcome").selectOption("model_overloaded");
    await page.waitForURL(/outcome=model_overloaded/);
    await settled(page);
    const outcomes = await page.locator("tbody .badge").allInnerTexts();
    assert(outcomes.length > 0 && outcomes.every((outcome) => outcome === "model overloaded"), outcomes.join());
    const downloading = page.waitForEvent("download");
    await page.getByRole("link", { name: "Export CSV" }).click();
    const file = readFileSync(await (await downloading).path(), "utf8");
    const lines = file.trim().split("\n").slice(1);
    assert(lines.length > 10 && lines.every((line) => line.includes("model_overloaded")));
    await page.context().close();
  },

  async a_client_token_is_shown_once_and_every_action_works() {
    const page = await signedIn();
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await visit(page, "#/tokens");
    await page.getByRole("button", { name: "New token" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.locator("[name=name]").fill("Suite");
    await dialog.getByRole("button", { name: "Create token" }).click();
    const takeToken = async () => {
      const code = page.getByText(/^kp_[\w-]{20,}$/).first();
      const shown = await code.innerText();
      await dialog.getByRole("button", { name: "Copy" }).first().click();
      assert.equal(await page.evaluate(() => navigator.clipboard.readText()), shown);
      await page.screenshot({ path: join(screenshots, "new-token.png"), mask: [dialog.locator("code, pre")] });
      await dialog.getByRole("button", { name: "Done" }).click();
      await code.waitFor({ state: "detached" });
      return shown;
    };
    const statusWith = async (token) => (await fetch(`${pool}/v1/models`, { headers: { authorization: `Bearer ${token}` } })).status;
    const created = await takeToken();
    assert.equal(await statusWith(created), 200);
    assert(!(await page.evaluate(() => JSON.stringify([{ ...localStorage }, location.href]))).includes(created));
    await choose(page, "Suite", "Disable");
    await until(async () => (await statusWith(created)) === 401, "the token is refused");
    await choose(page, "Suite", "Enable");
    await until(async () => (await statusWith(created)) === 200, "the token works again");
    await choose(page, "Suite", "Edit");
    await dialog.locator("[name=requests_per_minute]").fill("7");
    await dialog.getByRole("button", { name: "Save" }).click();
    const listed = async () => (await api("GET", "tokens?q=Suite")).items[0];
    await until(async () => (await listed()).requests_per_minute === 7, "the token is edited");
    await choose(page, "Suite", "Rotate");
    await dialog.getByRole("button", { name: "Make a new token" }).click();
    assert.equal(await statusWith(await takeToken()), 200);
    await choose(page, "Suite", "Delete");
    await dialog.getByRole("button", { name: "Delete" }).click();
    await until(async () => (await listed()) === undefined, "the token is deleted");
    await page.context().close();
  },

  async explain_tells_the_odds_and_why_not() {
    const page = await signedIn();
    await visit(page, "#/explain?model=gemini-2.5-flash");
    await page.getByText(/keys may be drawn for gemini-2.5-flash/).waitFor();
    await page.getByText("disabled: ").first().waitFor();
    await page.context().close();
  },

  async operators_who_only_read_see_no_button_that_would_not_work() {
    const page = await signedIn({}, readToken);
    for (const route of Object.values(VIEWS)) {
      await visit(page, route);
      const buttons = await page.locator("main button, main a.button").allInnerTexts();
      const changing = /^(add|enable|disable|pause|reset|delete|create|new|rotate|edit|fault drill|test|actions)\b/i;
      const found = buttons.filter((text) => changing.test(text));
      assert.deepEqual(found, [], `${route}: ${found.join()}`);
      assert.equal(await page.getByRole("dialog").count(), 0);
    }
    await page.context().close();
  },

  async the_page_is_small_and_kept_and_asks_nobody_else() {
    const page = await open();
    const responses = [];
    page.on("response", (response) => responses.push(response));
    await page.goto(`${pool}/#/sign-in?token=${token}`);
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await settled(page);
    const files = responses.filter((response) => !response.url().includes("/api/"));
    const sizes = await Promise.all(files.map((response) => response.request().sizes()));
    const bytes = sizes.reduce((sum, { responseBodySize }) => sum + responseBodySize, 0);
    assert(files.length <= 40, `${files.length} files`);
    assert(bytes <= 120_000, `${bytes} bytes`);
    const asked = responses.length - files.length;
    assert(asked <= 12, `${asked} requests to the API`);
    assert(responses.every((response) => response.url().startsWith(pool)));
    responses.length = 0;
    await page.reload();
    await settled(page);
    const again = responses.filter((response) => !response.url().includes("/api/"));
    const fetched = await Promise.all(again.map(async (response) => ((await response.request().sizes()).responseBodySize > 0 && !response.fromServiceWorker() ? response : null)));
    assert(fetched.filter((response) => response && response.status() !== 304 && !response.url().includes("/dashboard/")).length <= 1);
    await page.context().close();
  },

  async a_hidden_tab_makes_no_requests() {
    const page = await open();
    await page.clock.install();
    await page.goto(`${pool}/#/sign-in?token=${token}`);
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await settled(page);
    const hide = (isHidden) =>
      page.evaluate((isHidden) => {
        Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
        document.dispatchEvent(new Event("visibilitychange"));
      }, isHidden);
    await hide(true);
    const requests = [];
    page.on("request", (request) => requests.push(request.url()));
    await page.clock.runFor(10 * 60_000);
    assert.deepEqual(requests, []);
    await hide(false);
    await until(() => requests.length > 0, "the tab asks again once it is visible");
    await page.context().close();
  },

  async an_ended_session_leads_to_the_sign_in() {
    const page = await signedIn();
    await page.context().clearCookies();
    await page.evaluate(() => {
      location.hash = "#/tokens";
    });
    await page.getByLabel("Operator's token").waitFor();
    complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes("401")));
    await page.context().close();
  },

  async works_below_a_path_prefix() {
    const proxy = createServer((incoming, outgoing) => {
      const { method, headers, url } = incoming;
      const passed = send(pool + url.replace(/^\/gemini/, ""), { method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode, answer.headers);
        answer.pipe(outgoing);
      });
      incoming.pipe(passed);
    });
    await new Promise((listening) => proxy.listen(0, "127.0.0.1", listening));
    const page = await signedIn({}, token, `http://127.0.0.1:${proxy.address().port}/gemini`);
    await visit(page, "#/keys");
    await page.getByRole("link", { name: "lab 1" }).waitFor();
    await page.context().close();
    proxy.close();
    proxy.closeAllConnections();
  },

  async nothing_has_complained() {
    assert.deepEqual(complaints, []);
  },
};

/** The rows that are drawn. */
const rowsOf = (page) => page.locator("tbody tr:not(.space)").count();

/** Scrolls a list until a row has this text. */
async function scrollTo(page, text) {
  const row = page.locator("tbody tr", { hasText: text });
  const table = page.locator(".table");
  await until(async () => {
    await table.evaluate((table) => table.scrollTo(0, table.scrollHeight));
    return (await row.count()) > 0;
  }, `the list has ${text}`);
  return row;
}

const largeChecks = {
  async every_view_shows_something_and_draws_few_rows() {
    const page = await signedIn({}, token, large);
    const routes = { ...VIEWS, request: "#/calls?key=77", overview: "#/tokens", again: "#/" };
    for (const [name, route] of Object.entries(routes)) {
      const began = performance.now();
      await visit(page, route);
      // For a person to read: times differ from machine to machine.
      console.error(`${name}: ${Math.round(performance.now() - began)} ms`);
      const rows = await rowsOf(page);
      assert(rows < 100, `${name} draws ${rows} rows`);
    }
    await page.getByLabel("Time range").selectOption("30d");
    await settled(page);
    await page.context().close();
  },

  async lists_scroll_to_their_end() {
    const page = await signedIn({}, token, large);
    await visit(page, "#/keys");
    await scrollTo(page, "key 1000");
    await visit(page, "#/keys?show=heat");
    const last = await scrollTo(page, "key 1000");
    await last.getByRole("link", { name: /attempts in 24 hours/ }).waitFor();
    assert((await rowsOf(page)) < 100);
    await page.context().close();
  },

  async a_rare_call_is_searched_for_on_demand() {
    const page = await signedIn({}, token, large);
    await visit(page, "#/calls?outcome=unanswered");
    const on = page.getByRole("button", { name: "Search on" });
    if (await on.isVisible()) await on.click();
    await page.getByText(/No call matches/).waitFor();
    await page.context().close();
  },

  async all_keys_are_changed_together() {
    const page = await signedIn({}, token, large);
    await visit(page, "#/keys?tag=tag-7");
    await page.getByLabel("Select all that are loaded").check();
    await page.getByText("100 keys selected").waitFor();
    await visit(page, "#/keys");
    await page.getByLabel("Select all that are loaded").check();
    await page.getByRole("button", { name: "Select all that match" }).click();
    await page.getByText("1,000 keys selected").waitFor();
    await page.getByRole("group", { name: "Selected keys" }).getByRole("button", { name: "Reset" }).click();
    await page.locator(".notices").getByText("Done: 1,000 of 1,000 keys.").waitFor({ timeout: 120_000 });
    await page.context().close();
  },

  async many_keys_are_added_at_once() {
    const page = await signedIn({}, token, large);
    await visit(page, "#/keys?add=1");
    const dialog = page.getByRole("dialog");
    const keys = Array.from({ length: 20_000 }, (_, n) => `fake-key-of-a-large-import-${n}`);
    const file = { name: "keys.txt", mimeType: "text/plain", buffer: Buffer.from(keys.join("\n")) };
    await dialog.getByLabel("Or a file").setInputFiles(file);
    await dialog.getByRole("button", { name: "Check" }).click();
    const add = dialog.getByRole("button", { name: "Add 20,000 keys" });
    await add.waitFor();
    assert((await rowsOf(page)) < 200);
    await add.click();
    await dialog.getByText("20,000 keys are added").waitFor();
    await page.context().close();
  },

  nothing_has_complained: checks.nothing_has_complained,
};

/** Keeps what the check saw, and closes it. */
async function keepPages(check) {
  for (const [number, context] of browser.contexts().entries()) {
    for (const page of context.pages()) {
      console.error(await page.locator("body").innerText());
      await page.screenshot({ path: join(screenshots, `failed-${check}-${number}.png`) });
    }
    await context.close();
  }
}

const all = Object.entries(large ? largeChecks : checks);
const only = process.env.KEYPOOL_TEST_ONLY?.split(",");
const chosen = all.filter(([name]) => !only || only.includes(name));
await run(Object.fromEntries(chosen), keepPages);
