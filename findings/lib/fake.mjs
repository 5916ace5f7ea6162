// A scripted server on 127.0.0.1 and the comparison that the findings about Node packages share.
import http from 'node:http';
import { isDeepStrictEqual } from 'node:util';

/** Starts a server that answers every request with `server.reply`, and keeps what it was asked in `server.requests`. */
export async function serve() {
  const fake = { reply: json({}), requests: [] };
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (part) => (body += part)).on('end', () => {
      fake.requests.push({ method: request.method, path: request.url, body });
      response.writeHead(fake.reply.status, fake.reply.headers);
      response.end(fake.reply.body);
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
