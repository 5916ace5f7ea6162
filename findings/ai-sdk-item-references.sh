#!/usr/bin/env bash
# ai 7.0.173 with @ai-sdk/openai 4.0.118 (npm) refers to items that were not stored.
#
# Expected: a response with `"store": false` is not referred to. Its items are sent back whole, with
#           the encrypted reasoning that it contained, as OpenAI's own packages send them.
# Seen:     the second step of a tool loop has `item_reference`s instead of the reasoning and the
#           words. A server that stores nothing has lost both. Only with
#           `providerOptions: { openai: { store: false } }` are they sent.
source "$(dirname "$0")/lib/setup.sh"
npm_install ai@7.0.173 @ai-sdk/openai@4.0.118
cat > run.mjs <<'EOF'
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, isStepCount, jsonSchema, tool } from 'ai';
import { check, done, item, json, response, serve } from './fake.mjs';

const server = await serve();
const model = createOpenAI({ apiKey: 'x', baseURL: server.url })('gpt-5');
const inputSchema = jsonSchema({ type: 'object', properties: {} });
const weather = tool({ inputSchema, execute: async () => 'sunny' });
const thought = { id: 'rs_1', type: 'reasoning', summary: [], encrypted_content: 'x' };
const called = { call_id: 'call_1', name: 'weather', arguments: '{}' };
const call = { id: 'fc_1', type: 'function_call', status: 'completed', ...called };
const usage = { input_tokens: 1, output_tokens: 1, total_tokens: 2 };

const sentBack = async (providerOptions) => {
  server.requests.length = 0;
  const steps = [[thought, item('Let me look.'), call], [item('It is sunny.')]];
  server.reply = () => {
    const output = steps[server.requests.length - 1];
    return json(response('completed', output, { store: false, usage }));
  };
  const stopWhen = isStepCount(2);
  await generateText({ model, prompt: 'Hello', tools: { weather }, stopWhen, providerOptions });
  const { store, input } = JSON.parse(server.requests[1].body);
  return [store, input.slice(1).map((one) => one.type ?? one.role)];
};

check('by default', await sentBack({}), [
  undefined,
  ['item_reference', 'item_reference', 'function_call', 'function_call_output'],
]);
check('store: false', await sentBack({ openai: { store: false } }), [
  false,
  ['reasoning', 'assistant', 'function_call', 'function_call_output'],
]);
done();
EOF
run node run.mjs
