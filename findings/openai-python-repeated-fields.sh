#!/usr/bin/env bash
# openai 2.54.0 (PyPI): the `.stream()` helper glues together texts that each chunk repeats, such as the role.
#
# Expected: `role`, and the `id` and name of a tool call, are set by the first delta and merely confirmed by later ones.
#           Google repeats the role in every delta.
# Seen:     "assistantassistant" as the role and "call_1call_1" as the id in the final completion, which the next turn
#           then sends back.
source "$(dirname "$0")/lib/setup.sh"
pip_install openai==2.54.0
cat > run.py <<'EOF'
from openai import OpenAI

import fake

client = OpenAI(api_key="x", base_url=fake.url)


def final(*chunks):
    fake.stream("".join(chunks) + "data: [DONE]\n\n")
    with client.chat.completions.stream(model="m", messages=[]) as stream:
        return stream.get_final_completion().choices[0].message


def call(arguments):
    return [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": arguments}}]


said = final(fake.chunk({"role": "assistant", "content": "Good"}), fake.chunk({"role": "assistant", "content": " day"}, "stop"))
fake.check("content", said.content, "Good day")
fake.check("role", said.role, "assistantassistant")
called = final(fake.chunk({"tool_calls": call('{"city":')}), fake.chunk({"tool_calls": call('"Oslo"}')}, "tool_calls")).tool_calls[0]
fake.check("id", called.id, "call_1call_1")
fake.check("name", called.function.name, "weatherweather")
EOF
run venv/bin/python run.py
