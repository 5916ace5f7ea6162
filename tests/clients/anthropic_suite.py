"""Anthropic's unmodified client for Python on the Messages API, against ANTHROPIC_BASE_URL."""

import json
import os
from typing import Literal

import anthropic
from anthropic import beta_tool
from pydantic import BaseModel

from suite import PDF, PNG, add, check, encoded, raised, run

# A model that requires its thought signatures.
MODEL = "gemini-3.8-flash"
OLDER = "gemini-2.5-flash"
client = anthropic.Anthropic()
messages = client.messages

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"name": name, "description": f"The {name}.", "input_schema": PARAMETERS} for name in ("weather", "time")]
SEARCH = [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]
CITED = "born in 1815"
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": encoded(PNG)}}
DOCUMENT = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": encoded(PDF)}}


class Person(BaseModel):
    name: str
    year: int


class Team(BaseModel):
    lead: Person
    members: list[Person]
    kind: Literal["small", "large"]
    note: str | None


def request(content, model=MODEL, max_tokens=2048, **more):
    history = content if isinstance(content, list) and "role" in content[0] else [{"role": "user", "content": content}]
    return {"model": model, "max_tokens": max_tokens, "messages": history, **more}


def create(content, **more):
    return messages.create(**request(content, **more))


def streamed(content, **more):
    """The message by the client's own helper, whose events must be in order and complete."""
    blocks, is_open, ends = [], False, []
    with messages.stream(**request(content, **more)) as stream:
        for number, event in enumerate(stream):
            assert (event.type == "message_start") == (number == 0), event
            assert not ends or event.type == "message_stop", event
            if event.type == "content_block_start":
                assert not is_open and event.index == len(blocks), event
                is_open = True
                blocks.append(event.content_block.type)
            elif event.type in ("content_block_delta", "content_block_stop"):
                assert is_open and event.index == len(blocks) - 1, event
                is_open = event.type == "content_block_delta"
            elif event.type in ("message_delta", "message_stop"):
                assert not is_open, event
                ends.append(event.type)
        message = stream.get_final_message()
    assert ends == ["message_delta", "message_stop"], ends
    assert [block.type for block in message.content] == blocks, blocks
    return message


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


WAYS = {"": create, "_streamed": streamed}


def ways(function):
    """Registers a check for whole and streamed answers."""
    for how, ask in WAYS.items():
        add(function.__name__ + how, lambda ask=ask: function(ask))


def loop(ask, prompt="Use tools", tools=TOOLS, keep=lambda block: True, **more):
    """Calls tools until the model answers. Blocks are sent back unchanged, except those not kept."""
    history, called = [{"role": "user", "content": prompt}], []
    for _ in range(4):
        message = ask(history, tools=tools, **more)
        calls = [block for block in message.content if block.type == "tool_use"]
        assert message.stop_reason == ("tool_use" if calls else "end_turn"), message
        if "thinking" in more:
            thought = message.content[0]
            assert thought.type == "thinking" and (thought.signature or not calls), thought
        if not calls:
            assert called == [tool["name"] for tool in tools] and text_of(message), called
            return
        assert all(call.input["city"] for call in calls), calls
        assert len({call.id for call in calls}) == len(calls), calls
        called += [call.name for call in calls]
        history.append({"role": "assistant", "content": [block for block in message.content if keep(block)]})
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "fine"} for call in calls]
        history.append({"role": "user", "content": results})
    raise AssertionError("the loop does not end")


def after_a_call(prompt, **result):
    """A conversation with a call by another model, whose signature does not exist."""
    call = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}
    return [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", **result}]},
    ]


@ways
def text(ask):
    message = ask("Hello")
    assert text_of(message) == "Hello from the other side", message
    assert message.id.startswith("msg_") and (message.role, message.type) == ("assistant", "message"), message
    assert message.stop_reason == "end_turn" and message.model == MODEL, message


@check
def text_as_raw_events():
    kinds = [event.type for event in create("Hello", stream=True)]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"]), kinds


@ways
def thinking(ask):
    thought, said = ask("Hello", **THINKING).content
    assert (thought.type, said.type) == ("thinking", "text"), thought
    # The signature of a text follows it, and is not needed. Those of tool calls are: see `loop`.
    assert thought.thinking == "I think about it.", thought


@ways
def tool_loop(ask):
    loop(ask)


@ways
def tool_loop_with_thinking(ask):
    loop(ask, **THINKING)


@ways
def tool_loop_parallel(ask):
    loop(ask, "Use both tools at once")


@ways
def tool_loop_parallel_with_thinking(ask):
    loop(ask, "Use both tools at once", **THINKING)


@ways
def tool_loop_with_words(ask):
    loop(ask, "Use tools and explain")


@ways
def tool_loop_without_thinking_blocks(ask):
    loop(ask, "Use both tools at once", keep=lambda block: block.type != "thinking", **THINKING)


@ways
def tool_loop_on_an_older_model(ask):
    loop(ask, "Use both tools at once", model=OLDER)


@check
def long_tool_names():
    tools = [{**tool, "name": f"mcp__server__{tool['name']}_{'x' * 90}"} for tool in TOOLS]
    loop(create, tools=tools)
    loop(streamed, tools=tools, **THINKING)


@check
def tool_choice():
    def calls(**choice):
        message = create("Use tools", tools=TOOLS, tool_choice=choice)
        return [block.name for block in message.content if block.type == "tool_use"]

    assert calls(type="none") == [] and calls(type="any") == ["weather"]
    assert calls(type="tool", name="time", disable_parallel_tool_use=True) == ["time"]


@check
def begun_answer_is_refused():
    history = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Well,"}]
    error = raised(anthropic.BadRequestError, lambda: create(history))
    assert "model turn" in error.body["error"]["message"], error.body


@check
def system_messages():
    history = [
        {"role": "user", "content": "Hello"},
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Hello again"},
    ]
    assert text_of(create(history))


@check
def parameters_for_anthropics_service_are_ignored():
    more = {"metadata": {"user_id": "a"}, "service_tier": "auto", "cache_control": {"type": "ephemeral"}}
    assert text_of(create("Hello", **more))


@check
def image():
    content = [IMAGE, {"type": "text", "text": "What is attached?"}]
    assert text_of(create(content)) == f"image/png {encoded(PNG)}"


@check
def document():
    content = [DOCUMENT, {"type": "text", "text": "What is attached?"}]
    assert text_of(create(content)) == f"application/pdf {encoded(PDF)}"


@check
def image_in_a_tool_result():
    history = after_a_call("What is attached?", content=[{"type": "text", "text": "a map"}, IMAGE])
    assert text_of(create(history, tools=TOOLS)) == f"image/png {encoded(PNG)}"


@check
def failed_tool():
    history = after_a_call("What did the tools say?", content="no such city", is_error=True)
    assert json.loads(text_of(create(history, tools=TOOLS))) == [{"error": "no such city"}]


@check
def system_blocks():
    blocks = [{"type": "text", "text": text} for text in ("Be kind.", "Be brief.")]
    blocks[1]["cache_control"] = {"type": "ephemeral"}
    repeated = text_of(create("Repeat the instructions", system=blocks))
    assert "Be kind." in repeated and "Be brief." in repeated, repeated


@check
def parameters():
    # The newest client has no parameters for them.
    more = {"temperature": 0.5, "top_p": 0.25, "top_k": 10}
    config = json.loads(text_of(create("Repeat the configuration", max_tokens=100, extra_body=more)))
    told = [config[name] for name in ("maxOutputTokens", "temperature", "topP", "topK")]
    assert told == [100, 0.5, 0.25, 10], config


@check
def structured():
    message = messages.parse(**request("Who?"), output_format=Person)
    assert message.parsed_output == Person(name="Ada", year=1815), message


@check
def structured_with_nested_models():
    # The model makes up values for the schema.
    assert messages.parse(**request("Which team?"), output_format=Team).parsed_output.kind == "small"


@check
def structured_streamed():
    message = streamed("Who?", output_format=Person)
    assert message.parsed_output == Person(name="Ada", year=1815), message


@ways
def stop_sequence(ask):
    message = ask("Count to three", stop_sequences=["two"])
    # Gemini does not tell which sequence it was, or whether it was one.
    assert (text_of(message), message.stop_reason) == ("one ", "end_turn"), message


@ways
def output_limit(ask):
    message = ask("a long text", max_tokens=16)
    assert text_of(message) and message.stop_reason == "max_tokens", message


@ways
def filtered_answer(ask):
    assert ask("Say something unsafe").stop_reason == "refusal"


@ways
def filtered_prompt(ask):
    assert ask("Be blocked").stop_reason == "refusal"


@ways
def usage(ask):
    usage = ask("Count the tokens").usage
    # Of 20 tokens, 4 are from a cache. What the model thinks counts as output.
    told = (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens)
    assert told == (16, 4, 12), usage


@ways
def web_search(ask):
    message = ask("Search the web", tools=SEARCH)
    by_type = {block.type: block for block in message.content}
    assert by_type["server_tool_use"].input == {"query": "Ada Lovelace"}, message.content
    result = by_type["web_search_tool_result"]
    assert result.tool_use_id == by_type["server_tool_use"].id, result
    assert result.content[0].url == "https://example.com/ada", result
    citations = [citation for block in message.content for citation in getattr(block, "citations", None) or []]
    assert [(citation.cited_text, citation.url) for citation in citations] == [
        (CITED, "https://example.com/ada")
    ], citations
    assert CITED in text_of(message) and message.stop_reason == "end_turn", message


@check
def search_results_are_sent_back():
    history = [{"role": "user", "content": "Search the web"}]
    history.append({"role": "assistant", "content": create(history, tools=SEARCH).content})
    history.append({"role": "user", "content": "Thanks"})
    assert text_of(create(history, tools=SEARCH))


@check
def token_count():
    def count(text, **more):
        history = [{"role": "user", "content": text}]
        return messages.count_tokens(model=MODEL, messages=history, **more).input_tokens

    hello = count("Hello")
    assert 0 < hello < count("Hello " * 100), hello
    assert hello < count("Hello", system="Be kind.") < count("Hello", system="Be kind.", tools=TOOLS)


@check
def models():
    listed = list(client.models.list(limit=3))
    ids = [model.id for model in listed]
    assert MODEL in ids and len(ids) > 3 and len(set(ids)) == len(ids), ids
    for model in listed:
        assert model.type == "model" and model.display_name and model.created_at, model


@check
def model():
    assert client.models.retrieve(MODEL).id == MODEL


@check
def no_such_model():
    error = raised(anthropic.NotFoundError, lambda: create("Hello", model="claude-opus-5"))
    assert "claude-opus-5" in error.message, error.message


@check
def auth_token():
    bearer = anthropic.Anthropic(auth_token=os.environ["ANTHROPIC_API_KEY"])
    assert bearer.api_key is None
    assert text_of(bearer.messages.create(**request("Hello")))


@check
def wrong_token():
    for stranger in (anthropic.Anthropic(api_key="wrong"), anthropic.Anthropic(auth_token="wrong")):
        error = raised(anthropic.AuthenticationError, lambda: stranger.messages.create(**request("Hello")))
        assert error.body["error"]["type"] == "authentication_error", error.body
        assert (error.request_id or "").startswith("req_"), error.request_id


def refuses(name, parameter, content="Hello", **more):
    def refused():
        error = raised(anthropic.BadRequestError, lambda: create(content, **more))
        assert error.body["error"]["type"] == "invalid_request_error", error.body
        assert parameter in error.body["error"]["message"], error.message

    add(f"refuses_{name}", refused)


SOURCE = {"type": "base64", "media_type": "image/png"}
refuses("image_without_data", "messages[0].content[0].source.data", content=[{"type": "image", "source": SOURCE}])
refuses("wrong_type", "temperature", extra_body={"temperature": "hot"})
refuses("code_execution", "tools[0]", tools=[{"type": "code_execution_20250825", "name": "code_execution"}])
refuses("mcp_servers", "mcp_servers", extra_body={"mcp_servers": [{"type": "url", "name": "a", "url": "https://a"}]})


@check
def parameter_that_google_refuses():
    error = raised(anthropic.BadRequestError, lambda: create("Hello", extra_body={"temperature": 2.5}))
    assert "temperature" in error.body["error"]["message"], error.body


@check
def no_batches():
    error = raised(anthropic.NotFoundError, lambda: messages.batches.list())
    assert error.body["error"]["type"] == "not_found_error", error.body


@check
def quota_is_waited_for():
    # A model whose quota no other check uses.
    ask = request("be over quota once", model="gemini-2.5-pro")
    error = raised(anthropic.RateLimitError, lambda: client.with_options(max_retries=0).messages.create(**ask))
    assert error.body["error"]["type"] == "rate_limit_error", error.body
    assert 0 < float(error.response.headers["retry-after"]) <= 3, error.response.headers
    assert text_of(messages.create(**ask)) == "Hello again"


@check
def overloaded():
    # A model that no other check uses.
    ask = request("be overloaded", model="gemini-2.5-flash-lite")
    error = raised(anthropic.OverloadedError, lambda: client.with_options(max_retries=0).messages.create(**ask))
    assert error.status_code == 529 and error.body["error"]["type"] == "overloaded_error", error.body


@check
def error_within_a_stream():
    error = raised(anthropic.APIStatusError, lambda: streamed("break off"))
    assert error.body["type"] == "error" and "overloaded" in str(error.body), error.body


@check
def cancelled():
    with messages.stream(**request("a long answer")) as stream:
        next(iter(stream.text_stream))
    assert text_of(create("Hello"))


called = []


@beta_tool
def weather(city: str) -> str:
    """The weather in a city."""
    called.append("weather")
    return "rain" if city else ""


@beta_tool
def time(city: str) -> str:
    """The time in a city."""
    called.append("time")
    return "noon" if city else ""


def runs_tools(**more):
    called.clear()
    runner = client.beta.messages.tool_runner(**request("Use tools"), tools=[weather, time], **more)
    assert text_of(runner.until_done())
    assert called == ["weather", "time"], called


@check
def tool_runner():
    runs_tools()


@check
def tool_runner_with_thinking():
    runs_tools(**THINKING)


@check
def tool_runner_streamed():
    runs_tools(stream=True)


run()
