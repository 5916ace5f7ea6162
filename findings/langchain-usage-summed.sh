#!/usr/bin/env bash
# langchain-openai 1.7.4 (PyPI) adds up the usage of a stream's chunks.
#
# Expected: where each chunk has a `usage`, as Google's compatible API sends it, it is the count so far, and the last
#           one holds. LangChain's own package for OpenAI in Node counts so.
# Seen:     the sum of all chunks: 8 input tokens for a prompt of 4. The longer the answer, the larger the prompt.
source "$(dirname "$0")/lib/setup.sh"
pip_install langchain-openai==1.7.4
cat > run.py <<'EOF'
from langchain_openai import ChatOpenAI

import fake

model = ChatOpenAI(model="m", api_key="x", base_url=fake.url, stream_usage=True)


def usage(answered):
    return {"prompt_tokens": 4, "completion_tokens": answered, "total_tokens": 4 + answered}


fake.stream(
    fake.chunk({"role": "assistant", "content": "Good"}, usage=usage(1))
    + fake.chunk({"content": " day"}, "stop", usage=usage(2))
    + "data: [DONE]\n\n"
)
whole = None
for part in model.stream("Hello"):
    whole = part if whole is None else whole + part
fake.check("text", whole.content, "Good day")
fake.check("input, output", (whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"]), (8, 3))
EOF
run venv/bin/python run.py
