#!/usr/bin/env bash
# litellm 1.110.2 (PyPI) sends a model's words back after the tool calls that they announced.
#
# Expected: asked for a message, LiteLLM asks an OpenAI model over the Responses API. The items that
#           it made blocks of go back in the order in which they came: thoughts, words, a call,
#           thoughts, a call. Both APIs have such an order.
# Seen:     the thoughts and calls come first, and the words follow the last call, right before its
#           output. The words are no longer next to the thoughts that led to them.
source "$(dirname "$0")/lib/setup.sh"
pip_install litellm==1.110.2
cat > run.py <<'EOF'
import asyncio
import json
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

import fake

litellm.suppress_debug_info = True
tools = [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}]


def thought(number):
    summary = [{"type": "summary_text", "text": "Hm"}]
    return {"id": f"rs_{number}", "type": "reasoning", "summary": summary, "encrypted_content": "x"}


def call(number):
    named = {"call_id": f"call_{number}", "name": "weather", "arguments": "{}"}
    return {"id": f"fc_{number}", "type": "function_call", "status": "completed", **named}


async def ask(*messages):
    return await litellm.anthropic_messages(
        model="openai/gpt-5",
        api_key="x",
        api_base=fake.url,
        max_tokens=9000,
        thinking={"type": "enabled", "budget_tokens": 2000},
        tools=tools,
        messages=list(messages),
    )


async def main():
    question = {"role": "user", "content": "Hello"}
    output = [thought(1), fake.item("Let me look."), call(1), thought(2), call(2)]
    fake.json(fake.response("completed", output))
    answer = (await ask(question))["content"]
    received = ["thinking", "text", "tool_use", "thinking", "tool_use"]
    fake.check("received", [block["type"] for block in answer], received)

    calls = [block["id"] for block in answer if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": one, "content": "sunny"} for one in calls]
    fake.json(fake.response("completed", [fake.item("It is sunny.")]))
    turn = {"role": "assistant", "content": answer}
    await ask(question, turn, {"role": "user", "content": results})
    sent = [one["type"] for one in json.loads(fake.requests[0]["body"])["input"][1:-2]]
    expected = ["reasoning", "function_call", "reasoning", "function_call", "message"]
    fake.check("sent back", sent, expected)


asyncio.run(main())
EOF
run venv/bin/python run.py
