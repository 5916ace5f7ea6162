#!/usr/bin/env bash
# litellm 1.106.12 (PyPI): a 429 of Gemini becomes a BadRequestError of status 403 when "403" stands anywhere in its text.
#
# Expected: the response's status decides.
# Seen:     the text is searched for "403" before the status is looked at. The delay that Google names decides which
#           exception is raised: "retry in 8.403121s" is a bad request that nobody retries, "8.113121s" a rate limit.
source "$(dirname "$0")/lib/setup.sh"
pip_install litellm==1.106.12
cat > run.py <<'EOF'
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

import fake

litellm.suppress_debug_info = True


def outcome(delay):
    fake.json(fake.google_error(429, "RESOURCE_EXHAUSTED", f"You exceeded your current quota. Please retry in {delay}."), 429)
    try:
        litellm.completion(
            model="gemini/gemini-2.5-flash",
            api_key="AIzaFAKE-1",
            api_base=fake.url + "/v1beta",
            messages=[{"role": "user", "content": "Hello"}],
        )
    except Exception as raised:
        return type(raised).__name__, raised.status_code


fake.check("8.113121s", outcome("8.113121s"), ("RateLimitError", 429))
fake.check("8.403121s", outcome("8.403121s"), ("BadRequestError", 403))
EOF
run venv/bin/python run.py
