#!/usr/bin/env bash
# openai 2.54.0 (PyPI) and 6.49.0 (npm) read a JSON response to a streamed call as an empty stream.
#
# Expected: a server that ignores `stream: true`, and answers 200 with `content-type: application/json` and a whole
#           completion, gives an error about the content type, or the completion as one chunk.
# Seen:     no chunk and no error.
source "$(dirname "$0")/lib/setup.sh"
npm_install openai@6.49.0
pip_install openai==2.54.0
cat > run.mjs <<'EOF'
import OpenAI from 'openai';
import { check, done, json, serve } from './fake.mjs';

const server = await serve();
const client = new OpenAI({ apiKey: 'x', baseURL: server.url });
server.reply = json({ choices: [{ index: 0, message: { role: 'assistant', content: 'All of it' }, finish_reason: 'stop' }] });
let chunks = 0;
for await (const _ of await client.chat.completions.create({ model: 'm', messages: [], stream: true })) chunks++;
check('chunks in Node', chunks, 0);
done();
EOF
cat > run.py <<'EOF'
from openai import OpenAI

import fake

client = OpenAI(api_key="x", base_url=fake.url)
fake.json({"choices": [{"index": 0, "message": {"role": "assistant", "content": "All of it"}, "finish_reason": "stop"}]})
chunks = list(client.chat.completions.create(model="m", messages=[], stream=True))
fake.check("chunks in Python", len(chunks), 0)
EOF
run node run.mjs
run venv/bin/python run.py
