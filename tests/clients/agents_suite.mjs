// Unmodified third-party agents: each completes three steps with tools on Gemini 3.
//
// The agent calls two tools, sequentially or in parallel, and then answers. Gemini 3 signs each
// call, or the first of parallel calls, and refuses the next step if the agent lost the signature.

import assert from "node:assert";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { aiSdk, MODEL, PARALLEL } from "./agent_loops.mjs";
import { run } from "./suite.mjs";

const openai = { baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY };
const google = { baseURL: `${process.env.GOOGLE_GEMINI_BASE_URL}/v1beta`, apiKey: process.env.GEMINI_API_KEY };
const models = {
  google: createGoogleGenerativeAI(google)(MODEL),
  openai: createOpenAI(openai).chat(MODEL),
  openai_compatible: createOpenAICompatible({ name: "gemini", supportsStructuredOutputs: true, ...openai })(MODEL),
};

const checks = {};
for (const [name, model] of Object.entries(models)) Object.assign(checks, aiSdk(name, model));

/** Runs one prompt in Google's Gemini CLI, which prints one line of JSON per step. */
async function geminiCli(prompt) {
  const program = fileURLToPath(new URL("node_modules/@google/gemini-cli/bundle/gemini.js", import.meta.url));
  const home = await mkdtemp(join(tmpdir(), "gemini-cli-"));
  try {
    await mkdir(join(home, ".gemini"));
    const settings = {
      general: { enableAutoUpdate: false, enableAutoUpdateNotification: false },
      privacy: { usageStatisticsEnabled: false },
      security: { auth: { selectedType: "gemini-api-key" } },
    };
    await writeFile(join(home, ".gemini", "settings.json"), JSON.stringify(settings));
    const cliArguments = ["--skip-trust", "--model", MODEL, "--output-format", "stream-json", "--prompt", prompt];
    const env = { ...process.env, HOME: home };
    const { stdout } = await promisify(execFile)(process.execPath, [program, ...cliArguments], { cwd: home, env });
    const events = stdout.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
    const of = (type) => events.filter((event) => event.type === type);
    assert.equal(of("result").at(-1)?.status, "success", stdout.slice(-400));
    assert.deepEqual([of("tool_use").length, of("tool_result").length], [2, 2]);
    assert(of("message").some((message) => message.role === "assistant" && message.content));
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}
checks.gemini_cli = () => geminiCli("Use tools");
checks.gemini_cli_parallel = () => geminiCli(PARALLEL);

await run(checks);
