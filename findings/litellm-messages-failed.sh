#!/usr/bin/env bash
# litellm 1.110.2 (PyPI): a failed response becomes an Anthropic message that ended as usual.
#
# Expected: asked for a message, LiteLLM asks an OpenAI model over the Responses API. If that says
#           `"status": "failed"`, LiteLLM raises an error, as its chat completions do. A filtered
#           answer is a refusal.
# Seen:     the half answer has `"stop_reason": "end_turn"`, and the reason of the failure is
#           nowhere. A filtered answer ends with "max_tokens", so clients ask for the rest.
source "$(dirname "$0")/lib/setup.sh"
pip_install litellm==1.110.2
cat > run.py <<'EOF'
import asyncio
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

import fake

litellm.suppress_debug_info = True
options = {"api_key": "x", "api_base": fake.url, "messages": [{"role": "user", "content": "Hello"}]}
reason = {"code": "server_error", "message": "the reason"}


async def message(status, **rest):
    fake.json(fake.response(status, [fake.item("Half an ans")], **rest))
    answer = await litellm.anthropic_messages(model="openai/gpt-5", max_tokens=99, **options)
    assert fake.requests[0]["path"] == "/responses"
    texts = [block["text"] for block in answer["content"]]
    return texts, answer["stop_reason"], "the reason" in str(answer)


async def completion():
    try:
        await litellm.acompletion(model="openai/responses/gpt-5", num_retries=0, **options)
    except Exception as error:
        return "the reason" in str(error)


async def main():
    seen = await message("completed")
    fake.check("completed", seen, (["Half an ans"], "end_turn", False))
    seen = await message("failed", error=reason)
    fake.check("failed", seen, (["Half an ans"], "end_turn", False))
    fake.check("failed, as a completion: it raises the reason", await completion(), True)
    seen = await message("incomplete", incomplete_details={"reason": "content_filter"})
    fake.check("content_filter", seen, (["Half an ans"], "max_tokens", False))


asyncio.run(main())
EOF
run venv/bin/python run.py
