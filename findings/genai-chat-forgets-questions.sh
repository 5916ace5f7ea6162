#!/usr/bin/env bash
# google-genai 2.34.0 (PyPI) and @google/genai 2.32.0 (npm): a chat forgets the question when its answer is empty or unfinished.
#
# Expected: the next message of a chat is sent with all that the user has said before.
# Seen:     after an answer without parts (MAX_TOKENS spent on thinking, say), the next request holds neither that
#           answer nor the user's message before it. In Node, the same goes for a stream that the user stops reading.
source "$(dirname "$0")/lib/setup.sh"
npm_install @google/genai@2.32.0
pip_install google-genai==2.34.0
cat > run.mjs <<'EOF'
import { GoogleGenAI } from '@google/genai';
import { candidate, check, done, event, json, serve, stream } from './fake.mjs';

const server = await serve();
const client = new GoogleGenAI({ apiKey: 'AIzaFAKE-1', httpOptions: { baseUrl: server.url } });
const nextTurn = async (chat) => {
  server.reply = json(candidate('Yes', 'STOP'));
  await chat.sendMessage({ message: 'Do you remember?' });
  return JSON.parse(server.requests.at(-1).body).contents.map((content) => content.parts[0].text);
};

const empty = client.chats.create({ model: 'gemini-x' });
server.reply = json({ candidates: [{ content: { role: 'model' }, finishReason: 'MAX_TOKENS' }] });
await empty.sendMessage({ message: 'My name is Ada' });
check('Node, after an empty answer', await nextTurn(empty), ['Do you remember?']);

const left = client.chats.create({ model: 'gemini-x' });
server.reply = stream(event(candidate('Hello')) + event(candidate(' Ada', 'STOP')));
for await (const _ of await left.sendMessageStream({ message: 'My name is Ada' })) break;
check('Node, after a stream left early', await nextTurn(left), ['Do you remember?']);

const whole = client.chats.create({ model: 'gemini-x' });
server.reply = json(candidate('Hello Ada', 'STOP'));
await whole.sendMessage({ message: 'My name is Ada' });
check('Node, after an answer', await nextTurn(whole), ['My name is Ada', 'Hello Ada', 'Do you remember?']);
done();
EOF
cat > run.py <<'EOF'
import json

from google import genai

import fake

client = genai.Client(api_key="AIzaFAKE-1", http_options={"base_url": fake.url})
chat = client.chats.create(model="gemini-x")
fake.json({"candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}]})
chat.send_message("My name is Ada")
fake.json(fake.candidate("Yes", "STOP"))
chat.send_message("Do you remember?")
sent = json.loads(fake.requests[0]["body"])["contents"]
fake.check("Python, after an empty answer", [content["parts"][0]["text"] for content in sent], ["Do you remember?"])
EOF
run node run.mjs
run venv/bin/python run.py
