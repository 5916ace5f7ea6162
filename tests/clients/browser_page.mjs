// Uses the pool from a web page of another origin. The page reports each check to its own server.

import { GoogleGenAI } from "@google/genai";
import OpenAI from "openai";

const { pool, token, is_allowed } = Object.fromEntries(new URLSearchParams(location.search));
const MODEL = "gemini-2.5-flash";
const tell = (line) => fetch("/told", { method: "POST", body: line });
const post = (path, body, key = token) =>
  fetch(pool + path, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", "x-stainless-lang": "js" },
    body: JSON.stringify(body),
  });
const chat = (words, more) => ({ model: MODEL, messages: [{ role: "user", content: words }], ...more });
const openai = new OpenAI({
  baseURL: `${pool}/v1`,
  apiKey: token,
  dangerouslyAllowBrowser: true,
  maxRetries: 0,
});
const google = new GoogleGenAI({ apiKey: token, httpOptions: { baseUrl: pool } });

function assert(holds, message) {
  if (!holds) throw new Error(JSON.stringify(message) ?? "assertion failed");
}

/** The error of a response that the page can read. */
async function failed(response, status, code) {
  const { error } = await response.json();
  assert(response.status === status && error.code === code, [response.status, error]);
  assert(error.message, error);
  assert(response.headers.get("x-request-id"), "no x-request-id");
}

async function all(stream, words) {
  let text = "";
  for await (const chunk of stream) text += words(chunk) ?? "";
  assert(text.trim(), text);
}

const CHECKS = {
  async plain() {
    const response = await post("/v1/chat/completions", chat("Hello"));
    assert((await response.json()).choices[0].message.content, "no content");
    for (const name of ["x-request-id", "x-keypool-attempts", "x-keypool-key"]) {
      assert(response.headers.get(name), name);
    }
  },
  async streamed_event_by_event() {
    const response = await post("/v1/chat/completions", chat("step by step", { stream: true }));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let read = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      read += value;
      // The test releases the next event once this one has arrived.
      await tell("read");
    }
    assert(read.trimEnd().endsWith("data: [DONE]"), read);
  },
  async left_half_way() {
    const leaves = new AbortController();
    const response = await fetch(`${pool}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify(chat("never ends", { stream: true })),
      signal: leaves.signal,
    });
    await response.body.getReader().read();
    leaves.abort();
  },
  async wrong_token() {
    await failed(await post("/v1/chat/completions", chat("Hello"), "not-the-token"), 401, "invalid_client_token");
  },
  async bad_request() {
    await failed(await post("/v1/chat/completions", { messages: 7 }), 400, "invalid_request");
  },
  async unknown_path() {
    await failed(await post("/v1/moderations", chat("Hello")), 404, "unknown_path");
  },
  async exhausted() {
    const response = await post("/v1/chat/completions", { ...chat("Hello"), model: "gemini-2.5-pro" });
    assert(Number(response.headers.get("retry-after")) > 0, "no Retry-After");
    assert(response.status === 429, response.status);
  },
  async openai() {
    const answer = await openai.chat.completions.create(chat("Hello"));
    assert(answer.choices[0].message.content, answer);
    await all(await openai.chat.completions.create(chat("Hello", { stream: true })), (chunk) => chunk.choices[0]?.delta.content);
    try {
      await openai.chat.completions.create({ model: MODEL, messages: 7 });
    } catch (error) {
      return assert(error.status === 400 && error.requestID && error.code === "invalid_request", error);
    }
    throw new Error("no error");
  },
  async google() {
    const answer = await google.models.generateContent({ model: MODEL, contents: "Hello" });
    assert(answer.text, answer);
    await all(await google.models.generateContentStream({ model: MODEL, contents: "Hello" }), (chunk) => chunk.text);
    const file = await google.files.upload({ file: new Blob(["words"], { type: "text/plain" }) });
    assert(file.name, file);
    try {
      await google.models.generateContent({ model: "gemini-2.5-pro", contents: "Hello" });
    } catch (error) {
      return assert(error.status === 429, error);
    }
    throw new Error("no error");
  },
};

const REFUSED = {
  async of_another_origin() {
    try {
      await post("/v1/chat/completions", chat("Hello"));
    } catch (error) {
      return assert(error instanceof TypeError, error);
    }
    throw new Error("it could be read");
  },
};

if (is_allowed) {
  const other = document.createElement("iframe");
  other.src = location.href.replace("127.0.0.1", "localhost").replace("&is_allowed=1", "");
  document.body.append(other);
}
for (const [name, check] of Object.entries(is_allowed ? CHECKS : REFUSED)) {
  try {
    await check();
    await tell(`${name}\tok`);
  } catch (error) {
    await tell(`${name}\t${error.name}: ${error.message}`.replaceAll("\n", " ").slice(0, 300));
  }
}
await tell("end");
