#!/usr/bin/env bash
# openai 6.49.0 (npm): the `.stream()` helper loses tool calls that have no `index`, and says that it finished with them.
#
# Expected: tool calls in a delta without `index`, as Google's compatible API sends them, are appended in their order,
#           or refused with an error.
# Seen:     the final message has `tool_calls: []` beside the `finish_reason` "tool_calls". There is no error.
source "$(dirname "$0")/lib/setup.sh"
npm_install openai@6.49.0
cat > run.mjs <<'EOF'
import OpenAI from 'openai';
import { check, chunk, done, serve, stream } from './fake.mjs';

const server = await serve();
const client = new OpenAI({ apiKey: 'x', baseURL: server.url });
const call = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } };
server.reply = stream(chunk({ role: 'assistant', tool_calls: [call] }, 'tool_calls') + 'data: [DONE]\n\n');

const { choices } = await client.chat.completions.stream({ model: 'm', messages: [] }).finalChatCompletion();
check('finish_reason', choices[0].finish_reason, 'tool_calls');
check('tool calls', choices[0].message.tool_calls, []);
done();
EOF
run node run.mjs
