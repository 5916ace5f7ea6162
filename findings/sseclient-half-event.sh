#!/usr/bin/env bash
# sseclient-py 1.9.0 (PyPI) hands out the half of an event that arrived before the connection ended.
#
# Expected: an event without the blank line that ends it is discarded, as the WHATWG standard says and httpx-sse does.
# Seen:     its data is returned like any other's, cut in the middle of its JSON.
source "$(dirname "$0")/lib/setup.sh"
pip_install sseclient-py==1.9.0 httpx-sse==0.4.3 httpx==0.28.1
cat > run.py <<'EOF'
import httpx
import httpx_sse
import sseclient

import fake

fake.stream('data: {"text":"Good"}\n\ndata: {"text":" da')
with httpx.stream("GET", fake.url) as response:
    fake.check("httpx-sse", [event.data for event in httpx_sse.EventSource(response).iter_sse()], ['{"text":"Good"}'])
with httpx.stream("GET", fake.url) as response:
    events = [event.data for event in sseclient.SSEClient(response.iter_bytes()).events()]
    fake.check("sseclient-py", events, ['{"text":"Good"}', '{"text":" da'])
EOF
run venv/bin/python run.py
