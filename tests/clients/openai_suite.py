"""The unmodified official OpenAI client for Python, against OPENAI_BASE_URL."""

import base64
import json

import openai
from pydantic import BaseModel

from suite import PNG, check, run

MODEL = "gemini-2.5-flash"
# A model that requires its thought signatures.
NEWER = "gemini-3.8-flash"
client = openai.OpenAI()


def ask(text, **more):
    return client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}], **more)


def whole(stream):
    """All chunks. The client does not report an incomplete stream, which has no finish reason."""
    chunks = list(stream)
    assert any(choice.finish_reason for chunk in chunks for choice in chunk.choices), "the stream is incomplete"
    return chunks


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    for name in ("weather", "time")
]


class Person(BaseModel):
    name: str
    year: int


def loop(ask):
    """Two consecutive tool calls, then text. Messages are sent back unchanged."""
    messages, called = [{"role": "user", "content": "Use tools"}], []
    for _ in range(4):
        message = ask(model=NEWER, messages=messages, tools=TOOLS).choices[0].message
        messages.append(message)
        if not message.tool_calls:
            assert called == ["weather", "time"] and message.content, called
            return
        for call in message.tool_calls:
            called.append(call.function.name)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": "fine"})
    raise AssertionError("the loop does not end")


@check
def plain():
    answer = ask("Hello")
    assert answer.choices[0].message.content, answer
    assert answer.id and answer.created and answer.object == "chat.completion", answer
    assert answer.choices[0].finish_reason == "stop"


@check
def streamed():
    pieces = [chunk.choices[0].delta.content or "" for chunk in whole(ask("Hello", stream=True))]
    assert len(pieces) > 1 and "".join(pieces).strip(), pieces


@check
def streamed_usage():
    chunks = whole(ask("Hello", stream=True, stream_options={"include_usage": True}))
    told = [chunk.usage for chunk in chunks if chunk.usage]
    assert len(told) == 1, f"usage is told {len(told)} times"
    assert chunks[-1].choices == [] and told[0].prompt_tokens > 0, chunks[-1]


@check
def chunks_have_one_id():
    ids = {chunk.id for chunk in whole(ask("no ids, please", stream=True))}
    assert len(ids) == 1 and None not in ids, ids


@check
def tools():
    choice = ask("Use tools", tools=TOOLS).choices[0]
    assert choice.finish_reason == "tool_calls", choice
    ids = [call.id for call in choice.message.tool_calls]
    assert len(ids) == 2 and len(set(ids)) == 2 and all(ids), ids


@check
def tools_streamed():
    with client.chat.completions.stream(
        model=MODEL, messages=[{"role": "user", "content": "Use tools"}], tools=TOOLS
    ) as stream:
        for _ in stream:
            pass
        choice = stream.get_final_completion().choices[0]
    calls = choice.message.tool_calls
    assert [call.function.name for call in calls] == ["weather", "time"], calls
    assert all(json.loads(call.function.arguments) for call in calls)
    assert len({call.id for call in calls}) == 2 and choice.finish_reason == "tool_calls", choice


@check
def tool_loop():
    loop(client.chat.completions.create)


@check
def tool_loop_streamed():
    def ask(**request):
        with client.chat.completions.stream(**request) as stream:
            for _ in stream:
                pass
            return stream.get_final_completion()

    loop(ask)


@check
def structured():
    answer = client.chat.completions.parse(
        model=MODEL, messages=[{"role": "user", "content": "Who?"}], response_format=Person
    )
    assert answer.choices[0].message.parsed == Person(name="Ada", year=1815), answer


@check
def vision():
    image = "data:image/png;base64," + base64.b64encode(PNG).decode()
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": image}}]
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
    assert answer.choices[0].message.content


@check
def embeddings():
    answer = client.embeddings.create(model="gemini-embedding-001", input=["a", "b"])
    assert len(answer.data) == 2 and len(answer.data[0].embedding) > 100


@check
def embeddings_are_the_same_in_either_encoding():
    create = client.embeddings.create
    plain = create(model="gemini-embedding-001", input="a", encoding_format="float").data[0].embedding
    # The client requests base64 by default.
    vector = create(model="gemini-embedding-001", input="a").data[0].embedding
    assert len(vector) == len(plain), len(vector)
    assert all(abs(a - b) < 1e-6 for a, b in zip(vector, plain)), vector[:3]


@check
def images():
    answer = client.images.generate(model="gemini-2.5-flash-image", prompt="a cat", response_format="b64_json")
    assert base64.b64decode(answer.data[0].b64_json)


@check
def models():
    listed = client.models.list().data
    names = {model.id for model in listed}
    assert MODEL in names, sorted(names)[:3]
    assert all(isinstance(model.created, int) for model in listed)


@check
def model():
    assert client.models.retrieve(MODEL).id == MODEL


@check
def unsupported_fields():
    assert ask("Hello", seed=1, frequency_penalty=0.5).choices[0].message.content


@check
def bad_request():
    try:
        ask("Hello", temperature="hot")
    except openai.BadRequestError as error:
        assert error.code == "invalid_argument", f"code {error.code!r}"
        assert "temperature" in error.body["message"], error.body
        return
    raise AssertionError("no error")


@check
def no_such_model():
    try:
        client.chat.completions.create(model="gemini-9", messages=[{"role": "user", "content": "Hello"}])
    except openai.NotFoundError as error:
        assert error.code == "not_found", f"code {error.code!r}"
        assert "gemini-9" in error.body["message"]
        return
    raise AssertionError("no error")


@check
def wrong_key():
    try:
        client.with_options(api_key="not-the-key").models.list()
    except openai.AuthenticationError:
        return
    raise AssertionError("no error")


@check
def retry_after_is_obeyed():
    # A model whose quota no other check uses.
    messages = [{"role": "user", "content": "be over quota once"}]
    answer = client.chat.completions.create(model="gemini-2.5-pro", messages=messages)
    assert answer.choices[0].message.content


@check
def cancelled():
    stream = ask("a long answer", stream=True)
    next(iter(stream))
    stream.close()


run()
