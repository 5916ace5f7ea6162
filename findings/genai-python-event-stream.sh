#!/usr/bin/env bash
# google-genai 2.34.0 (PyPI) reads no more of the event-stream format than lines that begin with "data: ".
#
# Expected: a comment (": ping", the usual keep-alive of a proxy), an `event:` line and a `data:` without the optional
#           space are read as the WHATWG standard defines them.
# Seen:     each of them raises UnknownApiResponseError in the middle of the answer.
source "$(dirname "$0")/lib/setup.sh"
pip_install google-genai==2.34.0
cat > run.py <<'EOF'
from google import genai

import fake

client = genai.Client(api_key="AIzaFAKE-1", http_options={"base_url": fake.url})
first, last = fake.event(fake.candidate("Good")), fake.event(fake.candidate(" day", "STOP"))


def answer(body):
    fake.stream(body)
    texts = []
    try:
        for part in client.models.generate_content_stream(model="gemini-x", contents="Hello"):
            texts.append(part.text)
    except Exception as raised:
        texts.append(type(raised).__name__)
    return texts


fake.check("data lines alone", answer(first + last), ["Good", " day"])
fake.check("a comment", answer(first + ": ping\n\n" + last), ["Good", "UnknownApiResponseError"])
fake.check("an event line", answer(first + "event: message\n" + last), ["Good", "UnknownApiResponseError"])
fake.check("no space", answer(first + last.replace("data: ", "data:")), ["Good", "UnknownApiResponseError"])
EOF
run venv/bin/python run.py
