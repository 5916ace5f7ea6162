#!/usr/bin/env bash
# openai 6.49.0 (npm) turns an embedding of 16 numbers into 4 zeros.
#
# Expected: `embeddings.create` without `encoding_format` takes the numbers that a compatible server answers with, as
#           the Python SDK does.
# Seen:     the SDK asks for base64 unasked, and decodes whatever comes: it reads the list of numbers as one byte each,
#           four bytes to a float. The result is a quarter as long and holds zeros. There is no error.
source "$(dirname "$0")/lib/setup.sh"
npm_install openai@6.49.0
cat > run.mjs <<'EOF'
import OpenAI from 'openai';
import { check, done, json, serve } from './fake.mjs';

const server = await serve();
const client = new OpenAI({ apiKey: 'x', baseURL: server.url });
const embedding = Array.from({ length: 16 }, (_, n) => n / 16);
server.reply = json({ object: 'list', model: 'm', data: [{ object: 'embedding', index: 0, embedding }] });

const unasked = await client.embeddings.create({ model: 'm', input: 'a' });
check('asked for', JSON.parse(server.requests[0].body).encoding_format, 'base64');
check('vector', unasked.data[0].embedding, [0, 0, 0, 0]);
const floats = await client.embeddings.create({ model: 'm', input: 'a', encoding_format: 'float' });
check('vector with encoding_format "float"', floats.data[0].embedding, embedding);
done();
EOF
run node run.mjs
