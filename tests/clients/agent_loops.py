"""What the suites of agents share: the tools, the loops, and the assertion that a loop completes."""

import asyncio
import json

import litellm
from langchain.agents import create_agent
from pydantic import BaseModel
from pydantic_ai import Agent

from suite import add

MODEL = "gemini-3.8-flash"
PARALLEL = "Use both tools at once"
PROMPTS = {"": "Use tools", "_parallel": PARALLEL}

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


def lite(where, prompt, stream):
    """The loop from LiteLLM's documentation."""
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [
        {"type": "function", "function": {"name": tool.__name__, "parameters": parameters}} for tool in (weather, time)
    ]
    messages = [{"role": "user", "content": prompt}]
    for _ in range(4):
        answer = litellm.completion(messages=messages, tools=tools, stream=stream, num_retries=0, **where)
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


def pydantic(model, prompt, stream):
    agent = Agent(model, tools=[weather, time])
    if not stream:
        return agent.run_sync(prompt).output

    async def streamed():
        async with agent.run_stream(prompt) as answer:
            return "".join([piece async for piece in answer.stream_text(delta=True)])

    return asyncio.run(streamed())


def add_agents(agents):
    """Registers each agent, with consecutive and parallel calls, whole and streamed."""
    for name, (agent, model) in agents.items():
        for how, prompt in PROMPTS.items():
            for delivery, stream in {"": False, "_streamed": True}.items():
                add(
                    name + how + delivery,
                    lambda agent=agent, model=model, prompt=prompt, stream=stream: assert_completes(
                        agent, model(), prompt, stream
                    ),
                )
