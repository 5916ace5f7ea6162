#!/usr/bin/env bash
# langchain-anthropic 1.7.10 (PyPI) and @langchain/anthropic 1.5.11 (npm) count the tokens of
# the same stream differently, and neither is right.
#
# Expected: `message_start` says 100 input tokens and 1 output token so far; `message_delta` at the
#           end says 50 output tokens, which Anthropic documents as the total. That is 100 and 50,
#           and Anthropic's own package says so.
# Seen:     in Python 0 and 50: only `message_delta` is read, so the prompt costs nothing unless it
#           is repeated there. In Node 100 and 51: both output counts are added up.
source "$(dirname "$0")/lib/setup.sh"
npm_install @langchain/anthropic@1.5.11 @langchain/core@1.4.0
pip_install langchain-anthropic==1.7.10 anthropic==2.14.0
cat > run.mjs <<'EOF'
import { ChatAnthropic } from '@langchain/anthropic';
import { check, done, message, named, serve, stream } from './fake.mjs';

const server = await serve();
const options = { apiKey: 'x', anthropicApiUrl: server.url };
const model = new ChatAnthropic({ model: 'm', maxTokens: 99, ...options });
server.reply = stream(named(...message('Good day')));
let whole;
for await (const part of await model.stream('Hello')) whole = whole ? whole.concat(part) : part;
const { input_tokens, output_tokens, total_tokens } = whole.usage_metadata;
check('Node: text', whole.text, 'Good day');
check('Node: input, output, total', [input_tokens, output_tokens, total_tokens], [100, 51, 151]);
done();
EOF
cat > run.py <<'EOF'
import anthropic
from langchain_anthropic import ChatAnthropic

import fake

fake.stream(fake.named(*fake.message("Good day")))
client = anthropic.Anthropic(api_key="x", base_url=fake.url)
question = {"role": "user", "content": "Hello"}
with client.messages.stream(model="m", max_tokens=99, messages=[question]) as stream:
    usage = stream.get_final_message().usage
seen = (usage.input_tokens, usage.output_tokens)
fake.check("Anthropic's package: input, output", seen, (100, 50))

model = ChatAnthropic(model="m", api_key="x", base_url=fake.url, max_tokens=99)
whole = None
for part in model.stream("Hello"):
    whole = part if whole is None else whole + part
usage = whole.usage_metadata
fake.check("Python: text", whole.content, "Good day")
seen = (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"])
fake.check("Python: input, output, total", seen, (0, 50, 50))
EOF
run node run.mjs
run venv/bin/python run.py
