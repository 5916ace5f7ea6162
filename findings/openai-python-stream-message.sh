#!/usr/bin/env bash
# openai 3.57.0 (PyPI): the message of `.stream()` has fields that no request has, and sends them in the next turn.
#
# Expected: the final message of `.stream()` can be appended to `messages`, as that of `.create()` can.
# Seen:     it goes back with `parsed`, with the chunks' `index` in each tool call, and with `parsed_arguments` in its function. A
#           server that refuses unknown names refuses the turn.
source "$(dirname "$0")/lib/setup.sh"
pip_install openai==3.57.0
cat > run.py <<'EOF'
import json

from openai import OpenAI

import fake

client = OpenAI(api_key="x", base_url=fake.url, max_retries=0)
call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def sent_back(message):
    """The fields of the message and of its tool call, as the next request has them."""
    fake.json({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": []})
    client.chat.completions.create(model="m", messages=[message])
    message = json.loads(fake.requests[0]["body"])["messages"][0]
    called = message["tool_calls"][0]
    return sorted(message), sorted(called), sorted(called["function"])


whole = {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": None, "tool_calls": [call]}}
fake.json({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [whole]})
created = client.chat.completions.create(model="m", messages=[], tools=[tool]).choices[0].message
plain = (["content", "role", "tool_calls"], ["function", "id", "type"], ["arguments", "name"])
fake.check(".create()", sent_back(created), plain)

fake.stream(fake.chunk({"role": "assistant", "tool_calls": [{"index": 0, **call}]}, "tool_calls") + "data: [DONE]\n\n")
with client.chat.completions.stream(model="m", messages=[], tools=[tool]) as stream:
    streamed = stream.get_final_completion().choices[0].message
fake.check(
    ".stream()",
    sent_back(streamed),
    (["parsed", "role", "tool_calls"], ["function", "id", "index", "type"], ["arguments", "name", "parsed_arguments"]),
)
EOF
run venv/bin/python run.py
