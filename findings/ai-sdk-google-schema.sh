#!/usr/bin/env bash
# ai 6.0.326 with @ai-sdk/google 3.0.141 (npm) leaves the limits of a JSON schema out of the request.
#
# Expected: `minimum`, `maximum`, `pattern`, `minItems` and `maxItems`, all of which Gemini's Schema has, are sent, or
#           a warning says that they are not.
# Seen:     they are dropped, and `warnings` is empty.
source "$(dirname "$0")/lib/setup.sh"
npm_install ai@6.0.326 @ai-sdk/google@3.0.141
cat > run.mjs <<'EOF'
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { generateText, jsonSchema, tool } from 'ai';
import { candidate, check, done, json, serve } from './fake.mjs';

const server = await serve();
const google = createGoogleGenerativeAI({ apiKey: 'AIzaFAKE-1', baseURL: `${server.url}/v1beta` });
const inputSchema = jsonSchema({
  type: 'object',
  required: ['day'],
  properties: {
    day: { type: 'integer', minimum: 1, maximum: 31 },
    code: { type: 'string', pattern: '^[A-Z]{3}$' },
    tags: { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: 2 },
  },
});
server.reply = json(candidate('Done', 'STOP'));
const { warnings } = await generateText({ model: google('gemini-2.5-flash'), prompt: 'Hello', tools: { book: tool({ inputSchema }) } });
const { properties } = JSON.parse(server.requests[0].body).tools[0].functionDeclarations[0].parameters;
check('warnings', warnings, []);
check('sent', properties, { day: { type: 'integer' }, code: { type: 'string' }, tags: { type: 'array', items: { type: 'string' } } });
done();
EOF
run node run.mjs
