"""Reading an OpenAI request and writing it for Anthropic, against the least a typed translator could do, in one run.

    python bench/translation.py [--smoke] [--json]

The baseline decodes into typed msgspec Structs and encodes other Structs: no unknown keys, no reports, no checks. The ratio says what
losslessness costs. Goal 3, limit 4. Gemini is measured against the same baseline, for information. Then a stream: OpenAI chunks to
events to Anthropic events, per chunk.

All runners take turns in many short rounds. `best` is the ratio of the fastest rounds, `median` the median of the rounds' own ratios;
the median is judged. With ``--smoke`` everything runs once and nothing is judged. Figures go to bench/out/translation.json, with
``--json`` to the screen too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from headgate.dialects.anthropic_messages import DIALECT as ANTHROPIC
from headgate.dialects.base import ChatDialect, StreamContext
from headgate.dialects.gemini_generate import DIALECT as GEMINI
from headgate.dialects.openai_chat import DIALECT as OPENAI
from headgate.domain.capabilities import Capabilities

LIMIT = 4.0
GOAL = 3.0
ROUNDS = 41
ROUND_US = 5000.0
CHUNKS = 200
OUT = Path(__file__).resolve().parent / "out"
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


def headgate(target: ChatDialect) -> Callable[[bytes], bytes]:
    """The product's way: read losslessly, write with limits and reports."""

    def translate(body: bytes) -> bytes:
        return _encode(target.render_request(OPENAI.parse_request(body, "/chat/completions"), CARD).payload)

    return translate


TARGETS = {"anthropic": headgate(ANTHROPIC), "gemini": headgate(GEMINI)}


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


def stream_chunks() -> list[bytes]:
    """One streamed answer of plain text, a network read per chunk."""
    frame = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
    deltas = [{"role": "assistant", "content": ""}, *({"content": f" word{i}"} for i in range(CHUNKS - 2))]
    choices: list[dict[str, object]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    return [*(b"data: " + _encode({**frame, "choices": [choice]}) + b"\n\n" for choice in choices), b"data: [DONE]\n\n"]


def stream(chunks: list[bytes]) -> int:
    """Decode and encode one streamed answer; the number of bytes written."""
    decoder, encoder = OPENAI.stream_decoder(), ANTHROPIC.stream_encoder(StreamContext("m", "msg_1", 1))
    written = 0
    for chunk in chunks:
        for event in decoder.feed(chunk):
            written += len(encoder.render_event(event))
    for event in decoder.close():
        written += len(encoder.render_event(event))
    return written + len(encoder.close())


def time_of(run: Callable[[bytes], bytes], body: bytes, loops: int) -> float:
    """Microseconds per call in one round."""
    start = time.perf_counter()
    for _ in range(loops):
        run(body)
    return (time.perf_counter() - start) / loops * 1e6


def compare(body: bytes, smoke: bool) -> dict[str, dict[str, float]]:
    """Each target against the baseline. Rounds alternate and are short, so that a busy machine slows both sides of each ratio."""
    loops = 1 if smoke else max(1, int(ROUND_US / min(time_of(baseline, body, 20) for _ in range(3))))
    theirs: list[float] = []
    ours: dict[str, list[float]] = {name: [] for name in TARGETS}
    for _ in range(1 if smoke else ROUNDS):
        theirs.append(time_of(baseline, body, loops))
        for name, run in TARGETS.items():
            ours[name].append(time_of(run, body, max(1, loops // 3)))
    found = {}
    for name, times in ours.items():
        ratios = [slow / fast for slow, fast in zip(times, theirs, strict=True)]
        fastest = min(theirs)
        best = min(times)
        found[name] = {
            "bytes": len(body),
            "headgate_us": best,
            "structs_us": fastest,
            "best": best / fastest,
            "median": statistics.median(ratios),
        }
    return found


def stream_us(smoke: bool) -> float:
    """Microseconds per chunk of a stream, best round."""
    chunks = stream_chunks()
    assert stream(chunks) > len(chunks)
    times = []
    for _ in range(1 if smoke else ROUNDS):
        start = time.perf_counter()
        stream(chunks)
        times.append((time.perf_counter() - start) / len(chunks) * 1e6)
    return min(times)


def measure(smoke: bool) -> tuple[dict[str, object], bool]:
    """All figures, printed as they come, and whether every ratio of the judged target is within the limit."""
    figures: dict[str, object] = {"limit": LIMIT, "goal": GOAL}
    passed = True
    for name, payload in (("1 kB", small()), ("8 kB with tools", with_tools())):
        body = json.dumps(payload).encode()
        assert json.loads(baseline(body))["messages"] and all(json.loads(run(body)) for run in TARGETS.values())
        for target, found in compare(body, smoke).items():
            figures[f"{name} to {target}"] = found
            judged = target == "anthropic"
            passed = passed and (not judged or found["median"] <= LIMIT)
            print(
                f"{name:16s} {found['bytes']:5.0f} B  openai to {target:10s} headgate {found['headgate_us']:7.2f} us   "
                f"structs {found['structs_us']:6.2f} us   ratio best {found['best']:5.2f}  median {found['median']:5.2f}  "
                f"({f'limit {LIMIT:g}' if judged else 'for information'})"
            )
    figures["stream_us_per_chunk"] = per_chunk = stream_us(smoke)
    print(f"stream           openai chunk to events to anthropic events {per_chunk:5.2f} us per chunk (for information)")
    return figures, passed


def main(arguments: list[str] | None = None) -> int:
    """Run, print, write the figures, and fail when a judged ratio passes the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON too")
    parser.add_argument("--smoke", action="store_true", help="run once, judge nothing")
    options = parser.parse_args(arguments)
    figures, passed = measure(options.smoke)
    text = json.dumps({**figures, "passed": passed or options.smoke}, indent=2)
    OUT.mkdir(exist_ok=True)
    (OUT / "translation.json").write_text(text + "\n", encoding="utf-8")
    if options.json:
        print(text)
    return 0 if options.smoke or passed else 1


if __name__ == "__main__":
    sys.exit(main())
