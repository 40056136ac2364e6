"""Reading an OpenAI request and writing it for Anthropic, against the least a typed translator could do, in one run.

    python bench/translation.py [--json OUT] [--smoke]

The baseline decodes into typed msgspec Structs and encodes other Structs: no unknown keys, no reports, no checks. The ratio says what
losslessness costs. Goal 3, limit 4; with ``--smoke`` everything runs once and no ratio is judged.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import msgspec

from headgate.dialects.anthropic_messages import DIALECT as ANTHROPIC
from headgate.dialects.openai_chat import DIALECT as OPENAI
from headgate.domain.capabilities import Capabilities

LIMIT = 4.0
ROUNDS = 9
CARD = Capabilities(context=200_000, max_output=8192, default_output=4096, reasoning="budget", temperature_max=1.0)


class Function(msgspec.Struct):
    name: str
    arguments: str = ""


class Call(msgspec.Struct):
    id: str
    function: Function


class InMessage(msgspec.Struct):
    role: str
    content: str | list[dict[str, str]] | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None


class Signature(msgspec.Struct):
    name: str
    description: str = ""
    parameters: msgspec.Raw = msgspec.Raw(b"{}")


class InTool(msgspec.Struct):
    function: Signature


class InRequest(msgspec.Struct):
    model: str
    messages: list[InMessage]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    stream: bool = False
    tools: list[InTool] | None = None
    tool_choice: str | None = None


class OutMessage(msgspec.Struct):
    role: str
    content: object


class OutTool(msgspec.Struct):
    name: str
    description: str
    input_schema: msgspec.Raw


class OutRequest(msgspec.Struct, omit_defaults=True):
    model: str
    messages: list[OutMessage]
    max_tokens: int = 1
    system: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: list[str] | None = None
    stream: bool = False
    tools: list[OutTool] | None = None
    tool_choice: dict[str, str] | None = None


_decode = msgspec.json.Decoder(InRequest).decode
_encode = msgspec.json.Encoder().encode


def baseline(body: bytes) -> bytes:
    """Typed in, typed out, nothing else."""
    request = _decode(body)
    system: list[str] = []
    messages: list[OutMessage] = []
    for message in request.messages:
        if message.role == "system":
            system.append(str(message.content))
        elif message.role == "tool":
            block = {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.content}
            messages.append(OutMessage("user", [block]))
        elif message.tool_calls:
            messages.append(OutMessage("assistant", [_use(call) for call in message.tool_calls]))
        else:
            messages.append(OutMessage(message.role, message.content))
    stop = request.stop
    tools = [OutTool(t.function.name, t.function.description, t.function.parameters) for t in request.tools or ()]
    return _encode(
        OutRequest(
            request.model,
            messages,
            request.max_tokens or 4096,
            "\n".join(system) or None,
            request.temperature,
            request.top_p,
            [stop] if isinstance(stop, str) else stop,
            request.stream,
            tools or None,
            {"type": request.tool_choice} if request.tool_choice else None,
        )
    )


def _use(call: Call) -> dict[str, object]:
    return {"type": "tool_use", "id": call.id, "name": call.function.name, "input": msgspec.Raw(call.function.arguments.encode())}


def headgate(body: bytes) -> bytes:
    """The product's way: read losslessly, write with limits and reports."""
    return _encode(ANTHROPIC.render_request(OPENAI.parse_request(body, "/chat/completions"), CARD).payload)


def small() -> dict[str, object]:
    """About 1 kB: a system prompt, a question, a temperature."""
    question = "Summarise the following note in two sentences and name the people in it. " + "It rained on the harbour all day. " * 22
    return {
        "model": "gpt-4o-mini",
        "messages": [{"role": "system", "content": "You are a careful assistant."}, {"role": "user", "content": question}],
        "temperature": 0.2,
        "max_tokens": 300,
    }


def with_tools() -> dict[str, object]:
    """About 8 kB: five tools and four rounds of calling one."""
    schema = {
        "type": "object",
        "properties": {key: {"type": "string", "description": "one of the fields " * 3} for key in "abcdef"},
        "required": ["a"],
    }
    tools = [
        {
            "type": "function",
            "function": {"name": f"tool_{i}", "description": "Look up one record. " * 6, "parameters": schema},
        }
        for i in range(5)
    ]
    rounds: list[dict[str, object]] = []
    for i in range(4):
        call = {"id": f"call_{i}", "type": "function", "function": {"name": "tool_1", "arguments": json.dumps({"a": "x" * 60})}}
        rounds.append({"role": "assistant", "content": None, "tool_calls": [call]})
        rounds.append({"role": "tool", "tool_call_id": f"call_{i}", "content": "result " * 60})
        rounds.append({"role": "user", "content": [{"type": "text", "text": "and then? " * 20}]})
    start = small()
    messages = start["messages"]
    assert isinstance(messages, list)
    return {**start, "messages": [*messages, *rounds], "tools": tools, "tool_choice": "auto"}


def time_of(run: Callable[[bytes], bytes], body: bytes, loops: int) -> float:
    """Microseconds per call in one round."""
    start = time.perf_counter()
    for _ in range(loops):
        run(body)
    return (time.perf_counter() - start) / loops * 1e6


def compare(body: bytes, smoke: bool) -> dict[str, float]:
    """Both translators in turns, so that a busy machine slows both; medians over the rounds."""
    loops = 1 if smoke else max(200, 2_000_000 // (len(body) + 200))
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(1 if smoke else ROUNDS):
        theirs.append(time_of(baseline, body, loops))
        ours.append(time_of(headgate, body, loops))
    slow, fast = statistics.median(ours), statistics.median(theirs)
    return {"bytes": len(body), "headgate_us": slow, "structs_us": fast, "ratio": slow / fast}


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and fail when a ratio passes the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="OUT", help="write the figures to this file")
    parser.add_argument("--smoke", action="store_true", help="run once, judge nothing")
    options = parser.parse_args(arguments)
    figures: dict[str, dict[str, float]] = {}
    for name, payload in (("1 kB", small()), ("8 kB with tools", with_tools())):
        body = json.dumps(payload).encode()
        assert json.loads(headgate(body))["messages"] and json.loads(baseline(body))["messages"]
        found = figures[name] = compare(body, options.smoke)
        print(
            f"{name:16s} {found['bytes']:6.0f} B   headgate {found['headgate_us']:8.2f} us   "
            f"structs {found['structs_us']:8.2f} us   ratio {found['ratio']:5.2f} (limit {LIMIT:g})"
        )
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"translation": figures}, file, indent=1)
    return 0 if options.smoke or all(found["ratio"] <= LIMIT for found in figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
