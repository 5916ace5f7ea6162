#!/usr/bin/env bash
# litellm 1.106.12 (PyPI): its Router takes keys out for a mistake of the caller, and keeps one that is dead.
#
# Expected: a 404 of one call (a model that does not exist) says nothing about the keys; a 403 "reported as leaked"
#           takes its key out.
# Seen:     the reverse. Three calls that get 404 put all three keys into a cool-down, and the next caller is
#           told that no deployment is available. The 403 is a BadRequestError, and the key is asked again and again.
source "$(dirname "$0")/lib/setup.sh"
pip_install litellm==1.106.12
cat > run.py <<'EOF'
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

import fake

litellm.suppress_debug_info = True


def six_calls(code, status, message):
    fake.json(fake.google_error(code, status, message), code)
    router = litellm.Router(
        model_list=[
            {
                "model_name": "m",
                "litellm_params": {"model": "gemini/gemini-2.5-flash", "api_key": f"AIzaFAKE-{n}", "api_base": fake.url + "/v1beta"},
            }
            for n in (1, 2, 3)
        ],
        num_retries=0,
    )
    raised = []
    for _ in range(6):
        try:
            router.completion(model="m", messages=[{"role": "user", "content": "Hello"}])
        except Exception as error:
            raised.append(type(error).__name__)
    return len(fake.requests), raised[-1]


fake.check("404", six_calls(404, "NOT_FOUND", "models/x is not found"), (3, "RouterRateLimitError"))
leaked = six_calls(403, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key.")
fake.check("403", leaked, (6, "BadRequestError"))
EOF
run venv/bin/python run.py
