"""LangChain's unmodified chat model on the OpenAI client, against OPENAI_BASE_URL."""

from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from suite import check, run

MODEL = "gemini-2.5-flash"


def model(**more):
    return ChatOpenAI(model=MODEL, **more)


class weather(BaseModel):
    """The weather in a city."""

    city: str


class time(BaseModel):
    """The time in a city."""

    city: str


class Person(BaseModel):
    name: str
    year: int


@check
def plain():
    answer = model().invoke("Hello")
    assert answer.content and answer.usage_metadata["input_tokens"] > 0


@check
def streamed():
    chunks = list(model(stream_usage=True).stream("Hello"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    single = model().invoke("Hello")
    assert whole.content == single.content
    assert whole.response_metadata["finish_reason"] == "stop", "the stream is incomplete"
    # LangChain adds up usage, so usage that is reported twice counts twice.
    assert whole.usage_metadata["input_tokens"] == single.usage_metadata["input_tokens"], whole.usage_metadata


@check
def tools():
    calls = model().bind_tools([weather, time]).invoke("Use tools").tool_calls
    assert [call["name"] for call in calls] == ["weather", "time"], calls
    assert len({call["id"] for call in calls}) == 2, calls


@check
def tools_streamed():
    whole = None
    for chunk in model().bind_tools([weather, time]).stream("Use tools"):
        whole = chunk if whole is None else whole + chunk
    assert whole.response_metadata["finish_reason"] == "tool_calls", "the stream is incomplete"
    assert [call["name"] for call in whole.tool_calls] == ["weather", "time"], whole.tool_calls
    assert all(call["args"] for call in whole.tool_calls), whole.tool_calls


@check
def structured():
    answer = model().with_structured_output(Person, method="json_schema").invoke("Who?")
    assert answer == Person(name="Ada", year=1815), answer


@check
def embeddings():
    embedder = OpenAIEmbeddings(model="gemini-embedding-001", check_embedding_ctx_length=False)
    assert len(embedder.embed_documents(["a", "b"])) == 2


run()
