// The unmodified official OpenAI client for Node, against OPENAI_BASE_URL.

import assert from "node:assert";
import OpenAI, { AuthenticationError, BadRequestError, NotFoundError } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { PNG, raised, run } from "./suite.mjs";

const MODEL = "gemini-2.5-flash";
// A model that requires its thought signatures.
const NEWER = "gemini-3.8-flash";
const client = new OpenAI();
const ask = (content, more = {}) =>
  client.chat.completions.create({ model: MODEL, messages: [{ role: "user", content }], ...more });

// All chunks. The client does not report an incomplete stream, which has no finish reason.
const whole = async (stream) => {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  const finished = chunks.some(({ choices }) => choices.some((choice) => choice.finish_reason));
  assert(finished, "the stream is incomplete");
  return chunks;
};

const tools = ["weather", "time"].map((name) => ({
  type: "function",
  function: { name, parameters: { type: "object", properties: { city: { type: "string" } } } },
}));
const Person = z.object({ name: z.string(), year: z.number() });

/** The client's own loop: two consecutive tool calls, then text. */
async function runTools(stream) {
  const called = [];
  const runner = client.chat.completions.runTools({
    model: NEWER,
    stream,
    messages: [{ role: "user", content: "Use tools" }],
    tools: tools.map(({ type, function: { name, parameters } }) => ({
      type,
      function: { name, parameters, parse: JSON.parse, function: () => (called.push(name), "fine") },
    })),
  });
  assert(await runner.finalContent());
  assert.deepEqual(called, ["weather", "time"]);
}

await run({
  async plain() {
    const answer = await ask("Hello");
    assert(answer.choices[0].message.content && answer.id && answer.created);
    assert.equal(answer.choices[0].finish_reason, "stop");
  },
  async streamed() {
    const chunks = await whole(await ask("Hello", { stream: true }));
    const pieces = chunks.map((chunk) => chunk.choices[0].delta.content ?? "");
    assert(pieces.length > 1 && pieces.join("").trim());
  },
  async streamed_usage() {
    const chunks = await whole(await ask("Hello", { stream: true, stream_options: { include_usage: true } }));
    const told = chunks.filter((chunk) => chunk.usage);
    assert.equal(told.length, 1, `usage is told ${told.length} times`);
    assert.deepEqual(told[0].choices, []);
  },
  async tools() {
    const [choice] = (await ask("Use tools", { tools })).choices;
    assert.equal(choice.finish_reason, "tool_calls");
    const ids = choice.message.tool_calls.map((call) => call.id);
    assert.equal(new Set(ids).size, 2);
    assert(ids.every(Boolean), `ids ${JSON.stringify(ids)}`);
  },
  async tools_streamed() {
    const stream = client.chat.completions.stream({
      model: MODEL,
      messages: [{ role: "user", content: "Use tools" }],
      tools,
    });
    const [choice] = (await stream.finalChatCompletion()).choices;
    const calls = choice.message.tool_calls;
    assert.deepEqual(calls.map((call) => call.function.name), ["weather", "time"]);
    calls.forEach((call) => JSON.parse(call.function.arguments));
    assert.equal(new Set(calls.map((call) => call.id)).size, 2);
    assert.equal(choice.finish_reason, "tool_calls");
  },
  async tool_loop() {
    const messages = [{ role: "user", content: "Use tools" }];
    const called = [];
    for (let step = 0; step < 4; step++) {
      const { message } = (await client.chat.completions.create({ model: NEWER, messages, tools })).choices[0];
      messages.push(message);
      if (!message.tool_calls) {
        assert.deepEqual(called, ["weather", "time"]);
        return assert(message.content);
      }
      for (const call of message.tool_calls) {
        called.push(call.function.name);
        messages.push({ role: "tool", tool_call_id: call.id, content: "fine" });
      }
    }
    throw new Error("the loop does not end");
  },
  run_tools: () => runTools(false),
  run_tools_streamed: () => runTools(true),
  async structured() {
    const answer = await client.chat.completions.parse({
      model: MODEL,
      messages: [{ role: "user", content: "Who?" }],
      response_format: zodResponseFormat(Person, "person"),
    });
    assert.deepEqual(answer.choices[0].message.parsed, { name: "Ada", year: 1815 });
  },
  async vision() {
    const image_url = { url: `data:image/png;base64,${PNG}` };
    const answer = await ask([{ type: "text", text: "What is it?" }, { type: "image_url", image_url }]);
    assert(answer.choices[0].message.content);
  },
  async embeddings_are_the_same_in_either_encoding() {
    const create = async (request) =>
      (await client.embeddings.create({ model: "gemini-embedding-001", input: "a", ...request })).data[0].embedding;
    const plain = await create({ encoding_format: "float" });
    // The client requests base64 by default.
    const vector = await create({});
    assert.equal(vector.length, plain.length);
    assert(vector.every((number, index) => Math.abs(number - plain[index]) < 1e-6), `${vector.slice(0, 3)}`);
  },
  async embeddings() {
    const answer = await client.embeddings.create({
      model: "gemini-embedding-001",
      input: ["a", "b"],
      encoding_format: "float",
    });
    assert.equal(answer.data.length, 2);
    assert(answer.data[0].embedding.length > 100);
  },
  async models() {
    const names = [];
    for await (const model of client.models.list()) {
      names.push(model.id);
      assert.equal(typeof model.created, "number");
    }
    assert(names.includes(MODEL), names.slice(0, 3).join());
  },
  async unsupported_fields() {
    assert((await ask("Hello", { seed: 1, frequency_penalty: 0.5 })).choices[0].message.content);
  },
  async bad_request() {
    const error = await raised(BadRequestError, () => ask("Hello", { temperature: "hot" }));
    assert(error.message.includes("temperature"), error.message);
    assert.equal(error.code, "invalid_argument");
  },
  async no_such_model() {
    const messages = [{ role: "user", content: "Hello" }];
    const error = await raised(NotFoundError, () =>
      client.chat.completions.create({ model: "gemini-9", messages }),
    );
    assert(error.message.includes("gemini-9"), error.message);
  },
  async wrong_key() {
    await raised(AuthenticationError, () => client.withOptions({ apiKey: "not-the-key" }).models.list());
  },
  async retry_after_is_obeyed() {
    // A model whose quota no other check uses.
    const answer = await ask("be over quota once", { model: "gemini-2.5-pro" });
    assert(answer.choices[0].message.content);
  },
  async cancelled() {
    const stream = await ask("a long answer", { stream: true });
    for await (const _ of stream) break;
    assert(stream.controller.signal.aborted);
  },
});
