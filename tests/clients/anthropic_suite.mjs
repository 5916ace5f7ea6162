// Anthropic's unmodified client for Node on the Messages API, against ANTHROPIC_BASE_URL.

import assert from "node:assert";
import Anthropic, {
  APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError,
} from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
import { PDF, PNG, raised, run } from "./suite.mjs";

// A model that requires its thought signatures.
const MODEL = "gemini-3.8-flash";
const client = new Anthropic();
const { messages } = client;
const request = (content, more) => ({ model: MODEL, max_tokens: 2048, messages: [{ role: "user", content }], ...more });
const create = (content, more) => messages.create(request(content, more));
const textOf = ({ content }) => content.map((block) => block.text ?? "").join("");

const input_schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = ["weather", "time"].map((name) => ({ name, description: `The ${name}.`, input_schema }));
const search = [{ type: "web_search_20250305", name: "web_search", max_uses: 3 }];
const PARALLEL = "Use both tools at once";
const THINKING = { thinking: { type: "enabled", budget_tokens: 1024 } };
const Person = z.object({ name: z.string(), year: z.number() });
const output_config = { format: zodOutputFormat(Person) };
const ADA = { name: "Ada", year: 1815 };
const image = { type: "image", source: { type: "base64", media_type: "image/png", data: PNG } };
const pdf = { type: "document", source: { type: "base64", media_type: "application/pdf", data: PDF } };

/** The message by the client's own helper, whose events must be in order and complete. */
async function streamed(content, more) {
  const stream = messages.stream(request(content, more));
  const blocks = [];
  const ends = [];
  let isOpen = false;
  let number = 0;
  for await (const { type, index, content_block } of stream) {
    assert.equal(type === "message_start", number++ === 0, type);
    assert(!ends.length || type === "message_stop", type);
    if (type === "content_block_start") {
      assert(!isOpen && index === blocks.length, `${index}`);
      isOpen = true;
      blocks.push(content_block.type);
    } else if (type.startsWith("content_block_")) {
      assert(isOpen && index === blocks.length - 1, `${type} ${index}`);
      isOpen = type !== "content_block_stop";
    } else if (type !== "message_start") {
      assert(!isOpen, type);
      ends.push(type);
    }
  }
  assert.deepEqual(ends, ["message_delta", "message_stop"]);
  const message = await stream.finalMessage();
  assert.deepEqual(message.content.map(({ type }) => type), blocks);
  return message;
}

/** Calls tools until the model answers. Blocks are sent back unchanged, except those not kept. */
async function loop(ask, prompt = "Use tools", more = {}, keep = () => true) {
  const history = [{ role: "user", content: prompt }];
  const called = [];
  for (let step = 0; step < 4; step++) {
    const { content, stop_reason } = await ask(prompt, { messages: history, tools, ...more });
    const calls = content.filter((block) => block.type === "tool_use");
    if (more.thinking) assert(content[0].type === "thinking" && (content[0].signature || !calls.length));
    assert.equal(stop_reason, calls.length ? "tool_use" : "end_turn");
    if (!calls.length) {
      assert(textOf({ content }));
      return assert.deepEqual(called, ["weather", "time"]);
    }
    assert(calls.every((call) => call.input.city));
    called.push(...calls.map((call) => call.name));
    history.push({ role: "assistant", content: content.filter(keep) });
    const results = calls.map(({ id }) => ({ type: "tool_result", tool_use_id: id, content: "fine" }));
    history.push({ role: "user", content: results });
  }
  throw new Error("the loop does not end");
}

/** A conversation with a call by another model, whose signature does not exist. */
const afterACall = (prompt, result) => [
  { role: "user", content: prompt },
  { role: "assistant", content: [{ type: "tool_use", id: "toolu_1", name: "weather", input: { city: "Oslo" } }] },
  { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_1", ...result }] },
];

/** Asserts that the error about a request names a parameter. */
async function refused(parameter, more, content = "Hello") {
  const error = await raised(BadRequestError, () => create(content, more));
  assert.equal(error.type, "invalid_request_error");
  assert(error.error.error.message.includes(parameter), error.message);
}

/** The client's own loop. */
async function runTools(more) {
  const called = [];
  const runner = client.beta.messages.toolRunner({
    ...request("Use tools", more),
    tools: ["weather", "time"].map((name) =>
      betaZodTool({
        name,
        description: `The ${name}.`,
        inputSchema: z.object({ city: z.string() }),
        run: ({ city }) => (called.push(name), city && "fine"),
      }),
    ),
  });
  assert(textOf(await runner.runUntilDone()));
  assert.deepEqual(called, ["weather", "time"]);
}

const checks = {};
for (const [how, ask] of Object.entries({ "": create, _streamed: streamed })) {
  Object.assign(checks, {
    async [`text${how}`]() {
      const message = await ask("Hello");
      assert.equal(textOf(message), "Hello from the other side");
      assert.deepEqual([message.type, message.role, message.stop_reason], ["message", "assistant", "end_turn"]);
      assert.equal(message.model, MODEL);
    },
    async [`thinking${how}`]() {
      const [thought, said] = (await ask("Hello", THINKING)).content;
      assert.deepEqual([thought.type, said.type], ["thinking", "text"]);
      // The signature of a text follows it, and is not needed. Those of tool calls are: see `loop`.
      assert.equal(thought.thinking, "I think about it.");
    },
    [`tool_loop${how}`]: () => loop(ask),
    [`tool_loop_with_thinking${how}`]: () => loop(ask, "Use tools", THINKING),
    [`tool_loop_parallel${how}`]: () => loop(ask, PARALLEL),
    [`tool_loop_parallel_with_thinking${how}`]: () => loop(ask, PARALLEL, THINKING),
    [`tool_loop_without_thinking_blocks${how}`]: () =>
      loop(ask, PARALLEL, THINKING, (block) => block.type !== "thinking"),
    async [`stop_sequence${how}`]() {
      const message = await ask("Count to three", { stop_sequences: ["two"] });
      // Gemini does not tell which sequence it was, or whether it was one.
      assert.deepEqual([textOf(message), message.stop_reason], ["one ", "end_turn"]);
    },
    async [`output_limit${how}`]() {
      assert.equal((await ask("a long text", { max_tokens: 16 })).stop_reason, "max_tokens");
    },
    async [`filtered_answer${how}`]() {
      assert.equal((await ask("Say something unsafe")).stop_reason, "refusal");
    },
    async [`filtered_prompt${how}`]() {
      assert.equal((await ask("Be blocked")).stop_reason, "refusal");
    },
    async [`usage${how}`]() {
      const { usage } = await ask("Count the tokens");
      // Of 20 tokens, 4 are from a cache. What the model thinks counts as output.
      assert.deepEqual([usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens], [16, 4, 12]);
    },
    async [`web_search${how}`]() {
      const message = await ask("Search the web", { tools: search });
      const of = (kind) => message.content.find(({ type }) => type === kind);
      assert.deepEqual(of("server_tool_use").input, { query: "Ada Lovelace" });
      const result = of("web_search_tool_result");
      assert.equal(result.tool_use_id, of("server_tool_use").id);
      assert.equal(result.content[0].url, "https://example.com/ada");
      const [citation, ...more] = message.content.flatMap((block) => block.citations ?? []);
      assert.deepEqual([citation.cited_text, citation.url], ["born in 1815", "https://example.com/ada"]);
      assert.equal(more.length, 0);
      assert(textOf(message).includes("born in 1815"));
    },
  });
}

await run({
  ...checks,
  async image() {
    const content = [image, { type: "text", text: "What is attached?" }];
    assert.equal(textOf(await create(content)), `image/png ${PNG}`);
  },
  async document() {
    const content = [pdf, { type: "text", text: "What is attached?" }];
    assert.equal(textOf(await create(content)), `application/pdf ${PDF}`);
  },
  async image_in_a_tool_result() {
    const history = afterACall("What is attached?", { content: [image] });
    assert.equal(textOf(await create("", { messages: history, tools })), `image/png ${PNG}`);
  },
  async failed_tool() {
    const history = afterACall("What did the tools say?", { content: "no such city", is_error: true });
    const said = textOf(await create("", { messages: history, tools }));
    assert.deepEqual(JSON.parse(said), [{ error: "no such city" }]);
  },
  async system_blocks() {
    const block = { type: "text", text: "Be kind.", cache_control: { type: "ephemeral" } };
    assert.equal(textOf(await create("Repeat the instructions", { system: [block] })), "Be kind.");
  },
  async structured() {
    assert.deepEqual((await messages.parse(request("Who?", { output_config }))).parsed_output, ADA);
  },
  async structured_streamed() {
    assert.deepEqual((await streamed("Who?", { output_config })).parsed_output, ADA);
  },
  async search_results_are_sent_back() {
    const { content } = await create("Search the web", { tools: search });
    const history = [
      { role: "user", content: "Search the web" },
      { role: "assistant", content },
      { role: "user", content: "Thanks" },
    ];
    assert(textOf(await create("", { messages: history, tools: search })));
  },
  async token_count() {
    const count = async (content, more) =>
      (await messages.countTokens({ model: MODEL, messages: [{ role: "user", content }], ...more })).input_tokens;
    const hello = await count("Hello");
    assert(hello > 0 && hello < (await count("Hello ".repeat(100))));
    assert(hello < (await count("Hello", { tools })));
  },
  async models() {
    const listed = [];
    for await (const model of client.models.list({ limit: 3 })) listed.push(model);
    const ids = listed.map((model) => model.id);
    assert(ids.includes(MODEL) && ids.length > 3 && new Set(ids).size === ids.length, ids.join());
    for (const { type, display_name, created_at } of listed) {
      assert(type === "model" && display_name && created_at, `${type} ${display_name} ${created_at}`);
    }
  },
  async model() {
    assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
  },
  async no_such_model() {
    const error = await raised(NotFoundError, () => create("Hello", { model: "claude-opus-5" }));
    assert(error.message.includes("claude-opus-5"), error.message);
  },
  async auth_token() {
    const bearer = new Anthropic({ apiKey: null, authToken: process.env.ANTHROPIC_API_KEY });
    assert(textOf(await bearer.messages.create(request("Hello"))));
  },
  async wrong_token() {
    for (const wrong of [{ apiKey: "wrong" }, { apiKey: null, authToken: "wrong" }]) {
      const stranger = new Anthropic(wrong);
      const error = await raised(AuthenticationError, () => stranger.messages.create(request("Hello")));
      assert.equal(error.type, "authentication_error");
      assert(error.requestID?.startsWith("req_"), `${error.requestID}`);
    }
  },
  refuses_image_without_data: () =>
    refused("messages[0].content[0].source.data", {}, [
      { type: "image", source: { type: "base64", media_type: "image/png" } },
    ]),
  refuses_wrong_type: () => refused("temperature", { temperature: "hot" }),
  refuses_code_execution: () =>
    refused("tools[0]", { tools: [{ type: "code_execution_20250825", name: "code_execution" }] }),
  async quota_is_waited_for() {
    // A model whose quota no other check uses.
    const ask = request("be over quota once", { model: "gemini-2.5-pro" });
    const error = await raised(RateLimitError, () => messages.create(ask, { maxRetries: 0 }));
    const wait = Number(error.headers.get("retry-after"));
    assert(wait > 0 && wait <= 3, `${wait}`);
    assert.equal(textOf(await messages.create(ask)), "Hello again");
  },
  async overloaded() {
    // A model that no other check uses.
    const ask = request("be overloaded", { model: "gemini-2.5-flash-lite" });
    const error = await raised(InternalServerError, () => messages.create(ask, { maxRetries: 0 }));
    assert.deepEqual([error.status, error.type], [529, "overloaded_error"]);
  },
  async error_within_a_stream() {
    const error = await raised(APIError, () => streamed("break off"));
    assert(error.message.includes("overloaded"), error.message);
  },
  async cancelled() {
    const stream = await create("a long answer", { stream: true });
    for await (const _ of stream) break;
    assert(stream.controller.signal.aborted);
    assert(textOf(await create("Hello")));
  },
  tool_runner: () => runTools(),
  tool_runner_with_thinking: () => runTools(THINKING),
  tool_runner_streamed: () => runTools({ stream: true }),
});
