#!/usr/bin/env bash
# litellm 1.110.2 (PyPI) keeps a tool call's unknown fields in a whole answer and loses them in a stream.
#
# Expected: a thought signature (`extra_content` of a tool call, as Google's compatible API sends it) survives either way, or
#           neither.
# Seen:     it is there in the message of a whole answer, and gone from that of a stream, put together by litellm's own
#           stream_chunk_builder. Gemini 3 refuses the next turn.
source "$(dirname "$0")/lib/setup.sh"
pip_install litellm==1.110.2
cat > run.py <<'EOF'
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

import fake

litellm.suppress_debug_info = True
call = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": "{}"},
    "extra_content": {"google": {"thought_signature": "c2ln"}},
}


def ask(**options):
    return litellm.completion(
        model="openai/gemini-3.8-flash",
        api_key="x",
        api_base=fake.url,
        messages=[{"role": "user", "content": "Hello"}],
        **options,
    )


def signed(message):
    call = message.model_dump()["tool_calls"][0]
    return call.get("extra_content") is not None


whole = {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": None, "tool_calls": [call]}}
fake.json({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [whole]})
fake.check("whole", signed(ask().choices[0].message), True)
fake.stream(fake.chunk({"role": "assistant", "tool_calls": [{"index": 0, **call}]}, "tool_calls") + "data: [DONE]\n\n")
streamed = litellm.stream_chunk_builder(list(ask(stream=True)))
fake.check("streamed", signed(streamed.choices[0].message), False)
EOF
run venv/bin/python run.py
