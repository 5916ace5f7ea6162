"""A scripted server on 127.0.0.1 and the comparison that the findings about Python packages share."""

import atexit
import json as _json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

requests = []
_reply = (200, {}, b"")
_changed = False


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        requests.append({"path": self.path, "headers": dict(self.headers), "body": body})
        status, headers, answer = _reply
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST


_server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
threading.Thread(target=_server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{_server.server_port}"


def json(value, status=200, **headers):
    """Answers the requests that follow with this value."""
    global _reply
    headers = {name.replace("_", "-"): text for name, text in headers.items()}
    _reply = (status, {"content-type": "application/json", **headers}, _json.dumps(value).encode())
    requests.clear()


def stream(body):
    """Answers the requests that follow with an event stream of these bytes. Its body ends as HTTP wants it."""
    global _reply
    _reply = (200, {"content-type": "text/event-stream"}, body.encode())
    requests.clear()


def event(value):
    return "data: " + _json.dumps(value, ensure_ascii=False) + "\n\n"


def named(*events):
    """Events named by their type, as in the Responses API and in Anthropic's API."""
    return "".join(f"event: {one['type']}\n{event(one)}" for one in events)


def response(status, output, **rest):
    """A response of the Responses API."""
    plain = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m"}
    plain |= {"error": None, "incomplete_details": None}
    plain |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    return {**plain, "status": status, "output": output, **rest}


def item(text):
    """An item of a response, which says this text."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    kind = {"id": "msg_1", "type": "message", "role": "assistant"}
    return {**kind, "status": "completed", "content": [part]}


def responding(text, last):
    """The events of a response that says this text and ends with `last`."""
    whole = item(text)
    part = whole["content"][0]
    begun = {**whole, "status": "in_progress", "content": []}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events = [
        {"type": "response.created", "response": response("in_progress", [])},
        {"type": "response.output_item.added", "output_index": 0, "item": begun},
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        {"type": "response.output_text.delta", **at, "delta": text, "logprobs": []},
        {"type": "response.output_text.done", **at, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": whole},
        last,
    ]
    return [{**one, "sequence_number": number} for number, one in enumerate(events)]


def message(text, stop_reason="end_turn"):
    """The events of a message of Anthropic's API: 100 tokens were asked, and 50 answered."""
    begun = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    begun |= {"stop_reason": None, "stop_sequence": None}
    begun |= {"usage": {"input_tokens": 100, "output_tokens": 1}}
    block = {"type": "text", "text": ""}
    end = {"stop_reason": stop_reason, "stop_sequence": None}
    return [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 50}},
        {"type": "message_stop"},
    ]


def chunk(delta, finish_reason=None, **rest):
    """One event of a streamed chat completion."""
    choice = {"index": 0, "delta": delta}
    if finish_reason:
        choice["finish_reason"] = finish_reason
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **rest})


def candidate(text, finish_reason=None, **rest):
    """One response of `generateContent`."""
    one = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    if finish_reason:
        one["finishReason"] = finish_reason
    return {"candidates": [one], **rest}


def google_error(code, status, message, **rest):
    return {"error": {"code": code, "message": message, "status": status, **rest}}


def error(attempt):
    """What `attempt` raises, as its class and the first line of its message."""
    try:
        return f"no error, but {attempt()!r}"
    except Exception as raised:
        return f"{type(raised).__name__}: {str(raised).splitlines()[0]}"


def check(what, got, recorded):
    """Compares with what this finding recorded; the process fails at its end if anything differs."""
    global _changed
    if got == recorded:
        print(f"as recorded: {what}: {got!r}", flush=True)
    else:
        print(f"CHANGED: {what}: recorded {recorded!r}, now {got!r}", file=sys.stderr, flush=True)
        _changed = True


@atexit.register
def _exit():
    if _changed:
        sys.stdout.flush()
        os._exit(1)
