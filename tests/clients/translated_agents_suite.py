"""Unmodified third-party agents on the APIs that the pool translates. See `agents_suite.py`."""

import asyncio
import os

from agents import Agent as OpenAIAgent
from agents import Runner, function_tool, set_default_openai_client, set_tracing_disabled
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from agent_loops import MODEL, Person, add_agents, called, chain, lite, pydantic, time, weather
from suite import check, run

OPENAI = {"base_url": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"]}
ANTHROPIC = {"base_url": os.environ["ANTHROPIC_BASE_URL"], "api_key": os.environ["ANTHROPIC_API_KEY"]}
THINKING = {"type": "enabled", "budget_tokens": 1024}

OPENAI_TOOLS = [function_tool(weather), function_tool(time)]

set_tracing_disabled(True)


def run_openai_agent(agent, prompt, stream=False):
    """Runs one of OpenAI's agents, which use the Responses API by default."""

    async def result():
        # A client belongs to one event loop.
        set_default_openai_client(AsyncOpenAI(**OPENAI))
        if not stream:
            return await Runner.run(agent, prompt)
        streamed = Runner.run_streamed(agent, prompt)
        async for _ in streamed.stream_events():
            pass
        return streamed

    return asyncio.run(result())


def openai_agent(**more):
    return OpenAIAgent(name="A", model=MODEL, **more)


def openai_agents(_, prompt, stream):
    return run_openai_agent(openai_agent(tools=OPENAI_TOOLS), prompt, stream).final_output


def lite_anthropic():
    return {
        "model": f"anthropic/{MODEL}",
        "api_base": ANTHROPIC["base_url"],
        "api_key": ANTHROPIC["api_key"],
        "max_tokens": 2048,
    }


def chain_responses(**more):
    return ChatOpenAI(model=MODEL, use_responses_api=True, max_retries=0, **OPENAI, **more)


def chain_responses_stateless():
    return chain_responses(store=False, include=["reasoning.encrypted_content"], reasoning={"summary": "auto"})


def chain_anthropic(**more):
    return ChatAnthropic(model=MODEL, max_tokens=2048, max_retries=0, **ANTHROPIC, **more)


def pydantic_responses():
    return OpenAIResponsesModel(MODEL, provider=OpenAIProvider(**OPENAI))


def pydantic_anthropic():
    return AnthropicModel(MODEL, provider=AnthropicProvider(**ANTHROPIC))


add_agents(
    {
        "openai_agents": (openai_agents, lambda: None),
        "litellm_anthropic": (lite, lite_anthropic),
        "langchain_responses": (chain, chain_responses),
        "langchain_responses_stateless": (chain, chain_responses_stateless),
        "langchain_anthropic": (chain, chain_anthropic),
        "langchain_anthropic_thinking": (chain, lambda: chain_anthropic(thinking=THINKING)),
        "pydantic_ai_responses": (pydantic, pydantic_responses),
        "pydantic_ai_anthropic": (pydantic, pydantic_anthropic),
    }
)


@check
def openai_agents_structured():
    agent = openai_agent(tools=OPENAI_TOOLS, output_type=Person)
    assert isinstance(run_openai_agent(agent, "Who?").final_output, Person)


@check
def openai_agents_hand_over():
    second = OpenAIAgent(name="B", model=MODEL, instructions="Be brief.", tools=OPENAI_TOOLS[:1])
    called.clear()
    result = run_openai_agent(openai_agent(handoffs=[second]), "Hand over")
    assert result.last_agent is second and called == ["weather"] and result.final_output, called


@check
def openai_agents_continue_a_conversation():
    agent = openai_agent(tools=OPENAI_TOOLS)
    history = run_openai_agent(agent, "Use tools").to_input_list()
    assert run_openai_agent(agent, history + [{"role": "user", "content": "Once more"}]).final_output


@check
def langchain_responses_structured():
    assert isinstance(chain_responses().with_structured_output(Person).invoke("Who?"), Person)


@check
def langchain_anthropic_structured():
    for method in ("function_calling", "json_schema"):
        assert isinstance(chain_anthropic().with_structured_output(Person, method=method).invoke("Who?"), Person)


@check
def pydantic_ai_responses_structured():
    for output_type in (Person, NativeOutput(Person)):
        assert isinstance(Agent(pydantic_responses(), output_type=output_type).run_sync("Who?").output, Person)


@check
def pydantic_ai_anthropic_structured():
    assert isinstance(Agent(pydantic_anthropic(), output_type=Person).run_sync("Who?").output, Person)


run()
