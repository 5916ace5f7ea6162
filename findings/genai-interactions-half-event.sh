#!/usr/bin/env bash
# google-genai 3.6.1 (PyPI) and @google/genai 3.3.0 (npm) hand out an event of an interaction that is no JSON as a string.
#
# Expected: an error.
# Seen:     among the typed events stands a bare string, so that `event.event_type` raises an AttributeError in Python and is
#           undefined in Node.
source "$(dirname "$0")/lib/setup.sh"
npm_install @google/genai@3.3.0
pip_install google-genai==3.6.1
cat > run.mjs <<'EOF'
import { GoogleGenAI } from '@google/genai';
import { check, done, serve, stream } from './fake.mjs';

const server = await serve();
const client = new GoogleGenAI({ apiKey: 'x', httpOptions: { baseUrl: server.url } });
server.reply = stream('data: {"event_type":"interaction.created","interac\n\n');
const events = [];
for await (const event of await client.interactions.create({ model: 'm', input: 'x', stream: true })) {
  events.push(typeof event);
}
check('Node', events, ['string']);
done();
EOF
cat > run.py <<'EOF'
import warnings

from google import genai

import fake

warnings.simplefilter("ignore")
client = genai.Client(api_key="x", http_options={"base_url": fake.url})
fake.stream('data: {"event_type":"interaction.created","interac\n\n')
events = [type(event).__name__ for event in client.interactions.create(model="m", input="x", stream=True)]
fake.check("Python", events, ["str"])
EOF
run node run.mjs
run venv/bin/python run.py
