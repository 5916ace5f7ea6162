// Google's unmodified client for Node, against GOOGLE_GEMINI_BASE_URL.

import assert from "node:assert";
import { ApiError, GoogleGenAI } from "@google/genai";
import { PNG, raised, run } from "./suite.mjs";

const MODEL = "gemini-2.5-flash";
// A model that requires its thought signatures.
const NEWER = "gemini-3.8-flash";
const client = new GoogleGenAI({ apiKey: process.env.GEMINI_API_KEY });
const ask = (contents, config) => client.models.generateContent({ model: MODEL, contents, config });
const stream = (contents, config) => client.models.generateContentStream({ model: MODEL, contents, config });
// All chunks. The client does not report an incomplete stream, which has no finish reason.
const whole = async (stream) => {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  const finished = chunks.some(({ candidates }) => candidates?.some((candidate) => candidate.finishReason));
  assert(finished, "the stream is incomplete");
  return chunks;
};
const tools = [
  {
    functionDeclarations: ["weather", "time"].map((name) => ({
      name,
      parameters: { type: "OBJECT", properties: { city: { type: "STRING" } } },
    })),
  },
];

/** Two consecutive tool calls, then text. `ask` returns the calls and the text of an answer. */
async function loop(ask) {
  const chat = client.chats.create({ model: NEWER, config: { tools } });
  const called = [];
  let message = "Use tools";
  for (let step = 0; step < 4; step++) {
    const { calls, text } = await ask(chat, message);
    if (!calls.length) {
      assert.deepEqual(called, ["weather", "time"]);
      return assert(text);
    }
    called.push(...calls.map((call) => call.name));
    message = calls.map(({ id, name }) => ({ functionResponse: { id, name, response: { output: "fine" } } }));
  }
  throw new Error("the loop does not end");
}

await run({
  async plain() {
    const answer = await ask("Hello");
    assert(answer.text && answer.usageMetadata.promptTokenCount);
  },
  async streamed() {
    const pieces = (await whole(await stream("Hello"))).map((chunk) => chunk.text ?? "");
    assert(pieces.length > 1 && pieces.join("").trim());
  },
  async tools() {
    const answer = await ask("Use tools", { tools });
    assert.deepEqual(answer.functionCalls.map((call) => call.name), ["weather", "time"]);
  },
  async tools_streamed() {
    const chunks = await whole(await stream("Use tools", { tools }));
    const calls = chunks.flatMap((chunk) => (chunk.functionCalls ?? []).map((call) => call.name));
    assert.deepEqual(calls, ["weather", "time"]);
  },
  tool_loop: () =>
    loop(async (chat, message) => {
      const answer = await chat.sendMessage({ message });
      return { calls: answer.functionCalls ?? [], text: answer.text };
    }),
  tool_loop_streamed: () =>
    loop(async (chat, message) => {
      const chunks = await whole(await chat.sendMessageStream({ message }));
      const calls = chunks.flatMap((chunk) => chunk.functionCalls ?? []);
      return { calls, text: chunks.map((chunk) => chunk.text ?? "").join("") };
    }),
  async structured() {
    const answer = await ask("Who?", { responseMimeType: "application/json" });
    assert.deepEqual(JSON.parse(answer.text), { name: "Ada", year: 1815 });
  },
  async vision() {
    const image = { inlineData: { mimeType: "image/png", data: PNG } };
    assert((await ask(["What is it?", image])).text);
  },
  async embeddings() {
    const answer = await client.models.embedContent({ model: "gemini-embedding-001", contents: ["a", "b"] });
    assert.equal(answer.embeddings.length, 2);
  },
  async token_count() {
    assert((await client.models.countTokens({ model: MODEL, contents: "Hello" })).totalTokens > 0);
  },
  async models() {
    const names = [];
    for await (const model of await client.models.list({ config: { pageSize: 5 } })) names.push(model.name);
    assert(names.includes(`models/${MODEL}`) && names.length > 5);
  },
  async files() {
    const file = await client.files.upload({
      file: new Blob(["Hello from a file. ".repeat(100)], { type: "text/plain" }),
      config: { mimeType: "text/plain" },
    });
    const part = { fileData: { fileUri: file.uri, mimeType: file.mimeType } };
    for (let round = 0; round < 4; round++) {
      assert.equal((await client.files.get({ name: file.name })).uri, file.uri);
      assert((await ask(["What is in it?", part])).text);
    }
    await client.files.delete({ name: file.name });
    const error = await raised(ApiError, () => client.files.get({ name: file.name }));
    assert([403, 404].includes(error.status), error.message);
  },
  async caches() {
    const cache = await client.caches.create({ model: MODEL, config: { contents: "a long text", ttl: "600s" } });
    for (let round = 0; round < 4; round++) assert((await ask("Hello", { cachedContent: cache.name })).text);
    await client.caches.delete({ name: cache.name });
  },
  async bad_request() {
    const contents = Array(101).fill("a");
    const error = await raised(ApiError, () =>
      client.models.embedContent({ model: "gemini-embedding-001", contents }),
    );
    assert.equal(error.status, 400, error.message);
  },
  async no_such_model() {
    const error = await raised(ApiError, () =>
      client.models.generateContent({ model: "gemini-9", contents: "Hello" }),
    );
    assert.equal(error.status, 404, error.message);
    assert(error.message.includes("gemini-9"), error.message);
  },
  async error_within_a_stream() {
    const error = await raised(ApiError, async () => {
      for await (const _ of await stream("break off"));
    });
    assert.equal(error.status, 503, error.message);
  },
  async cancelled() {
    for await (const _ of await stream("a long answer")) break;
  },
});
