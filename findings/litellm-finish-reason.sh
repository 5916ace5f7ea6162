#!/usr/bin/env bash
# litellm 1.106.12 (PyPI) says "stop" of answers that Gemini did not finish.
#
# Expected: a failed tool call, an unknown reason, and a stream that breaks off can be told from a whole answer.
# Seen:     MALFORMED_FUNCTION_CALL and a reason that it does not know (it logs a warning) become "stop". A stream without any
#           reason gets a last chunk that says "stop".
source "$(dirname "$0")/lib/setup.sh"
pip_install litellm==1.106.12
cat > run.py <<'EOF'
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

import fake

litellm.suppress_debug_info = True


def ask(**options):
    return litellm.completion(
        model="gemini/gemini-2.5-flash",
        api_key="AIzaFAKE-1",
        api_base=fake.url + "/v1beta",
        messages=[{"role": "user", "content": "Hello"}],
        **options,
    )


def whole(reason):
    fake.json(fake.candidate("I will", reason, usageMetadata={"promptTokenCount": 4, "candidatesTokenCount": 1, "totalTokenCount": 5}))
    return ask().choices[0].finish_reason


fake.check("SAFETY", whole("SAFETY"), "content_filter")
fake.check("MALFORMED_FUNCTION_CALL", whole("MALFORMED_FUNCTION_CALL"), "stop")
fake.check("a reason of tomorrow", whole("NEW_REASON"), "stop")
fake.stream(fake.event(fake.candidate("Half")) + fake.event(fake.candidate(" an ans")))
fake.check("a stream cut short", [part.choices[0].finish_reason for part in ask(stream=True)], [None, None, "stop"])
EOF
run venv/bin/python run.py
