#!/usr/bin/env bash
# google-genai 3.6.1 (PyPI) sleeps as long as Retry-After says before it repeats an interaction; @google/genai 3.3.0 (npm)
# waits for 8 s at most.
#
# Expected: a wait has a bound, and is the same in both. (generate_content heeds no Retry-After at all.)
# Seen:     told 7200 s, Python sleeps for two hours four times; Node waits 8 s and less, and asks five times.
source "$(dirname "$0")/lib/setup.sh"
npm_install @google/genai@3.3.0
pip_install google-genai==3.6.1
cat > run.mjs <<'EOF'
import { GoogleGenAI } from '@google/genai';
import { check, done, error, json, serve } from './fake.mjs';

const server = await serve();
const client = new GoogleGenAI({ apiKey: 'x', httpOptions: { baseUrl: server.url } });
server.reply = json({ error: { code: 'rate_limit_exceeded', message: 'wait' } }, 429, { 'retry-after': '7200' });
// What it waits for is noted, and shortened.
const waits = [];
const { setTimeout: real } = globalThis;
globalThis.setTimeout = (then, ms, ...rest) => {
  if (ms >= 1000 && ms < 10_000_000) waits.push(ms);
  return real(then, Math.min(ms, 5), ...rest);
};
check('Node', await error(() => client.interactions.create({ model: 'm', input: 'x' })), 'RateLimitError: 429 wait');
check('Node asks', server.requests.length, 5);
check('Node waits', Math.max(...waits), 8000);
done();
EOF
cat > run.py <<'EOF'
import time
import warnings

from google import genai

import fake

warnings.simplefilter("ignore")
waits = []
time.sleep = waits.append
client = genai.Client(api_key="x", http_options={"base_url": fake.url})
fake.json({"error": {"code": "rate_limit_exceeded", "message": "wait"}}, 429, retry_after="7200")
raised = fake.error(lambda: client.interactions.create(model="m", input="x"))
fake.check("Python", raised.split(":")[0], "RateLimitError")
fake.check("Python sleeps", waits, [7200.0] * 4)
EOF
run node run.mjs
run venv/bin/python run.py
