#!/usr/bin/env bash
# google-genai 2.34.0 (PyPI) and @google/genai 2.32.0 (npm): `retry_options` repeat a 429 without heed to `Retry-After`.
#
# Expected: with retries switched on, a 429 with `Retry-After: 30` and a RetryInfo of 30 s is repeated after 30 s.
# Seen:     the SDK's own back-off decides: all three requests are over within 15 s.
source "$(dirname "$0")/lib/setup.sh"
npm_install @google/genai@2.32.0
pip_install google-genai==2.34.0
cat > run.mjs <<'EOF'
import { GoogleGenAI } from '@google/genai';
import { check, done, json, serve } from './fake.mjs';

const server = await serve();
const client = new GoogleGenAI({ apiKey: 'AIzaFAKE-1', httpOptions: { baseUrl: server.url, retryOptions: { attempts: 3 } } });
const details = [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '30s' }];
server.reply = json({ error: { code: 429, message: 'quota', status: 'RESOURCE_EXHAUSTED', details } }, 429, { 'retry-after': '30' });
const begin = Date.now();
await client.models.generateContent({ model: 'gemini-x', contents: 'Hello' }).catch(() => {});
check('requests of Node', server.requests.length, 3);
check('Node gave up within 15 s', Date.now() - begin < 15_000, true);
done();
EOF
cat > run.py <<'EOF'
import time

from google import genai

import fake

client = genai.Client(api_key="AIzaFAKE-1", http_options={"base_url": fake.url, "retry_options": {"attempts": 3}})
details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30s"}]
fake.json(fake.google_error(429, "RESOURCE_EXHAUSTED", "quota", details=details), 429, retry_after="30")
begin = time.monotonic()
fake.error(lambda: client.models.generate_content(model="gemini-x", contents="Hello"))
fake.check("requests of Python", len(fake.requests), 3)
fake.check("Python gave up within 15 s", time.monotonic() - begin < 15, True)
EOF
run node run.mjs
run venv/bin/python run.py
