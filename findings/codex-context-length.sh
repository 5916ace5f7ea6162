#!/usr/bin/env bash
# Codex CLI 0.171.0 (npm) does not shorten a conversation that the model refuses as too long.
#
# Expected: after `context_length_exceeded` it asks for a summary and goes on, as it does by itself
#           when the reported usage nears the size of the context, and for `/compact`.
# Seen:     the turn ends with an error. The next turn asks for a summary first, but only if all
#           requests so far have used less than a twentieth of the context together. Otherwise, so
#           in any conversation that is really too long, it sends everything again. It seems to take
#           what those requests left of the context for the size of the conversation.
source "$(dirname "$0")/lib/setup.sh"
npm_install @openai/codex@0.171.0
cat > run.mjs <<'EOF'
import fs from 'node:fs';
import { check, done, json, named, quietly, responding, response, serve, stream } from './fake.mjs';

const server = await serve();
fs.mkdirSync('codex');
fs.writeFileSync(
  'codex/config.toml',
  `model = "m"
model_provider = "fake"
model_context_window = 200000
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.fake]
name = "fake"
base_url = "${server.url}"
wire_api = "responses"
env_key = "FAKE_KEY"
request_max_retries = 0
stream_max_retries = 0
`,
);

/** What each request contains of the conversation, and whether it is for a summary. */
const shown = ({ body }) => {
  const { input, tools } = JSON.parse(body);
  const texts = input.flatMap(({ content }) => content ?? []).map(({ text }) => text);
  const said = texts.filter((text) => ['one', 'answer', 'two', 'three'].includes(text)).join(' ');
  return tools?.length ? said : `a summary of: ${said}`;
};

const ask = async (reply, prompt, ...command) => {
  server.requests.length = 0;
  server.reply = reply;
  const settings = { CODEX_HOME: `${process.cwd()}/codex`, FAKE_KEY: 'x' };
  const options = ['exec', ...command, '--skip-git-repo-check', '--json', prompt];
  const { code, lines } = await quietly('@openai/codex/bin/codex.js', options, settings);
  const failed = lines.map((line) => JSON.parse(line)).find((one) => one.type === 'turn.failed');
  return [code, failed?.error.message.split('. ')[0], server.requests.map(shown)];
};

const answer = (total_tokens) => {
  const usage = { input_tokens: total_tokens - 9, output_tokens: 9, total_tokens };
  const last = { type: 'response.completed', response: response('completed', [], { usage }) };
  return stream(named(...responding('answer', last)));
};
const error = {
  type: 'invalid_request_error',
  code: 'context_length_exceeded',
  message: 'Your input exceeds the context window of this model.',
  param: 'input',
};
const failed = { type: 'response.failed', response: response('failed', [], { error }) };
const outOfRoom = "Codex ran out of room in the model's context window";

for (const [how, refusal] of [
  ['400', json({ error }, 400)],
  ['response.failed', stream(named(failed))],
]) {
  for (const [used, next] of [
    [1_000, ['a summary of: one answer two', 'one two three']],
    [30_000, ['one answer two three']],
  ]) {
    await ask(answer(used), 'one');
    const refused = await ask(refusal, 'two', 'resume', '--last');
    check(`${how} after ${used} tokens`, refused, [1, outOfRoom, ['one answer two']]);
    const again = await ask(answer(20), 'three', 'resume', '--last');
    check('the next turn', again, [0, undefined, next]);
  }
}
done();
EOF
run node run.mjs
