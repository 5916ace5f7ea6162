#!/usr/bin/env bash
# openai 2.54.0 (PyPI): the `.stream()` helper takes the `index` of a tool call for a place in its list.
#
# Expected: an index tells tool calls apart, so that a first one of 1 is as good as 0.
# Seen:     IndexError, out of the SDK's own code. Plain iteration over the same stream works.
source "$(dirname "$0")/lib/setup.sh"
pip_install openai==2.54.0
cat > run.py <<'EOF'
from openai import OpenAI

import fake

client = OpenAI(api_key="x", base_url=fake.url)
call = {"index": 1, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
fake.stream(fake.chunk({"role": "assistant", "tool_calls": [call]}, "tool_calls") + "data: [DONE]\n\n")


def helper():
    with client.chat.completions.stream(model="m", messages=[]) as stream:
        return stream.get_final_completion()


parts = client.chat.completions.create(model="m", messages=[], stream=True)
fake.check("iteration", [part.choices[0].delta.tool_calls[0].id for part in parts], ["call_1"])
fake.check("helper", fake.error(helper), "IndexError: list index out of range")
EOF
run venv/bin/python run.py
