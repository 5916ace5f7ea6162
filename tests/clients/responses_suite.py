"""OpenAI's unmodified client for Python on the Responses API, against OPENAI_BASE_URL."""

import base64
import json
from typing import Literal

import openai
from pydantic import BaseModel

from suite import PDF, PNG, add, check, encoded, raised, run

# A model that requires its thought signatures.
MODEL = "gemini-3.8-flash"
OLDER = "gemini-2.5-flash"
DRAWING = "gemini-2.5-flash-image"
client = openai.OpenAI()
responses = client.responses

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "name": name, "parameters": PARAMETERS, "strict": True} for name in ("weather", "time")
]
PATCH = [{"type": "custom", "name": "patch", "description": "Applies a patch."}]
SEARCH = [{"type": "web_search"}]
CITED = "born in 1815"
STATELESS = {"store": False, "include": ["reasoning.encrypted_content"]}
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64," + encoded(PNG)}


class Person(BaseModel):
    name: str
    year: int


class Team(BaseModel):
    lead: Person
    members: list[Person]
    kind: Literal["small", "large"]
    note: str | None


def create(input, model=MODEL, **more):
    return responses.create(model=model, input=input, **more)


def iterated(input, **more):
    """The final response of a stream, whose events must be in order and complete."""
    items, ended, texts, final = [], set(), {}, None
    for number, event in enumerate(create(input, stream=True, **more)):
        assert final is None and event.sequence_number == number, event
        kind = event.type.removeprefix("response.")
        if number < 2:
            assert kind == ("created", "in_progress")[number], event
            assert event.response.status == "in_progress" and event.response.output == [], event
        elif kind in ("completed", "incomplete", "failed"):
            final = event.response
        elif kind == "output_item.added":
            assert event.output_index == len(items), event
            items.append(event.item)
        else:
            index = event.output_index
            item = items[index]
            assert index not in ended, event
            if kind == "output_item.done":
                assert (event.item.id, event.item.type) == (item.id, item.type), event
                items[index] = event.item
                ended.add(index)
            else:
                assert event.item_id == item.id, event
                follow(texts, kind, event)
    assert final, "the stream is incomplete"
    assert ended == set(range(len(items))), f"{len(items)} items, ended: {ended}"
    assert final.to_dict()["output"] == [item.to_dict() for item in items], final.output
    return final


def follow(texts, kind, event):
    """Collects deltas, which together must be what the end of a text tells."""
    name, _, what = kind.rpartition(".")
    place = [getattr(event, index, 0) for index in ("output_index", "content_index", "summary_index")]
    key = (name, *place)
    if what == "delta":
        texts[key] = texts.get(key, "") + event.delta
    elif what == "done":
        whole = [getattr(event, field, None) for field in ("text", "arguments", "input", "refusal")]
        whole = [text for text in whole if text is not None]
        assert not whole or texts.get(key, "") == whole[0], (texts, event)


def helped(input, model=MODEL, **more):
    """The final response by the client's own helper for streams."""
    with responses.stream(model=model, input=input, **more) as stream:
        for _ in stream:
            pass
        return stream.get_final_response()


WAYS = {"": create, "_streamed": iterated, "_with_helper": helped}


def loop(ask, prompt="Use tools", tools=TOOLS, called=("weather", "time"), keep=lambda item: True, **more):
    """Calls tools until the model answers. Items are sent back unchanged, except those not kept."""
    items, calls = [{"role": "user", "content": prompt}], []
    for _ in range(4):
        response = ask(items, tools=tools, **more)
        items += [item for item in response.output if keep(item)]
        made = [item for item in response.output if item.type in ("function_call", "custom_tool_call")]
        if not made:
            assert tuple(calls) == called and response.output_text, calls
            return
        for call in made:
            assert call.input if call.type == "custom_tool_call" else json.loads(call.arguments)["city"], call
            calls.append(call.name)
            items.append({"type": f"{call.type}_output", "call_id": call.call_id, "output": "fine"})
        assert len({call.call_id for call in made}) == len(made), made
    raise AssertionError("the loop does not end")


def ways(function):
    """Registers a check for whole and streamed answers."""
    for how, ask in WAYS.items():
        add(function.__name__ + how, lambda ask=ask: function(ask))


@ways
def text(ask):
    response = ask("Hello")
    assert response.output_text == "Hello from the other side", response
    assert response.id.startswith("resp_") and response.created_at and response.object == "response", response
    assert response.status == "completed" and response.model == MODEL, response


@ways
def tool_loop(ask):
    loop(ask)


@ways
def tool_loop_stateless(ask):
    loop(ask, **STATELESS)


@ways
def tool_loop_parallel(ask):
    loop(ask, "Use both tools at once")


@ways
def tool_loop_parallel_stateless(ask):
    loop(ask, "Use both tools at once", **STATELESS)


@ways
def tool_loop_without_reasoning_items(ask):
    loop(ask, "Use both tools at once", keep=lambda item: item.type != "reasoning")


@ways
def tool_loop_on_an_older_model(ask):
    loop(ask, "Use both tools at once", model=OLDER)


@ways
def tool_loop_with_thoughts(ask):
    loop(ask, reasoning={"effort": "low", "summary": "auto"}, **STATELESS)


@ways
def tool_loop_with_words(ask):
    loop(ask, "Use tools and explain", **STATELESS)


@ways
def custom_tool(ask):
    loop(ask, tools=PATCH, called=("patch", "patch"))


@check
def long_tool_names():
    names = tuple(f"{name}_{'x' * 90}" for name in ("weather", "time"))
    tools = [{**tool, "name": name} for tool, name in zip(TOOLS, names)]
    loop(create, tools=tools, called=names)
    loop(iterated, tools=tools, called=names)


@check
def tool_choice():
    def calls(choice):
        output = create("Use tools", tools=TOOLS, tool_choice=choice).output
        return [item.name for item in output if item.type == "function_call"]

    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "time"}]}
    assert calls("none") == [] and calls("required") == ["weather"]
    assert calls({"type": "function", "name": "time"}) == ["time"] == calls(allowed)


@check
def input_items():
    history = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Repeat the instructions"},
    ]
    repeated = create(history, instructions="Be kind.").output_text
    assert "Be kind." in repeated and "Be brief." in repeated, repeated


@check
def parameters():
    wanted = {"max_output_tokens": 100, "temperature": 0.5, "top_p": 0.25, "reasoning": {"effort": "low"}}
    config = json.loads(create("Repeat the configuration", **wanted).output_text)
    assert [config[name] for name in ("maxOutputTokens", "temperature", "topP")] == [100, 0.5, 0.25], config
    assert config["thinkingConfig"]["thinkingLevel"].lower() == "low", config


@check
def structured():
    response = responses.parse(model=MODEL, input="Who?", text_format=Person)
    assert response.output_parsed == Person(name="Ada", year=1815), response


@check
def structured_with_nested_models():
    # The model makes up values for the schema.
    assert responses.parse(model=MODEL, input="Which team?", text_format=Team).output_parsed.kind == "small"


@check
def json_object():
    assert isinstance(json.loads(create("Any JSON", text={"format": {"type": "json_object"}}).output_text), dict)


@check
def structured_streamed():
    response = helped("Who?", text_format=Person)
    assert response.output_parsed == Person(name="Ada", year=1815), response


@check
def image():
    content = [{"type": "input_text", "text": "What is attached?"}, IMAGE]
    answer = create([{"role": "user", "content": content}]).output_text
    assert answer == f"image/png {encoded(PNG)}", answer


@check
def file():
    data = "data:application/pdf;base64," + encoded(PDF)
    content = [
        {"type": "input_file", "filename": "a.pdf", "file_data": data},
        {"type": "input_text", "text": "What is attached?"},
    ]
    answer = create([{"role": "user", "content": content}]).output_text
    assert answer == f"application/pdf {encoded(PDF)}", answer


@check
def image_in_a_tool_result():
    # A call of another model, whose signature does not exist.
    call = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Oslo"}'}
    output = {"type": "function_call_output", "call_id": "call_1", "output": [IMAGE]}
    history = [{"role": "user", "content": "What is attached?"}, call, output]
    answer = create(history, tools=TOOLS).output_text
    assert answer == f"image/png {encoded(PNG)}", answer


@ways
def drawn_image(ask):
    (image,) = [item for item in ask("Draw", model=DRAWING).output if item.type == "image_generation_call"]
    assert image.status == "completed" and base64.b64decode(image.result).startswith(b"\x89PNG"), image


@check
def parameters_for_openais_service_are_ignored():
    more = {"metadata": {"a": "b"}, "user": "c", "service_tier": "auto", "prompt_cache_key": "d", "truncation": "auto"}
    assert create("Hello", **more, top_logprobs=0, parallel_tool_calls=True, max_tool_calls=3).output_text


@ways
def reasoning_summary(ask):
    response = ask("Hello", reasoning={"effort": "low", "summary": "auto"}, **STATELESS)
    reasoning, message = response.output
    assert (reasoning.type, message.type) == ("reasoning", "message"), response.output
    assert reasoning.summary[0].text == "I think about it.", reasoning


@ways
def usage(ask):
    usage = ask("Count the tokens").usage
    told = (usage.input_tokens, usage.output_tokens, usage.total_tokens)
    # What the model thinks counts as output.
    assert told == (20, 12, 32), usage
    assert usage.input_tokens_details.cached_tokens == 4, usage
    assert usage.output_tokens_details.reasoning_tokens == 7, usage


def ends_early(ask, prompt, reason, **more):
    response = ask(prompt, **more)
    assert response.status == "incomplete", response
    assert response.incomplete_details.reason == reason, response
    return response


@check
def output_limit():
    assert ends_early(create, "a long text", "max_output_tokens", max_output_tokens=16).output_text


@check
def output_limit_streamed():
    assert ends_early(iterated, "a long text", "max_output_tokens", max_output_tokens=16).output_text


@check
def filtered_answer():
    ends_early(create, "Say something unsafe", "content_filter")


@check
def filtered_answer_streamed():
    ends_early(iterated, "Say something unsafe", "content_filter")


@check
def filtered_prompt():
    response = create("Be blocked")
    assert (response.status, response.error.code) == ("failed", "invalid_prompt"), response


def fails(name, ask, prompt, why):
    """Registers a check that a streamed response fails, and that the error says why."""

    def failed():
        error = raised(openai.APIError, lambda: ask(prompt))
        assert why in error.message, error.message

    add(name, failed)


fails("filtered_prompt_streamed", iterated, "Be blocked", "PROHIBITED_CONTENT")
fails("filtered_prompt_with_helper", helped, "Be blocked", "PROHIBITED_CONTENT")
fails("error_within_a_stream", iterated, "break off", "overloaded")
fails("error_within_a_stream_with_helper", helped, "break off", "overloaded")


@ways
def web_search(ask):
    response = ask("Search the web", tools=SEARCH)
    search = next(item for item in response.output if item.type == "web_search_call")
    assert search.status == "completed" and search.action.query == "Ada Lovelace", search
    part = next(item for item in response.output if item.type == "message").content[0]
    (citation,) = part.annotations
    assert (citation.type, citation.url) == ("url_citation", "https://example.com/ada"), citation
    # Google counts bytes, OpenAI characters.
    assert part.text[citation.start_index : citation.end_index] == CITED, (part.text, citation)


def refuses(parameter, named=None, **more):
    def refused():
        error = raised(openai.BadRequestError, lambda: create("Hello", **more))
        assert (error.param or "").startswith(named or parameter), (error.param, error.message)
        assert error.message, error

    add(f"refuses_{parameter}", refused)


refuses("previous_response_id", previous_response_id="resp_1")
refuses("conversation", conversation="conv_1")
refuses("background", background=True)
refuses("file_search", named="tools[0]", tools=[{"type": "file_search", "vector_store_ids": ["vs_1"]}])


@check
def invalid_parameter():
    error = raised(openai.BadRequestError, lambda: create("Hello", temperature="hot"))
    assert error.param == "temperature", (error.param, error.message)


@check
def parameter_that_google_refuses():
    error = raised(openai.BadRequestError, lambda: create("Hello", temperature=2.5))
    assert "temperature" in error.message, error.message


@check
def responses_are_not_stored():
    raised(openai.NotFoundError, lambda: responses.retrieve("resp_1"))


@check
def no_such_model():
    error = raised(openai.NotFoundError, lambda: create("Hello", model="gemini-9"))
    assert "gemini-9" in error.message, error.message


@check
def wrong_token():
    stranger = client.with_options(api_key="not-the-token")
    raised(openai.AuthenticationError, lambda: stranger.responses.create(model=MODEL, input="Hello"))


@check
def models():
    assert MODEL in {model.id for model in client.models.list()}


@check
def quota_is_waited_for():
    # A model whose quota no other check uses.
    ask = dict(model="gemini-2.5-pro", input="be over quota once")
    impatient = client.with_options(max_retries=0)
    error = raised(openai.RateLimitError, lambda: impatient.responses.create(**ask))
    assert 0 < float(error.response.headers["retry-after"]) <= 3, error.response.headers
    assert responses.create(**ask).output_text == "Hello again"


@check
def cancelled():
    stream = create("a long answer", stream=True)
    next(iter(stream))
    stream.close()
    assert create("Hello").output_text


run()
