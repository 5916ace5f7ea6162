// Serves `browser_page.mjs`, bundled with its clients like a web app, and opens it in Chromium.
//
// Runs in the folder of Node's packages. Prints the page's origin, reads the pool's origin from
// stdin, and then prints what the page reports.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";

const { build } = createRequire(`${process.cwd()}/`)("esbuild");
const page = await build({
  entryPoints: [join(import.meta.dirname, "browser_page.mjs")],
  nodePaths: [join(process.cwd(), "node_modules")],
  bundle: true,
  format: "esm",
  platform: "browser",
  write: false,
});

const profile = mkdtempSync(join(tmpdir(), "keypool-browser-"));
let browser;
// The page, and the same page under an origin that is not allowed.
let pages = 2;

const server = createServer(async (request, response) => {
  if (request.url === "/page.mjs") {
    response.setHeader("content-type", "text/javascript");
    return response.end(page.outputFiles[0].text);
  }
  if (request.url === "/told") {
    const line = await text(request);
    response.end();
    if (line !== "end") return console.log(line);
    pages -= 1;
    if (pages === 0) browser.kill();
    return;
  }
  response.setHeader("content-type", "text/html");
  response.end('<!doctype html><script type="module" src="/page.mjs"></script>');
});
server.listen(0, "127.0.0.1", () => console.log(`origin\t${new URL(`http://127.0.0.1:${server.address().port}`).origin}`));

createInterface({ input: process.stdin }).once("line", (pool) => {
  const { port } = server.address();
  const query = `?pool=${pool}&token=${process.env.OPENAI_API_KEY}`;
  const url = `http://127.0.0.1:${port}/${query}&is_allowed=1`;
  browser = spawn(
    process.env.KEYPOOL_TEST_BROWSER ?? "chromium",
    // Chromium's sandbox does not work for root, the user in containers.
    ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", `--user-data-dir=${profile}`, url],
    { stdio: "ignore" },
  );
  browser.on("error", (error) => {
    console.error(`Chromium cannot be started: ${error.message}`);
    process.exit(1);
  });
  browser.on("exit", (code) => {
    server.close();
    server.closeAllConnections();
    try {
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    } catch {
      // Its helpers may still write there; the system cleans up temporary files.
    }
    if (pages) console.error(`Chromium ended before the page did, with ${code}`);
    process.exit(pages ? 1 : 0);
  });
});
