#!/usr/bin/env bash
# openai 2.54.0 (PyPI) and 6.49.0 (npm) take a completion that breaks off for a whole one.
#
# Expected: a stream that ends before any `finish_reason` and without `data: [DONE]` raises an error.
# Seen:     both end the iteration as after a whole answer.
source "$(dirname "$0")/lib/setup.sh"
npm_install openai@6.49.0
pip_install openai==2.54.0
cat > run.mjs <<'EOF'
import OpenAI from 'openai';
import { check, chunk, done, serve, stream } from './fake.mjs';

const server = await serve();
const client = new OpenAI({ apiKey: 'x', baseURL: server.url });
server.reply = stream(chunk({ role: 'assistant', content: 'Half' }) + chunk({ content: ' an ans' }));
const texts = [];
for await (const part of await client.chat.completions.create({ model: 'm', messages: [], stream: true })) {
  texts.push(part.choices[0].delta.content);
}
check('Node', texts, ['Half', ' an ans']);
done();
EOF
cat > run.py <<'EOF'
from openai import OpenAI

import fake

client = OpenAI(api_key="x", base_url=fake.url)
fake.stream(fake.chunk({"role": "assistant", "content": "Half"}) + fake.chunk({"content": " an ans"}))
parts = client.chat.completions.create(model="m", messages=[], stream=True)
fake.check("Python", [part.choices[0].delta.content for part in parts], ["Half", " an ans"])
EOF
run node run.mjs
run venv/bin/python run.py
