#!/usr/bin/env bash
# anthropic 2.14.0 (PyPI) and @anthropic-ai/sdk 1.14.0 (npm): an error in a stream is of another
# class than the same error before it.
#
# Expected: `overloaded_error` throws OverloadedError with the status 529 wherever it comes.
# Seen:     before the stream it does. In the stream Python raises an APIStatusError with the status
#           200, and Node throws an APIError without a status. Neither is an InternalServerError, so
#           code that tries again after those, or after `status >= 500`, gives up.
source "$(dirname "$0")/lib/setup.sh"
npm_install @anthropic-ai/sdk@1.14.0
pip_install anthropic==2.14.0
cat > run.mjs <<'EOF'
import Anthropic from '@anthropic-ai/sdk';
import { check, done, json, message, named, serve, stream } from './fake.mjs';

const server = await serve();
const client = new Anthropic({ apiKey: 'x', baseURL: server.url, maxRetries: 0 });
const thrown = async () => {
  try {
    const messages = [{ role: 'user', content: 'Hello' }];
    await client.messages.stream({ model: 'm', max_tokens: 99, messages }).finalMessage();
  } catch (error) {
    return [error.constructor.name, error.status, error instanceof Anthropic.InternalServerError];
  }
};
const overloaded = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } };
server.reply = json(overloaded, 529);
check('Node, before the stream', await thrown(), ['OverloadedError', 529, true]);
server.reply = stream(named(...message('Half').slice(0, 3), overloaded));
check('Node, in the stream', await thrown(), ['APIError', undefined, false]);
done();
EOF
cat > run.py <<'EOF'
import anthropic

import fake

client = anthropic.Anthropic(api_key="x", base_url=fake.url, max_retries=0)
question = {"role": "user", "content": "Hello"}


def raised():
    try:
        with client.messages.stream(model="m", max_tokens=99, messages=[question]) as stream:
            return stream.get_final_message()
    except anthropic.APIStatusError as error:
        is_internal = isinstance(error, anthropic.InternalServerError)
        return type(error).__name__, error.status_code, is_internal


overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
fake.json(overloaded, 529)
fake.check("Python, before the stream", raised(), ("OverloadedError", 529, True))
fake.stream(fake.named(*fake.message("Half")[:3], overloaded))
fake.check("Python, in the stream", raised(), ("APIStatusError", 200, False))
EOF
run node run.mjs
run venv/bin/python run.py
