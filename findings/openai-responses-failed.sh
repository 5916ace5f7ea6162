#!/usr/bin/env bash
# openai 3.57.0 (PyPI) and 7.59.0 (npm), and @langchain/openai 1.6.0 (npm): a failed response is an
# answer, or its reason is lost.
#
# Expected: iterating over the events of a response throws what `response.failed` or `error` says,
#           as it does for other errors. So do `.stream()` and LangChain.
# Seen:     in Python the iteration ends well after either event, and `.stream()` raises an error
#           without the reason. In Node `error` throws, but after `response.failed` the iteration
#           ends well, and so do `finalResponse()` and LangChain, with half an answer. LangChain's
#           message has neither the status nor the reason.
source "$(dirname "$0")/lib/setup.sh"
npm_install openai@7.59.0 @langchain/openai@1.6.0 @langchain/core@1.4.0
pip_install openai==3.57.0
cat > run.mjs <<'EOF'
import { ChatOpenAI } from '@langchain/openai';
import OpenAI from 'openai';
import { check, done, error, item, named, responding, response, serve, stream } from './fake.mjs';

const server = await serve();
const client = new OpenAI({ apiKey: 'x', baseURL: server.url, maxRetries: 0 });
const configuration = { baseURL: server.url };
const shared = { model: 'm', apiKey: 'x', maxRetries: 0 };
const model = new ChatOpenAI({ ...shared, configuration, useResponsesApi: true });
const reason = { code: 'server_error', message: 'the reason' };
const half = response('failed', [item('Half an ans')], { error: reason });
const failed = { type: 'response.failed', response: half };

const lastEvent = async () => {
  let last;
  const events = await client.responses.create({ model: 'm', input: 'Hello', stream: true });
  for await (const one of events) last = one.type;
  return last;
};
const errorEvent = { type: 'error', ...reason, param: null };
server.reply = stream(named(...responding('Half an ans', errorEvent)));
check('Node, error', await error(lastEvent), 'APIError: the reason');
server.reply = stream(named(...responding('Half an ans', failed)));
check('Node, response.failed', await lastEvent(), 'response.failed');
const final = await client.responses.stream({ model: 'm', input: 'Hello' }).finalResponse();
check('finalResponse()', [final.status, final.output_text], ['failed', 'Half an ans']);
let whole;
for await (const part of await model.stream('Hello')) whole = whole ? whole.concat(part) : part;
check('LangChain', [whole.text, JSON.stringify(whole).includes('failed')], ['Half an ans', false]);
done();
EOF
cat > run.py <<'EOF'
from openai import OpenAI

import fake

client = OpenAI(api_key="x", base_url=fake.url, max_retries=0)
reason = {"code": "server_error", "message": "the reason"}
half = fake.response("failed", [fake.item("Half an ans")], error=reason)
failed = {"type": "response.failed", "response": half}


def final():
    with client.responses.stream(model="m", input="Hello") as stream:
        return stream.get_final_response()


lost = "RuntimeError: Didn't receive a `response.completed` event."
error = {"type": "error", **reason, "param": None}
for what, last in ("error", error), ("response.failed", failed):
    fake.stream(fake.named(*fake.responding("Half an ans", last)))
    events = list(client.responses.create(model="m", input="Hello", stream=True))
    fake.check(f"Python, {what}", events[-1].type, what)
    fake.check(f"Python, {what}, .stream()", fake.error(final), lost)
EOF
run node run.mjs
run venv/bin/python run.py
