#!/usr/bin/env bash
# Claude Code 2.1.332 (npm) sends a request six times if the answer is that it is invalid.
#
# Expected: 400 `invalid_request_error` says that the same request cannot succeed, so it is the last
#           one, as in Anthropic's packages.
# Seen:     five more requests, although the message is about the prompt. They do without counted
#           thinking, then without its `display`, then declare all tools at once, and then all of
#           that again. One refused prompt is six requests.
source "$(dirname "$0")/lib/setup.sh"
npm_install @anthropic-ai/claude-code@2.1.332
cat > run.mjs <<'EOF'
import { check, claude, done, json, serve } from './fake.mjs';

const server = await serve();
const error = { type: 'invalid_request_error', message: 'the prompt is not allowed' };
server.reply = json({ type: 'error', error }, 400);
const { code, result } = await claude(server.url, '--model', 'gemini-x');
check('result', [code, result.result], [1, 'API Error: 400 the prompt is not allowed']);
check('requests', server.requests.length, 6);
const shapes = server.requests.map(({ body, headers }) => {
  const { thinking, tools } = JSON.parse(body);
  const deferred = tools.some((one) => one.defer_loading);
  const counted = headers['anthropic-beta'].includes('thinking-token-count');
  return [counted, 'display' in thinking, deferred].map(Number).join('');
});
const inTurn = ['111', '011', '001', '110', '010', '000'];
check('counted thinking, its display, deferred tools', shapes, inTurn);
done();
EOF
run node run.mjs
