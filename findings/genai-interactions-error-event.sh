#!/usr/bin/env bash
# google-genai 3.6.1 (PyPI) and @google/genai 3.3.0 (npm) raise nothing when the stream of an interaction fails.
#
# Expected: the documented error event ends the iteration with an exception, as an error in generate_content_stream does.
# Seen:     it is an event like any other, and the iteration ends well. An error that Google writes as bare JSON between the
#           events is not even that, and so is a stream that ends before interaction.completed.
source "$(dirname "$0")/lib/setup.sh"
npm_install @google/genai@3.3.0
pip_install google-genai==3.6.1
cat > run.mjs <<'EOF'
import { GoogleGenAI } from '@google/genai';
import { check, done, event, serve, stream } from './fake.mjs';

const server = await serve();
const client = new GoogleGenAI({ apiKey: 'x', httpOptions: { baseUrl: server.url } });
const begun = event({ event_type: 'interaction.created', interaction: { id: 'v1_x', status: 'in_progress' } });
const error = { code: 'prohibited_content', message: 'blocked' };
for (const [what, rest, seen] of [
  ['an error event', event({ event_type: 'error', error }), ['interaction.created', 'error', 'end']],
  ['bare JSON', `${JSON.stringify({ error })}\n`, ['interaction.created', 'end']],
  ['no more', '', ['interaction.created', 'end']],
]) {
  server.reply = stream(begun + rest);
  const events = [];
  for await (const one of await client.interactions.create({ model: 'm', input: 'x', stream: true })) {
    events.push(one.event_type);
  }
  check(`Node, ${what}`, [...events, 'end'], seen);
}
done();
EOF
cat > run.py <<'EOF'
import json
import warnings

from google import genai

import fake

warnings.simplefilter("ignore")
client = genai.Client(api_key="x", http_options={"base_url": fake.url})
begun = fake.event({"event_type": "interaction.created", "interaction": {"id": "v1_x", "status": "in_progress"}})
error = {"code": "prohibited_content", "message": "blocked"}
for what, rest, seen in [
    ("an error event", fake.event({"event_type": "error", "error": error}), ["interaction.created", "error", "end"]),
    ("bare JSON", json.dumps({"error": error}) + "\n", ["interaction.created", "end"]),
    ("no more", "", ["interaction.created", "end"]),
]:
    fake.stream(begun + rest)
    events = [one.event_type for one in client.interactions.create(model="m", input="x", stream=True)]
    fake.check(f"Python, {what}", events + ["end"], seen)
EOF
run node run.mjs
run venv/bin/python run.py
