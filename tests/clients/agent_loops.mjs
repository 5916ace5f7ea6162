// What the suites of agents share: the tools, the loops, and the assertion that a loop completes.

import assert from "node:assert";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

export const MODEL = "gemini-3.8-flash";
export const PARALLEL = "Use both tools at once";
const Person = z.object({ name: z.string(), year: z.number() });

/** Asserts that the agent calls both tools and then answers. */
export async function assertCompletes(agent, model, prompt, providerOptions) {
  const called = [];
  const tools = Object.fromEntries(
    ["weather", "time"].map((name) => [
      name,
      tool({
        description: `The ${name} in a city.`,
        inputSchema: z.object({ city: z.string() }),
        execute: async ({ city }) => {
          assert(city);
          called.push(name);
          return "fine";
        },
      }),
    ]),
  );
  const answer = await agent({ model, tools, prompt, providerOptions, stopWhen: stepCountIs(4), maxRetries: 0 });
  // Parallel calls may run in any order.
  const order = prompt === PARALLEL ? called.sort().reverse() : called;
  assert.deepEqual(order, ["weather", "time"]);
  assert(answer, "no answer");
}

/** The text of a whole answer. */
export const whole = async (request) => (await generateText(request)).text;

async function streamed(request) {
  let text = "";
  const answer = streamText({ ...request, onError() {} });
  for await (const part of answer.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") text += part.text;
  }
  return text;
}

/** The checks of a model in AI SDK: consecutive and parallel calls, whole and streamed, and JSON. */
export function aiSdk(name, model, providerOptions) {
  const checks = {};
  for (const [how, prompt] of [["", "Use tools"], ["_parallel", PARALLEL]]) {
    checks[`ai_sdk_${name}${how}`] = () => assertCompletes(whole, model, prompt, providerOptions);
    checks[`ai_sdk_${name}${how}_streamed`] = () => assertCompletes(streamed, model, prompt, providerOptions);
  }
  checks[`ai_sdk_${name}_structured`] = async () => {
    const output = Output.object({ schema: Person });
    Person.parse((await generateText({ model, output, prompt: "Who?", providerOptions, maxRetries: 0 })).output);
  };
  return checks;
}
