"""Every pair of wires: a request read and written, and a stream event, each against typed structs that keep nothing, in one run.

    python bench/pairs.py [--smoke] [--json]

The baselines are those of `translation.py` (an OpenAI request to an Anthropic one) and, for events, an OpenAI chunk decoded into a typed
Struct and an Anthropic delta encoded from one. Goal 3. Then what pass-through costs: listening for usage beside a typed decoder of every
chunk, and opening a request of 200 kB one level deep beside reading it whole. Figures go to bench/out/pairs.json; nothing is judged.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import translation as base

from headgate.client.chat import listen
from headgate.dialects import anthropic_messages, bedrock_converse, gemini_generate, ollama_chat, openai_chat, openai_responses
from headgate.dialects.base import ChatDialect, StreamContext, StreamTap
from headgate.dialects.tap import tap_of
from headgate.domain.content import Text
from headgate.domain.events import BlockStart, BlockStop, Delta, Finished, Start, StreamEvent, UsageSeen
from headgate.domain.response import Finish
from headgate.domain.usage import Usage
from headgate.gateway.asking import open_body

MODULES = (openai_chat, openai_responses, anthropic_messages, gemini_generate, ollama_chat, bedrock_converse)
DIALECTS = tuple(module.DIALECT for module in MODULES)
EVENTS = 200
ROUNDS = 15
BIG = 200_000


class InDelta(msgspec.Struct):
    content: str | None = None


class InChoice(msgspec.Struct):
    delta: InDelta
    finish_reason: str | None = None


class InUsage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int


class InChunk(msgspec.Struct):
    choices: list[InChoice]
    usage: InUsage | None = None


class OutDelta(msgspec.Struct):
    text: str
    type: str = "text_delta"


class OutEvent(msgspec.Struct):
    delta: OutDelta
    type: str = "content_block_delta"
    index: int = 0


_chunk = msgspec.json.Decoder(InChunk).decode
_encode = msgspec.json.Encoder().encode


def time_of(run: Callable[[], object], smoke: bool) -> float:
    """Microseconds of one call: the best of several rounds of about five milliseconds."""
    start = time.perf_counter()
    run()
    once = max(time.perf_counter() - start, 1e-7)
    loops = 1 if smoke else max(1, int(0.005 / once))
    rounds = []
    for _ in range(1 if smoke else ROUNDS):
        start = time.perf_counter()
        for _ in range(loops):
            run()
        rounds.append((time.perf_counter() - start) / loops * 1e6)
    return min(rounds)


def requests(smoke: bool) -> Iterator[tuple[str, str, float]]:
    """(size, pair, ratio) of every pair that can say the request."""
    for size, payload in (("1 kB", base.small()), ("8 kB", base.with_tools())):
        body = json.dumps(payload).encode()
        conversation = openai_chat.DIALECT.parse_request(body, "/chat/completions")
        for source in DIALECTS:
            written = source.render_request(conversation, base.CARD)
            bytes_in = _encode(written.payload)
            for target in DIALECTS:
                if target is not source:
                    ours = time_of(lambda s=source, t=target, b=bytes_in, p=written.path: translate(s, t, b, p), smoke)
                    yield size, f"{source.name} to {target.name}", ours / time_of(lambda b=body: base.baseline(b), smoke)


def translate(source: ChatDialect, target: ChatDialect, body: bytes, path: str) -> bytes:
    """One request, read and written."""
    return _encode(target.render_request(source.parse_request(body, path), base.CARD).payload)


def spoken() -> list[StreamEvent]:
    """One streamed answer of plain text, as events."""
    deltas = [Delta(0, f" word{i}") for i in range(EVENTS)]
    return [
        Start("a", "m", 1),
        BlockStart(0, Text("")),
        *deltas,
        BlockStop(0),
        UsageSeen(Usage(input_uncached=9, output_text=99)),
        Finished(Finish.STOP),
    ]


def encoded(dialect: ChatDialect) -> list[bytes]:
    """The answer on a wire, a network read per event."""
    encoder = dialect.stream_encoder(StreamContext("m", "a", 1))
    pieces = [encoder.render_event(event) for event in spoken()]
    return [piece for piece in (*pieces, encoder.close()) if piece]


def stream(source: ChatDialect, target: ChatDialect, pieces: list[bytes]) -> int:
    """The answer read from one wire and written on another."""
    decoder, encoder = source.stream_decoder(), target.stream_encoder(StreamContext("m", "a", 1))
    written = sum(len(encoder.render_event(event)) for piece in pieces for event in decoder.feed(piece))
    return written + sum(len(encoder.render_event(event)) for event in decoder.close()) + len(encoder.close())


def typed_stream(pieces: list[bytes]) -> int:
    """The same between typed structs."""
    written = 0
    for piece in pieces:
        if piece.startswith(b"data: {"):
            for choice in _chunk(piece[6:].partition(b"\n")[0]).choices:
                written += len(b"event: content_block_delta\ndata: " + _encode(OutEvent(OutDelta(choice.delta.content or ""))) + b"\n\n")
    return written


def typed_tap(pieces: list[bytes]) -> int:
    """Listening for usage with a typed decoder of every chunk."""
    used = 0
    for piece in pieces:
        if piece.startswith(b"data: {"):
            usage = _chunk(piece[6:].partition(b"\n")[0]).usage
            used = usage.completion_tokens if usage else used
    return used


def our_tap(dialect: ChatDialect, pieces: list[bytes]) -> StreamTap:
    """Listening as the gateway does while bytes pass through."""
    tap = tap_of(dialect)
    for piece in pieces:
        listen(tap, piece)
    return tap


def big_request() -> bytes:
    """A prompt of about 200 kB."""
    return json.dumps(
        {"model": "m", "stream": True, "messages": [{"role": "user", "content": 'The "quick" brown fox.\n' * (BIG // 26)}]}
    ).encode()


def measure(smoke: bool) -> dict[str, object]:
    """All figures, printed as they come."""
    figures: dict[str, object] = {}
    for size, pair, ratio in requests(smoke):
        figures[f"request {size} {pair}"] = ratio
    print_summary("requests, times the structs", figures)
    chunks = encoded(openai_chat.DIALECT)
    typed = time_of(lambda: typed_stream(chunks), smoke)
    events: dict[str, object] = {}
    for source in DIALECTS:
        pieces = encoded(source)
        for target in DIALECTS:
            if target is not source:
                events[f"stream {source.name} to {target.name}"] = (
                    time_of(lambda s=source, t=target, p=pieces: stream(s, t, p), smoke) / typed
                )
    print_summary("stream events, times the structs", events)
    tap = time_of(lambda: our_tap(openai_chat.DIALECT, chunks), smoke) / time_of(lambda: typed_tap(chunks), smoke)
    body = big_request()
    peek, whole = time_of(lambda: open_body(body), smoke), time_of(lambda: openai_chat.DIALECT.parse_request(body, ""), smoke)
    print(f"usage tap        {tap:5.2f} times a typed decoder of every chunk (goal 1.5)")
    print(f"200 kB request   opened in {peek:.0f} us, read whole in {whole:.0f} us")
    return {**figures, **events, "usage_tap": tap, "peek_us": peek, "whole_us": whole}


def print_summary(what: str, found: dict[str, object]) -> None:
    """Median and extremes, and every pair."""
    ratios = sorted((ratio, name) for name, ratio in found.items() if isinstance(ratio, float))
    for ratio, name in ratios:
        print(f"  {name:60s} {ratio:5.2f}")
    print(f"{what}: median {statistics.median(ratio for ratio, _ in ratios):.2f}, worst {ratios[-1][0]:.2f} ({ratios[-1][1]})")


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON too")
    parser.add_argument("--smoke", action="store_true", help="run once")
    options = parser.parse_args(arguments)
    text = json.dumps(measure(options.smoke), indent=2)
    out = Path(__file__).resolve().parent / "out"
    out.mkdir(exist_ok=True)
    (out / "pairs.json").write_text(text + "\n", encoding="utf-8")
    if options.json:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
