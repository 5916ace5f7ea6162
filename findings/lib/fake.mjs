// A scripted server on 127.0.0.1 and the comparison that the findings about Node packages share.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import http from 'node:http';
import { isDeepStrictEqual } from 'node:util';

/**
 * Starts a server that answers every request with `server.reply`, or with what that returns for the
 * request, and keeps what it was asked in `server.requests`.
 */
export async function serve() {
  const fake = { reply: json({}), requests: [] };
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (part) => (body += part)).on('end', () => {
      const asked = { method: request.method, path: request.url, headers: request.headers, body };
      fake.requests.push(asked);
      const reply = typeof fake.reply === 'function' ? fake.reply(asked) : fake.reply;
      response.writeHead(reply.status, reply.headers);
      response.end(reply.body);
    });
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  fake.url = `http://127.0.0.1:${server.address().port}`;
  return fake;
}

export const json = (value, status = 200, headers = {}) => ({
  status,
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(value),
});

/** An event stream of these bytes. Its body ends as HTTP wants it. */
export const stream = (body) => ({ status: 200, headers: { 'content-type': 'text/event-stream' }, body });

export const event = (value) => `data: ${JSON.stringify(value)}\n\n`;

/** Events named by their type, as in the Responses API and in Anthropic's API. */
export const named = (...events) =>
  events.map((one) => `event: ${one.type}\n${event(one)}`).join('');

/** A response of the Responses API. */
export const response = (status, output, rest = {}) => ({
  id: 'resp_1',
  object: 'response',
  created_at: 1,
  model: 'm',
  status,
  output,
  error: null,
  incomplete_details: null,
  parallel_tool_calls: true,
  tool_choice: 'auto',
  tools: [],
  ...rest,
});

/** An item of a response, which says this text. */
export const item = (text) => ({
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text, annotations: [], logprobs: [] }],
});

/** The events of a response that says this text and ends with `last`. */
export const responding = (text, last) => {
  const whole = item(text);
  const [part] = whole.content;
  const begun = { ...whole, status: 'in_progress', content: [] };
  const at = { item_id: whole.id, output_index: 0, content_index: 0 };
  const events = [
    { type: 'response.created', response: response('in_progress', []) },
    { type: 'response.output_item.added', output_index: 0, item: begun },
    { type: 'response.content_part.added', ...at, part: { ...part, text: '' } },
    { type: 'response.output_text.delta', ...at, delta: text, logprobs: [] },
    { type: 'response.output_text.done', ...at, text, logprobs: [] },
    { type: 'response.content_part.done', ...at, part },
    { type: 'response.output_item.done', output_index: 0, item: whole },
    last,
  ];
  return events.map((one, sequence_number) => ({ ...one, sequence_number }));
};

/** The events of a streamed message of Anthropic's API: 100 tokens were asked, and 50 answered. */
export const message = (text, stop_reason = 'end_turn') => [
  {
    type: 'message_start',
    message: {
      id: 'msg_1',
      type: 'message',
      role: 'assistant',
      model: 'm',
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: { input_tokens: 100, output_tokens: 1 },
    },
  },
  { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
  { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } },
  { type: 'content_block_stop', index: 0 },
  {
    type: 'message_delta',
    delta: { stop_reason, stop_sequence: null },
    usage: { output_tokens: 50 },
  },
  { type: 'message_stop' },
];

/** One event of a streamed chat completion. */
export const chunk = (delta, finish_reason, rest = {}) =>
  event({
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'm',
    choices: [{ index: 0, delta, ...(finish_reason ? { finish_reason } : {}) }],
    ...rest,
  });

/** One response of `generateContent`. */
export const candidate = (text, finishReason, rest = {}) => ({
  candidates: [{ content: { role: 'model', parts: [{ text }] }, index: 0, ...(finishReason ? { finishReason } : {}) }],
  ...rest,
});

/**
 * Runs a package's program in an empty folder, with these variables alone. It reaches only
 * 127.0.0.1, since its proxy does not exist.
 */
export async function quietly(program, options, variables) {
  mkdirSync('work', { recursive: true });
  const here = process.cwd();
  const closed = 'http://127.0.0.1:9';
  const proxies = { NO_PROXY: '127.0.0.1', HTTPS_PROXY: closed, HTTP_PROXY: closed };
  const child = spawn(process.execPath, [`${here}/node_modules/${program}`, ...options], {
    cwd: 'work',
    env: { PATH: process.env.PATH, HOME: here, TMPDIR: here, ...proxies, ...variables },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let written = '';
  child.stdout.setEncoding('utf8').on('data', (part) => (written += part));
  const code = await new Promise((ended) => child.on('close', ended));
  return { code, lines: written.split('\n').filter(Boolean) };
}

/** Asks Claude Code, and returns its exit code and its result. */
export async function claude(url, ...options) {
  const { code, lines } = await quietly(
    '@anthropic-ai/claude-code/cli-wrapper.cjs',
    ['--print', 'Hello', '--output-format', 'json', ...options],
    {
      ANTHROPIC_BASE_URL: url,
      ANTHROPIC_AUTH_TOKEN: 'x',
      CLAUDE_CODE_TMPDIR: process.cwd(),
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      DISABLE_AUTOUPDATER: '1',
      DISABLE_ERROR_REPORTING: '1',
      DISABLE_TELEMETRY: '1',
    },
  );
  return { code, result: JSON.parse(lines.at(-1)) };
}

/** What `attempt` throws, as its class and the first line of its message. */
export async function error(attempt) {
  try {
    return `no error, but ${JSON.stringify(await attempt())}`;
  } catch (thrown) {
    return `${thrown.constructor.name}: ${thrown.message.split('\n')[0]}`;
  }
}

/** Compares with what this finding recorded; the process fails at its end if anything differs. */
export function check(what, got, recorded) {
  if (isDeepStrictEqual(got, recorded)) {
    console.log(`as recorded: ${what}: ${JSON.stringify(got)}`);
  } else {
    console.error(`CHANGED: ${what}: recorded ${JSON.stringify(recorded)}, now ${JSON.stringify(got)}`);
    process.exitCode = 1;
  }
}

/** Ends the process, whatever connections are still open. */
export const done = () => process.exit();
