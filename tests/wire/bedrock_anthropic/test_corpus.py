"""Recorded InvokeModel traffic of Claude: Anthropic's wire inside AWS's framing, read, checked and written back."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import random
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from headgate.dialects.base import StreamContext
from headgate.dialects.bedrock_anthropic import DIALECT
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.events import StreamEvent
from headgate.domain.fold import fold
from headgate.domain.response import Finish, Response
from headgate.errors import WireError
from headgate.wire.json import decode, encode

CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).parents[3].parent / "shared" / "corpus"))
ORACLE = CORPUS.parent / "tools" / "neutral.py"

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not (CORPUS / "manifest.jsonl").is_file(), reason=f"no recorded traffic at {CORPUS}"),
    pytest.mark.skipif(not ORACLE.is_file(), reason=f"no independent reader at {ORACLE}"),
]

WORDS = {Finish.STOP: "stop", Finish.LENGTH: "length", Finish.TOOL_CALLS: "tool", Finish.CONTENT_FILTER: "filter"}
OPERATIONS = ("invoke", "invoke-with-response-stream")


@cache
def exchanges(surface: str) -> tuple[dict[str, Any], ...]:
    rows = [json.loads(line) for line in (CORPUS / "manifest.jsonl").read_text().splitlines()]
    return tuple(
        json.loads((CORPUS / row["file"]).read_text()) | {"id": row["id"]}
        for row in rows
        if row["provider"] == "bedrock" and row["tier"] == "core" and row["surface"] == surface
    )


@cache
def oracle() -> Any:
    spec = importlib.util.spec_from_file_location("neutral_oracle", ORACLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def native_of(exchange: dict[str, Any]) -> str:
    """Whose body a request carries: "" for the Messages wire, else the maker of another one."""
    sent = exchange["request"]
    if "anthropic_version" in sent["body"] and "messages" in sent["body"]:
        return ""
    model = sent["path"].split("/")[2].removeprefix("us.")
    return "application-inference-profile" if model.startswith("arn") else model.partition(".")[0]


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
    assert [(call.name, decode(call.arguments or "{}")) for call in response.tool_calls] == found["tool_calls"]
    assert response.finish is not None and WORDS[response.finish] == found["finish"]
    assert (None if response.usage is None else response.usage.input_uncached) == found["in_tokens"]
    assert (None if response.usage is None else response.usage.output_total) == found["out_tokens"]


def show(capsys: pytest.CaptureFixture[str], what: str, counts: Counter[str]) -> None:
    with capsys.disabled():
        print(f"\ncorpus bedrock/{what}: " + ", ".join(f"{name} {number}" for name, number in counts.items()), end="")


def test_requests_render_back_equal_and_other_makers_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for surface in OPERATIONS:
        for exchange in exchanges(surface):
            other = native_of(exchange)
            counts[other or "requests"] += 1
            if not other:
                sent = exchange["request"]
                request = DIALECT.parse_request(encode(sent["body"]), sent["path"])
                rendered = DIALECT.render_request(request, ANY_MODEL)
                assert decode(encode(rendered.payload)) == sent["body"], exchange["id"]
                assert rendered.path == sent["path"].replace(":", "%3A") and rendered.notes == ()
                assert bool(request.stream) is (surface != "invoke")
    show(capsys, "invoke requests", counts)
    assert counts == {
        "requests": 21,
        "amazon": 21,
        "cohere": 9,
        "anthropic": 2,
        "meta": 2,
        "ai21": 1,
        "mistral": 1,
        "application-inference-profile": 1,
    }


def test_answers_equal_the_independent_reader_and_render_back() -> None:
    count = 0
    for exchange in exchanges("invoke"):
        if not native_of(exchange) and exchange["response"]["status"] < 400:
            body = exchange["response"]["body"]
            response = DIALECT.parse_response(encode(body))
            check(exchange, response)
            assert decode(DIALECT.render_response(response)) == body, exchange["id"]
            count += 1
    assert count == 9


def test_streams_equal_the_independent_reader_at_any_split() -> None:
    count = 0
    for exchange in exchanges("invoke-with-response-stream"):
        if native_of(exchange) or exchange["response"]["status"] >= 400:
            continue
        data = base64.b64decode(exchange["response"]["raw_b64"])
        whole = events_of(data, [])
        check(exchange, fold(whole))
        dice = random.Random(exchange["id"])
        splits = [sorted(dice.sample(range(1, len(data)), k=8)) for _ in range(16)] + [list(range(1, len(data)))]
        if len(data) <= 4096:
            splits += [[cut] for cut in range(1, len(data))]
        for cuts in splits:
            assert events_of(data, cuts) == whole, exchange["id"]
        encoder = DIALECT.stream_encoder(StreamContext("model", "msg_fallback", 0))
        again = b"".join([encoder.render_event(event) for event in whole]) + encoder.close()
        check(exchange, fold(events_of(again, [])))
        count += 1
    assert count == 10


def test_streams_of_other_makers_are_refused_by_name() -> None:
    count = 0
    for exchange in exchanges("invoke-with-response-stream"):
        if native_of(exchange):
            with pytest.raises(WireError, match="JSON object with a type"):
                events_of(base64.b64decode(exchange["response"]["raw_b64"]), [])
            count += 1
    assert count == 7
