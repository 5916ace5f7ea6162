"""The unmodified official OpenAI client, against the pool at OPENAI_BASE_URL."""

import openai

MODEL = "gemini-2.5-flash"
MESSAGES = [{"role": "user", "content": "Hello"}]

client = openai.OpenAI()

completion = client.chat.completions.create(model=MODEL, messages=MESSAGES)
print("chat:", completion.choices[0].message.content)

stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
chunks = list(stream)
assert chunks[-1].choices[0].finish_reason == "stop", "a stream without a finish reason is incomplete"
pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
assert len(pieces) > 1, "a stream of one piece is no stream"
print("stream:", "".join(pieces))

try:
    for chunk in client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True):
        pass
except openai.APIError as error:
    print("broken stream:", type(error).__name__, error.code)

try:
    client.with_options(api_key="not-the-token").chat.completions.create(model=MODEL, messages=MESSAGES)
except openai.AuthenticationError as error:
    assert error.request_id.startswith("req_"), error.request_id
    print("wrong token:", type(error).__name__, error.status_code, error.code)

try:
    client.chat.completions.create(model=MODEL, messages="no list")
except openai.BadRequestError as error:
    print("bad request:", type(error).__name__, error.status_code, error.param)
