"""Google's unmodified client for Python, against GOOGLE_GEMINI_BASE_URL."""

import io

from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from suite import PNG, check, run

MODEL = "gemini-2.5-flash"
# A model that requires its thought signatures.
NEWER = "gemini-3.8-flash"
client = genai.Client()


class Person(BaseModel):
    name: str
    year: int


def whole(stream):
    """All chunks. The client does not report an incomplete stream, which has no finish reason."""
    chunks = list(stream)
    finished = any(candidate.finish_reason for chunk in chunks for candidate in chunk.candidates or [])
    assert finished, "the stream is incomplete"
    return chunks


TOOLS = types.GenerateContentConfig(
    tools=[
        types.Tool(
            function_declarations=[
                types.FunctionDeclaration(
                    name=name,
                    parameters=types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")}),
                )
                for name in ("weather", "time")
            ]
        )
    ],
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)


@check
def plain():
    answer = client.models.generate_content(model=MODEL, contents="Hello")
    assert answer.text and answer.usage_metadata.prompt_token_count


@check
def streamed():
    chunks = whole(client.models.generate_content_stream(model=MODEL, contents="Hello"))
    pieces = [chunk.text or "" for chunk in chunks]
    assert len(pieces) > 1 and "".join(pieces).strip(), pieces


@check
def tools():
    answer = client.models.generate_content(model=MODEL, contents="Use tools", config=TOOLS)
    assert [call.name for call in answer.function_calls] == ["weather", "time"]


@check
def tools_streamed():
    chunks = whole(client.models.generate_content_stream(model=MODEL, contents="Use tools", config=TOOLS))
    calls = [call.name for chunk in chunks for call in chunk.function_calls or []]
    assert calls == ["weather", "time"], calls


def loop(ask):
    """The client's own loop: two consecutive tool calls, then text."""
    called = []

    def weather(city: str) -> str:
        """The weather in a city."""
        called.append("weather")
        return "rain"

    def time(city: str) -> str:
        """The time in a city."""
        called.append("time")
        return "noon"

    chat = client.chats.create(model=NEWER, config=types.GenerateContentConfig(tools=[weather, time]))
    answer = ask(chat)
    assert called == ["weather", "time"] and answer, (called, answer)


@check
def tool_loop():
    loop(lambda chat: chat.send_message("Use tools").text)


@check
def tool_loop_streamed():
    loop(lambda chat: "".join(chunk.text or "" for chunk in chat.send_message_stream("Use tools")))


@check
def structured():
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Person)
    answer = client.models.generate_content(model=MODEL, contents="Who?", config=config)
    assert answer.parsed == Person(name="Ada", year=1815), answer.text


@check
def vision():
    image = types.Part.from_bytes(data=PNG, mime_type="image/png")
    assert client.models.generate_content(model=MODEL, contents=["What is it?", image]).text


@check
def embeddings():
    answer = client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"])
    assert len(answer.embeddings) == 2 and answer.embeddings[0].values


@check
def token_count():
    assert client.models.count_tokens(model=MODEL, contents="Hello").total_tokens > 0


@check
def models():
    names = {model.name for model in client.models.list(config={"page_size": 5})}
    assert f"models/{MODEL}" in names and len(names) > 5, names


@check
def model():
    assert client.models.get(model=MODEL).name == f"models/{MODEL}"


@check
def files():
    text = io.BytesIO(b"Hello from a file. " * 100)
    file = client.files.upload(file=text, config={"mime_type": "text/plain", "display_name": "a text"})
    assert file.state.name == "ACTIVE" and file.size_bytes == 1900, file
    for _ in range(4):
        assert client.files.get(name=file.name).uri == file.uri
        assert client.models.generate_content(model=MODEL, contents=["What is in it?", file]).text
    client.files.delete(name=file.name)
    try:
        client.files.get(name=file.name)
    except errors.ClientError as error:
        assert error.code in (403, 404), error
        return
    raise AssertionError("it is still there")


@check
def caches():
    cache = client.caches.create(
        model=MODEL, config=types.CreateCachedContentConfig(contents="a long text", ttl="600s")
    )
    config = types.GenerateContentConfig(cached_content=cache.name)
    for _ in range(4):
        assert client.models.generate_content(model=MODEL, contents="Hello", config=config).text
    client.caches.delete(name=cache.name)


@check
def bad_request():
    try:
        client.models.embed_content(model="gemini-embedding-001", contents=["a"] * 101)
    except errors.ClientError as error:
        assert (error.code, error.status) == (400, "INVALID_ARGUMENT"), error
        assert error.message
        return
    raise AssertionError("no error")


@check
def no_such_model():
    try:
        client.models.generate_content(model="gemini-9", contents="Hello")
    except errors.ClientError as error:
        assert (error.code, error.status) == (404, "NOT_FOUND"), error
        assert "gemini-9" in error.message
        return
    raise AssertionError("no error")


@check
def error_within_a_stream():
    try:
        for _ in client.models.generate_content_stream(model=MODEL, contents="break off"):
            pass
    except errors.APIError as error:
        assert error.code == 503, error
        return
    raise AssertionError("no error")


@check
def cancelled():
    stream = client.models.generate_content_stream(model=MODEL, contents="a long answer")
    next(stream)
    stream.close()


run()
