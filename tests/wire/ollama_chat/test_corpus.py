"""Recorded Ollama traffic: what the dialect reads equals what an independent reader finds, and requests and answers go back equal."""

from __future__ import annotations

import importlib.util
import json
import os
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from headgate.dialects import openai_chat
from headgate.dialects.base import StreamContext
from headgate.dialects.ollama_chat import DIALECT
from headgate.dialects.ollama_chat.context import prompt_floor
from headgate.dialects.ollama_chat.usage import parse_usage
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.content import Thinking
from headgate.domain.events import StreamEvent
from headgate.domain.fold import fold
from headgate.domain.response import Finish, Response
from headgate.wire.json import decode, encode

CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).parents[3].parent / "shared" / "corpus"))
ORACLE = CORPUS.parent / "tools" / "neutral.py"

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not (CORPUS / "manifest.jsonl").is_file(), reason=f"no recorded traffic at {CORPUS}"),
    pytest.mark.skipif(not ORACLE.is_file(), reason=f"no independent reader at {ORACLE}"),
]

WORDS = {Finish.STOP: "stop", Finish.LENGTH: "length", Finish.TOOL_CALLS: "tool"}


@cache
def exchanges(surface: str) -> tuple[dict[str, Any], ...]:
    rows = [json.loads(line) for line in (CORPUS / "manifest.jsonl").read_text().splitlines()]
    chosen = (row for row in rows if row["provider"] == "ollama" and row["surface"] == surface)
    return tuple(json.loads((CORPUS / row["file"]).read_text()) | {"id": row["id"]} for row in chosen)


@cache
def oracle() -> Any:
    spec = importlib.util.spec_from_file_location("neutral_oracle", ORACLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def events_of(data: bytes, cuts: list[int]) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    events: list[StreamEvent] = []
    before = 0
    for cut in [*cuts, len(data)]:
        events += decoder.feed(data[before:cut])
        before = cut
    assert decoder.complete
    return events + decoder.close()


def check(exchange: dict[str, Any], response: Response) -> None:
    found = oracle().summary(exchange)
    assert response.text == found["text"]
    assert [(call.name, decode(call.arguments)) for call in response.tool_calls] == [tuple(call) for call in found["tool_calls"]]
    assert len({call.id for call in response.tool_calls}) == len(response.tool_calls)
    assert response.finish is not None and WORDS[response.finish] == found["finish"]
    assert response.usage is not None and response.usage.source == "provider"
    assert response.usage.input_total == found["in_tokens"]
    assert response.usage.output_total == found["out_tokens"]


def test_answers_equal_the_independent_reader_and_render_back() -> None:
    bodies = [exchange for exchange in exchanges("api.chat") if "body" in exchange["response"]]
    for exchange in bodies:
        body = exchange["response"]["body"]
        response = DIALECT.parse_response(encode(body))
        check(exchange, response)
        assert response.created is not None
        thoughts = "".join(block.text for block in response.choices[0].content if isinstance(block, Thinking))
        assert thoughts == body["message"].get("thinking", "")
        assert decode(DIALECT.render_response(response)) == body, exchange["id"]
    assert len(bodies) == 8


def test_answers_read_as_a_stream_of_one_line_are_the_same() -> None:
    for exchange in exchanges("api.chat"):
        if "body" in exchange["response"]:
            body = encode(exchange["response"]["body"])
            whole, streamed = DIALECT.parse_response(body), fold(events_of(body + b"\n", []), DIALECT.name)
            assert streamed == whole


def test_requests_render_back_equal() -> None:
    sent = [exchange["request"]["body"] for exchange in exchanges("api.chat") if exchange["request"] is not None]
    for body in sent:
        rendered = DIALECT.render_request(DIALECT.parse_request(encode(body), ""), ANY_MODEL)
        assert rendered.path == "/api/chat"
        assert decode(encode(rendered.payload)) == body
        assert rendered.notes == ()
    assert len(sent) == 4


def recorded_streams() -> list[tuple[dict[str, Any], bytes]]:
    """Streams as bytes, with either line end."""
    found = [exchange for exchange in exchanges("api.chat") if "ndjson" in exchange["response"]]
    ends = (b"\n", b"\r\n")
    return [(exchange, b"".join(encode(line) + end for line in exchange["response"]["ndjson"])) for exchange in found for end in ends]


def test_streams_equal_the_independent_reader_at_any_split() -> None:
    for exchange, data in recorded_streams():
        whole = events_of(data, [])
        check(exchange, fold(whole, DIALECT.name))
        dice = random.Random(exchange["id"])
        splits = [sorted(dice.sample(range(1, len(data)), k=8)) for _ in range(64)]
        splits += [[cut] for cut in range(1, len(data))]
        splits.append(list(range(1, len(data))))
        for cuts in splits:
            assert events_of(data, cuts) == whole, exchange["id"]
    assert len(recorded_streams()) == 2


def test_streams_encoded_again_fold_to_the_same_answer() -> None:
    for exchange, data in recorded_streams():
        encoder = DIALECT.stream_encoder(StreamContext("model", "", 0))
        again = b"".join(map(encoder.render_event, events_of(data, []))) + encoder.close()
        check(exchange, fold(events_of(again, []), DIALECT.name))


def test_answers_to_generate_have_the_counts_and_reasons_of_chat() -> None:
    """Another endpoint, but the same words around the text."""
    seen = 0
    for exchange in exchanges("api.generate"):
        for raw in exchange["response"].get("ndjson") or [exchange["response"].get("body") or {}]:
            if raw.get("done"):
                found = oracle().summary(exchange)
                usage = parse_usage(raw)
                assert usage is not None
                assert (usage.input_total, usage.output_total) == (found["in_tokens"], found["out_tokens"])
                seen += 1
    assert seen == 3


def counted_prompts() -> Iterator[tuple[str, int, int]]:
    """(id, least tokens, tokens counted) of every recorded chat completion of any provider and model."""
    for line in (CORPUS / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["surface"] != "chat.completions" or row["status"] != 200 or row["stream"]:
            continue
        exchange = json.loads((CORPUS / row["file"]).read_text())
        body = (exchange.get("request") or {}).get("body")
        if isinstance(body, dict) and "model" in body and isinstance(exchange["response"].get("body"), dict):
            usage = openai_chat.DIALECT.parse_response(encode(exchange["response"]["body"])).usage
            if usage is not None and usage.input_total:
                request = openai_chat.DIALECT.parse_request(encode(body), "")
                yield row["id"], prompt_floor(request.messages), usage.input_total


def test_no_recorded_prompt_has_fewer_tokens_than_the_least_it_can_have() -> None:
    """Whichever the tokeniser: what is refused for its length could not have been served."""
    found = list(counted_prompts())
    assert [row for row in found if row[1] > row[2]] == []
    assert len(found) > 300
    assert sum(floor > 0.5 * count for _, floor, count in found) > 100, "and the least is near enough to be of use"
