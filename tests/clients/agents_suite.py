"""Unmodified third-party agents: each completes three steps with tools on Gemini 3.

The agent calls two tools, sequentially or in parallel, and then answers. Gemini 3 signs each call, or
the first of parallel calls, and refuses the next step if the agent lost the signature."""

import asyncio
import json
import os

import litellm
from langchain.agents import create_agent
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from suite import check, run

MODEL = "gemini-3.8-flash"
PARALLEL = "Use both tools at once"
PROMPTS = {"": "Use tools", "_parallel": PARALLEL}
OPENAI = {"base_url": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"]}
GOOGLE = {"base_url": os.environ["GOOGLE_GEMINI_BASE_URL"], "api_key": os.environ["GEMINI_API_KEY"]}

# Otherwise it prints advice among the results.
litellm.suppress_debug_info = True

called = []


def weather(city: str) -> str:
    """The weather in a city."""
    called.append("weather")
    assert city
    return "rain"


def time(city: str) -> str:
    """The time in a city."""
    called.append("time")
    assert city
    return "noon"


class Person(BaseModel):
    name: str
    year: int


def assert_completes(agent, model, prompt, stream):
    """Asserts that the agent calls both tools and then answers."""
    called.clear()
    answer = agent(model, prompt, stream)
    # Parallel calls may run in any order.
    order = sorted(called, reverse=True) if prompt == PARALLEL else called
    assert order == ["weather", "time"], called
    assert answer, "no answer"


def lite(surface, prompt, stream):
    """The loop from LiteLLM's documentation."""
    where = (
        {"api_base": OPENAI["base_url"], "api_key": OPENAI["api_key"]}
        if surface == "openai"
        else {"api_base": GOOGLE["base_url"] + "/v1beta", "api_key": GOOGLE["api_key"]}
    )
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [
        {"type": "function", "function": {"name": tool.__name__, "parameters": parameters}} for tool in (weather, time)
    ]
    messages = [{"role": "user", "content": prompt}]
    for _ in range(4):
        answer = litellm.completion(
            model=f"{surface}/{MODEL}", messages=messages, tools=tools, stream=stream, num_retries=0, **where
        )
        if stream:
            answer = litellm.stream_chunk_builder(list(answer), messages=messages)
        message = answer.choices[0].message
        messages.append(message)
        if not message.tool_calls:
            return message.content
        for call in message.tool_calls:
            arguments = json.loads(call.function.arguments)
            result = {"weather": weather, "time": time}[call.function.name](**arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    raise AssertionError("the loop does not end")


def chain(model, prompt, stream):
    """LangChain's agent, which streams its model if its messages are streamed."""
    agent = create_agent(model, tools=[weather, time])
    request = {"messages": [{"role": "user", "content": prompt}]}
    if not stream:
        return agent.invoke(request)["messages"][-1].text
    chunks = [message for message, _ in agent.stream(request, stream_mode="messages")]
    return "".join(chunk.text for chunk in chunks if chunk.type == "AIMessageChunk")


def chain_openai():
    return ChatOpenAI(model=MODEL, max_retries=0, **OPENAI)


def chain_google():
    return ChatGoogleGenerativeAI(
        model=MODEL, max_retries=1, base_url=GOOGLE["base_url"], google_api_key=GOOGLE["api_key"]
    )


def pydantic(model, prompt, stream):
    agent = Agent(model, tools=[weather, time])
    if not stream:
        return agent.run_sync(prompt).output

    async def streamed():
        async with agent.run_stream(prompt) as answer:
            return "".join([piece async for piece in answer.stream_text(delta=True)])

    return asyncio.run(streamed())


def pydantic_openai():
    return OpenAIChatModel(MODEL, provider=OpenAIProvider(**OPENAI))


def pydantic_google():
    return GoogleModel(MODEL, provider=GoogleProvider(**GOOGLE))


AGENTS = {
    "litellm_openai": (lite, lambda: "openai"),
    "litellm_gemini": (lite, lambda: "gemini"),
    "langchain_openai": (chain, chain_openai),
    "langchain_google": (chain, chain_google),
    "pydantic_ai_openai": (pydantic, pydantic_openai),
    "pydantic_ai_google": (pydantic, pydantic_google),
}


def register(name, agent, model, prompt, stream):
    def completes():
        assert_completes(agent, model(), prompt, stream)

    completes.__name__ = name
    check(completes)


for name, (agent, model) in AGENTS.items():
    for how, prompt in PROMPTS.items():
        register(name + how, agent, model, prompt, stream=False)
        register(name + how + "_streamed", agent, model, prompt, stream=True)


@check
def langchain_openai_structured():
    assert isinstance(chain_openai().with_structured_output(Person).invoke("Who?"), Person)


@check
def langchain_google_structured():
    assert isinstance(chain_google().with_structured_output(Person).invoke("Who?"), Person)


@check
def pydantic_ai_openai_structured():
    assert isinstance(Agent(pydantic_openai(), output_type=Person).run_sync("Who?").output, Person)


@check
def pydantic_ai_google_structured():
    assert isinstance(Agent(pydantic_google(), output_type=Person).run_sync("Who?").output, Person)


run()
