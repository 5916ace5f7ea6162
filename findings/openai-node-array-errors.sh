#!/usr/bin/env bash
# openai 6.49.0 (npm) reports "(no body)" for an error whose body is a JSON array, the form of Google's compatible API.
#
# Expected: the message holds the response's text, or its JSON, when the SDK does not know its form.
# Seen:     the body is dropped, and the message denies that there was one. The Python SDK shows it.
source "$(dirname "$0")/lib/setup.sh"
npm_install openai@6.49.0
cat > run.mjs <<'EOF'
import OpenAI from 'openai';
import { check, done, error, json, serve } from './fake.mjs';

const server = await serve();
const client = new OpenAI({ apiKey: 'x', baseURL: server.url, maxRetries: 0 });
const call = () => client.chat.completions.create({ model: 'm', messages: [] });
const body = { error: { code: 400, message: 'API key not valid.', status: 'INVALID_ARGUMENT' } };
server.reply = json(body, 400);
check('object', await error(call), 'BadRequestError: 400 API key not valid.');
server.reply = json([body], 400);
check('array', await error(call), 'BadRequestError: 400 status code (no body)');
done();
EOF
run node run.mjs
