// OpenAI's unmodified client for Node on the Responses API, against OPENAI_BASE_URL.

import assert from "node:assert";
import OpenAI, { APIError, AuthenticationError, BadRequestError, NotFoundError, RateLimitError } from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { PDF, PNG, raised, run } from "./suite.mjs";

// A model that requires its thought signatures.
const MODEL = "gemini-3.8-flash";
const client = new OpenAI();
const { responses } = client;
const create = (input, more = {}) => responses.create({ model: MODEL, input, ...more });

const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const tools = ["weather", "time"].map((name) => ({ type: "function", name, parameters, strict: true }));
const STATELESS = { store: false, include: ["reasoning.encrypted_content"] };
const PARALLEL = "Use both tools at once";
const Person = z.object({ name: z.string(), year: z.number() });
const text = { format: zodTextFormat(Person, "person") };
const ADA = { name: "Ada", year: 1815 };

/** The final response of a stream, whose events must be in order and complete. */
async function iterated(input, more) {
  const items = [];
  const ended = new Set();
  const texts = {};
  let final;
  let number = 0;
  for await (const event of await create(input, { ...more, stream: true })) {
    assert(!final, `${event.type} after the end`);
    assert.equal(event.sequence_number, number);
    const kind = event.type.replace("response.", "");
    if (number < 2) {
      assert.equal(kind, ["created", "in_progress"][number]);
    } else if (["completed", "incomplete", "failed"].includes(kind)) {
      final = event.response;
    } else if (kind === "output_item.added") {
      assert.equal(event.output_index, items.length);
      items.push(event.item);
    } else if (kind === "output_item.done") {
      assert.equal(event.item.id, items[event.output_index].id);
      items[event.output_index] = event.item;
      ended.add(event.output_index);
    } else {
      assert.equal(event.item_id, items[event.output_index].id);
      assert(!ended.has(event.output_index), event.type);
      follow(texts, kind, event);
    }
    number++;
  }
  assert(final, "the stream is incomplete");
  assert.equal(ended.size, items.length);
  assert.deepEqual(final.output, items);
  // The client adds it to whole responses only.
  const parts = items.filter(({ type }) => type === "message").flatMap(({ content }) => content);
  return { ...final, output_text: parts.map((part) => part.text ?? "").join("") };
}

/** Collects deltas, which together must be what the end of a text tells. */
function follow(texts, kind, event) {
  const [, name, what] = kind.match(/(.*)\.(.*)/);
  const key = [name, event.output_index, event.content_index, event.summary_index].join();
  if (what === "delta") texts[key] = (texts[key] ?? "") + event.delta;
  const whole = event.text ?? event.arguments ?? event.input ?? event.refusal;
  if (what === "done" && whole !== undefined) assert.equal(texts[key] ?? "", whole);
}

/** The final response by the client's own helper for streams. */
const helped = (input, more) => responses.stream({ model: MODEL, input, ...more }).finalResponse();

/** Calls tools until the model answers. Items are sent back unchanged, except those not kept. */
async function loop(ask, prompt = "Use tools", more = {}, keep = () => true) {
  const items = [{ role: "user", content: prompt }];
  const called = [];
  for (let step = 0; step < 4; step++) {
    const response = await ask(items, { tools, ...more });
    items.push(...response.output.filter(keep));
    const calls = response.output.filter((item) => item.type.endsWith("_call"));
    if (!calls.length) {
      assert(response.output_text);
      return called;
    }
    for (const { type, call_id, name, input, arguments: args } of calls) {
      assert(input ?? JSON.parse(args).city);
      called.push(name);
      items.push({ type: `${type}_output`, call_id, output: "fine" });
    }
    assert.equal(new Set(calls.map((call) => call.call_id)).size, calls.length);
  }
  throw new Error("the loop does not end");
}

/** Asserts that a response ends early. */
async function endsEarly(ask, prompt, reason, more) {
  const response = await ask(prompt, more);
  assert.deepEqual([response.status, response.incomplete_details?.reason], ["incomplete", reason]);
}

/** Asserts that a streamed response fails, and that the error says why. */
async function fails(ask, prompt, why) {
  const error = await raised(APIError, () => ask(prompt));
  assert(error.message.includes(why), error.message);
}

/** Asserts that the error about a request names a parameter. */
async function refused(parameter, more) {
  const error = await raised(BadRequestError, () => create("Hello", more));
  assert(error.param?.startsWith(parameter), `${error.param}: ${error.message}`);
}

const checks = {};
for (const [how, ask] of Object.entries({ "": create, _streamed: iterated, _with_helper: helped })) {
  const completes = (prompt, more, keep) => async () =>
    assert.deepEqual(await loop(ask, prompt, more, keep), ["weather", "time"]);
  Object.assign(checks, {
    async [`text${how}`]() {
      const response = await ask("Hello");
      assert.equal(response.output_text, "Hello from the other side");
      assert.deepEqual([response.object, response.status, response.model], ["response", "completed", MODEL]);
    },
    [`tool_loop${how}`]: completes(),
    [`tool_loop_stateless${how}`]: completes("Use tools", STATELESS),
    [`tool_loop_parallel${how}`]: completes(PARALLEL),
    [`tool_loop_parallel_stateless${how}`]: completes(PARALLEL, STATELESS),
    [`tool_loop_without_reasoning_items${how}`]: completes(PARALLEL, {}, ({ type }) => type !== "reasoning"),
    async [`custom_tool${how}`]() {
      const patch = { type: "custom", name: "patch", description: "Applies a patch." };
      assert.deepEqual(await loop(ask, "Use tools", { tools: [patch] }), ["patch", "patch"]);
    },
    async [`reasoning_summary${how}`]() {
      const more = { reasoning: { effort: "low", summary: "auto" }, ...STATELESS };
      const [reasoning, message] = (await ask("Hello", more)).output;
      assert.deepEqual([reasoning.type, message.type], ["reasoning", "message"]);
      assert.equal(reasoning.summary[0].text, "I think about it.");
    },
    async [`usage${how}`]() {
      const { usage } = await ask("Count the tokens");
      // What the model thinks counts as output.
      assert.deepEqual([usage.input_tokens, usage.output_tokens, usage.total_tokens], [20, 12, 32]);
      assert.equal(usage.input_tokens_details.cached_tokens, 4);
      assert.equal(usage.output_tokens_details.reasoning_tokens, 7);
    },
    async [`web_search${how}`]() {
      const { output } = await ask("Search the web", { tools: [{ type: "web_search" }] });
      const of = (kind) => output.find(({ type }) => type === kind);
      const search = of("web_search_call");
      assert.deepEqual([search.status, search.action.query], ["completed", "Ada Lovelace"]);
      const [{ text, annotations }] = of("message").content;
      const [{ type, url, start_index, end_index }] = annotations;
      assert.deepEqual([type, url], ["url_citation", "https://example.com/ada"]);
      // Google counts bytes, OpenAI characters.
      assert.equal(text.slice(start_index, end_index), "born in 1815");
    },
    [`output_limit${how}`]: () => endsEarly(ask, "a long text", "max_output_tokens", { max_output_tokens: 16 }),
    [`filtered_answer${how}`]: () => endsEarly(ask, "Say something unsafe", "content_filter"),
  });
}

await run({
  ...checks,
  async structured() {
    const response = await responses.parse({ model: MODEL, input: "Who?", text });
    assert.deepEqual(response.output_parsed, ADA);
  },
  async structured_streamed() {
    assert.deepEqual((await helped("Who?", { text })).output_parsed, ADA);
  },
  async input_items() {
    const input = [
      { role: "developer", content: "Be brief." },
      { role: "user", content: [{ type: "input_text", text: "Hello" }] },
      { role: "assistant", content: "Hello" },
      { role: "user", content: "Repeat the instructions" },
    ];
    const { output_text } = await create(input, { instructions: "Be kind." });
    assert(output_text.includes("Be kind.") && output_text.includes("Be brief."), output_text);
  },
  async image() {
    const image = { type: "input_image", image_url: `data:image/png;base64,${PNG}` };
    const content = [{ type: "input_text", text: "What is attached?" }, image];
    assert.equal((await create([{ role: "user", content }])).output_text, `image/png ${PNG}`);
  },
  async file() {
    const file = { type: "input_file", filename: "a.pdf", file_data: `data:application/pdf;base64,${PDF}` };
    const content = [file, { type: "input_text", text: "What is attached?" }];
    assert.equal((await create([{ role: "user", content }])).output_text, `application/pdf ${PDF}`);
  },
  refuses_previous_response_id: () => refused("previous_response_id", { previous_response_id: "resp_1" }),
  refuses_conversation: () => refused("conversation", { conversation: "conv_1" }),
  refuses_background: () => refused("background", { background: true }),
  refuses_file_search: () => refused("tools[0]", { tools: [{ type: "file_search", vector_store_ids: ["vs_1"] }] }),
  invalid_parameter: () => refused("temperature", { temperature: "hot" }),
  responses_are_not_stored: () => raised(NotFoundError, () => responses.retrieve("resp_1")),
  async no_such_model() {
    const error = await raised(NotFoundError, () => create("Hello", { model: "gemini-9" }));
    assert(error.message.includes("gemini-9"), error.message);
  },
  async wrong_token() {
    const stranger = client.withOptions({ apiKey: "not-the-token" });
    await raised(AuthenticationError, () => stranger.responses.create({ model: MODEL, input: "Hello" }));
  },
  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert(ids.includes(MODEL), ids.join());
  },
  async quota_is_waited_for() {
    // A model whose quota no other check uses.
    const request = { model: "gemini-2.5-pro", input: "be over quota once" };
    const error = await raised(RateLimitError, () => responses.create(request, { maxRetries: 0 }));
    const wait = Number(error.headers.get("retry-after"));
    assert(wait > 0 && wait <= 3, `${wait}`);
    assert.equal((await responses.create(request)).output_text, "Hello again");
  },
  async filtered_prompt() {
    const { status, error } = await create("Be blocked");
    assert.deepEqual([status, error.code], ["failed", "invalid_prompt"]);
  },
  filtered_prompt_streamed: () => fails(iterated, "Be blocked", "PROHIBITED_CONTENT"),
  filtered_prompt_with_helper: () => fails(helped, "Be blocked", "PROHIBITED_CONTENT"),
  error_within_a_stream: () => fails(iterated, "break off", "overloaded"),
  error_within_a_stream_with_helper: () => fails(helped, "break off", "overloaded"),
  async cancelled() {
    const stream = await create("a long answer", { stream: true });
    for await (const _ of stream) break;
    assert(stream.controller.signal.aborted);
    assert((await create("Hello")).output_text);
  },
});
