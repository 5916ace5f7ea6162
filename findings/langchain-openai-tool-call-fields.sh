#!/usr/bin/env bash
# langchain-openai 1.7.4 (PyPI) sends a tool call back without the fields that it does not know.
#
# Expected: ChatOpenAI gives a server back what it said: a tool call's thought signature, without which Gemini 3 refuses the next
#           turn, comes in `extra_content`, as Google documents for OpenAI's clients.
# Seen:     only id, type and function go back.
source "$(dirname "$0")/lib/setup.sh"
pip_install langchain-openai==1.7.4
cat > run.py <<'EOF'
import json

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

import fake

model = ChatOpenAI(model="m", api_key="x", base_url=fake.url, max_retries=0)
call = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": "{}"},
    "extra_content": {"google": {"thought_signature": "c2ln"}},
}
choice = {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": None, "tool_calls": [call]}}
fake.json({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})
question = HumanMessage("Hello")
answer = model.invoke([question])
fake.requests.clear()
model.invoke([question, answer, ToolMessage("sunny", tool_call_id="call_1")])
sent = json.loads(fake.requests[0]["body"])["messages"][1]["tool_calls"][0]
fake.check("a tool call that goes back", sorted(sent), ["function", "id", "type"])
EOF
run venv/bin/python run.py
