#!/usr/bin/env bash
# google-genai 2.34.0 (PyPI) on httpx 0.28.1 breaks a streamed answer at U+2028, U+0085 or another line end of Unicode.
#
# Expected: in an event stream only CR and LF end a line. JSON may hold U+2028 and U+0085 unescaped.
# Seen:     the lines come from httpx, which splits them as `str.splitlines` does. The event is cut within its JSON, and
#           an answer with such a character raises UnknownApiResponseError.
source "$(dirname "$0")/lib/setup.sh"
pip_install google-genai==2.34.0 httpx==0.28.1
cat > run.py <<'EOF'
from google import genai

import fake

client = genai.Client(api_key="AIzaFAKE-1", http_options={"base_url": fake.url})


def answer(text):
    fake.stream(fake.event(fake.candidate(text, "STOP")))
    try:
        return [part.text for part in client.models.generate_content_stream(model="gemini-x", contents="Hello")]
    except Exception as raised:
        return type(raised).__name__


fake.check("a plain space", answer("one two"), ["one two"])
fake.check("U+2028", answer("one\u2028two"), "UnknownApiResponseError")
fake.check("U+0085", answer("one\u0085two"), "UnknownApiResponseError")
EOF
run venv/bin/python run.py
