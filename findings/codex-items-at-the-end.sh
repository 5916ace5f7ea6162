#!/usr/bin/env bash
# Codex CLI 0.171.0 (npm) takes a response for an empty one, or its error for a broken connection.
#
# Expected: `response.completed` contains the whole response, so what it says is shown even if the
#           events before it are missing, as OpenAI's packages do. An `error` event is shown as an
#           error.
# Seen:     `output` is not read: the answer is empty, without an error, and the exit code is 0. An
#           `error` event is not read either: Codex says that the stream was closed too early, and
#           the reason is lost. Only `response.failed` is read.
source "$(dirname "$0")/lib/setup.sh"
npm_install @openai/codex@0.171.0
cat > run.mjs <<'EOF'
import fs from 'node:fs';
import { check, done, item, named, quietly, responding, response, serve, stream } from './fake.mjs';

const server = await serve();
fs.mkdirSync('codex');
fs.writeFileSync(
  'codex/config.toml',
  `model = "m"
model_provider = "fake"
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

const ask = async (events) => {
  server.reply = stream(named(...events));
  const settings = { CODEX_HOME: `${process.cwd()}/codex`, FAKE_KEY: 'x' };
  const options = ['exec', '--skip-git-repo-check', '--sandbox', 'read-only', '--json', 'Hello'];
  const { code, lines } = await quietly('@openai/codex/bin/codex.js', options, settings);
  const shown = lines.map((line) => JSON.parse(line));
  const said = shown.filter((one) => one.item?.type === 'agent_message');
  const error = shown.find((one) => one.type === 'turn.failed')?.error.message;
  return [code, said.map((one) => one.item.text), error];
};

const complete = response('completed', [item('Good day')]);
const completed = { type: 'response.completed', response: complete };
const whole = responding('Good day', completed);
check('all events', await ask(whole), [0, ['Good day'], undefined]);
const withoutItem = whole.filter((one) => one.type !== 'response.output_item.done');
check('no output_item.done', await ask(withoutItem), [0, [], undefined]);
const reason = { code: 'invalid_prompt', message: 'the reason' };
const failed = { type: 'response.failed', response: response('failed', [], { error: reason }) };
check('response.failed', await ask([whole[0], failed]), [1, [], 'the reason']);
const error = { type: 'error', ...reason, param: null, sequence_number: 1 };
const closed = 'stream disconnected before completion: stream closed before response.completed';
check('error', await ask([whole[0], error]), [1, [], closed]);
done();
EOF
run node run.mjs
