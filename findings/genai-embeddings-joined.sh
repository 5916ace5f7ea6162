#!/usr/bin/env bash
# google-genai 2.34.0 (PyPI): a list of texts gives one vector or one for each text, by the name of the model.
#
# Expected: `embed_content(contents=["cat", "dog"])` asks for two embeddings, whatever the model is.
# Seen:     two requests in the batch for gemini-embedding-001, but one content with two parts for gemini-embedding-2,
#           which Google answers with a single vector. Whoever changes the model pairs texts with the wrong vectors.
source "$(dirname "$0")/lib/setup.sh"
pip_install google-genai==2.34.0
cat > run.py <<'EOF'
import json

from google import genai

import fake

client = genai.Client(api_key="AIzaFAKE-1", http_options={"base_url": fake.url})


def asked(model):
    fake.json({"embeddings": [{"values": [1]}]})
    client.models.embed_content(model=model, contents=["cat", "dog"])
    return [[part["text"] for part in request["content"]["parts"]] for request in json.loads(fake.requests[0]["body"])["requests"]]


fake.check("gemini-embedding-001", asked("gemini-embedding-001"), [["cat"], ["dog"]])
fake.check("gemini-embedding-2", asked("gemini-embedding-2"), [["cat", "dog"]])
EOF
run venv/bin/python run.py
