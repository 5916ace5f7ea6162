"""Unmodified third-party agents: each completes three steps with tools on Gemini 3.

The agent calls two tools, sequentially or in parallel, and then answers. Gemini 3 signs each call, or
the first of parallel calls, and refuses the next step if the agent lost the signature."""

import os

from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from agent_loops import MODEL, Person, add_agents, chain, lite, pydantic
from suite import check, run

OPENAI = {"base_url": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"]}
GOOGLE = {"base_url": os.environ["GOOGLE_GEMINI_BASE_URL"], "api_key": os.environ["GEMINI_API_KEY"]}


def lite_openai():
    return {"model": f"openai/{MODEL}", "api_base": OPENAI["base_url"], "api_key": OPENAI["api_key"]}


def lite_google():
    return {"model": f"gemini/{MODEL}", "api_base": GOOGLE["base_url"] + "/v1beta", "api_key": GOOGLE["api_key"]}


def chain_openai():
    return ChatOpenAI(model=MODEL, max_retries=0, **OPENAI)


def chain_google():
    return ChatGoogleGenerativeAI(
        model=MODEL, max_retries=1, base_url=GOOGLE["base_url"], google_api_key=GOOGLE["api_key"]
    )


def pydantic_openai():
    return OpenAIChatModel(MODEL, provider=OpenAIProvider(**OPENAI))


def pydantic_google():
    return GoogleModel(MODEL, provider=GoogleProvider(**GOOGLE))


add_agents(
    {
        "litellm_openai": (lite, lite_openai),
        "litellm_gemini": (lite, lite_google),
        "langchain_openai": (chain, chain_openai),
        "langchain_google": (chain, chain_google),
        "pydantic_ai_openai": (pydantic, pydantic_openai),
        "pydantic_ai_google": (pydantic, pydantic_google),
    }
)


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
