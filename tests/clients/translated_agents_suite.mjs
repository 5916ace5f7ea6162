// AI SDK, unmodified, on the APIs that the pool translates. See `agents_suite.mjs`.

import assert from "node:assert";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateText } from "ai";
import { aiSdk, assertCompletes, MODEL, whole } from "./agent_loops.mjs";
import { raised, run } from "./suite.mjs";

const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY });
const anthropic = createAnthropic({
  baseURL: `${process.env.ANTHROPIC_BASE_URL}/v1`,
  apiKey: process.env.ANTHROPIC_API_KEY,
});

const models = {
  // It refers to earlier items by their ids.
  openai: [openai(MODEL)],
  openai_stateless: [
    openai(MODEL),
    { openai: { store: false, include: ["reasoning.encrypted_content"], forceReasoning: true, reasoningSummary: "auto" } },
  ],
  anthropic: [anthropic(MODEL)],
  anthropic_thinking: [anthropic(MODEL), { anthropic: { thinking: { type: "enabled", budgetTokens: 1024 } } }],
};

/** Asserts that the model sees what it said before. */
async function assertContinues(model, providerOptions) {
  const messages = [{ role: "user", content: "Hello" }];
  const ask = () => generateText({ model, messages, providerOptions, maxRetries: 0 });
  messages.push(...(await ask()).response.messages, { role: "user", content: "What did you say?" });
  assert.equal((await ask()).text, "Hello from the other side");
}

const explains = (model, providerOptions) =>
  assertCompletes(whole, model, "Use tools and explain", providerOptions);

const checks = {};
for (const [name, [model, providerOptions]] of Object.entries(models)) {
  Object.assign(checks, aiSdk(name, model, providerOptions));
  if (name === "openai") continue;
  checks[`ai_sdk_${name}_continues`] = () => assertContinues(model, providerOptions);
  checks[`ai_sdk_${name}_explains`] = () => explains(model, providerOptions);
}
// Texts are stored nowhere, so they cannot be referred to.
checks.ai_sdk_openai_learns_not_to_refer_to_texts = async () => {
  for (const refers of [assertContinues, explains]) {
    const error = await raised(APICallError, () => refers(...models.openai));
    assert(error.message.includes("`store`"), error.message);
  }
};
await run(checks);
