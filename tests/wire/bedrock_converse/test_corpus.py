"""Recorded Converse traffic: what the dialect reads equals what an independent reader finds, and requests and answers go back equal."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headgate.dialects.base import StreamContext
from headgate.dialects.bedrock_converse import DIALECT
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.content import Block, Opaque, Text, ToolCall
from headgate.domain.events import StreamEvent
from headgate.domain.fold import fold
from headgate.domain.response import Finish, Response
from headgate.wire.eventstream import encode_frame
from headgate.wire.json import decode, encode

CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).parents[3].parent / "shared" / "corpus"))
ORACLE = CORPUS.parent / "tools" / "neutral.py"

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not (CORPUS / "manifest.jsonl").is_file(), reason=f"no recorded traffic at {CORPUS}"),
    pytest.mark.skipif(not ORACLE.is_file(), reason=f"no independent reader at {ORACLE}"),
]

WORDS = {Finish.STOP: "stop", Finish.LENGTH: "length", Finish.TOOL_CALLS: "tool", Finish.CONTENT_FILTER: "filter"}

CITED = {"16f5ec4251d839", "1a3c23e47fc13d", "529ae00a05c2a7", "e432b70badbf12", "ecc418ffa26aef", "fc85f9016b8fe2"}
"""Answers whose cited sentences stand in `citationsContent`: the model wrote them, so they belong to the text. The reader misses them."""

RUN_BY_BEDROCK = {"3dec75efc3d4b2": "nova_grounding", "1f95a5a455505c": "nova_code_interpreter"}
"""Answers with calls of tools that Bedrock ran itself and answered in the same turn: no caller may be asked to run them. The reader takes
them for the caller's."""


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


def answers() -> Iterator[dict[str, Any]]:
    return (e for e in exchanges("converse") if e["response"]["status"] < 400)


def streams() -> Iterator[tuple[dict[str, Any], bytes]]:
    for exchange in exchanges("converse-stream"):
        reply = exchange["response"]
        if "raw_b64" in reply:
            yield exchange, base64.b64decode(reply["raw_b64"])
        elif "eventstream" in reply:
            yield exchange, b"".join(encode_frame(event["headers"], encode(event["payload"])) for event in reply["eventstream"])


def events_of(data: bytes, cuts: list[int]) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    events: list[StreamEvent] = []
    before = 0
    for cut in [*cuts, len(data)]:
        events += decoder.feed(data[before:cut])
        before = cut
    return events + decoder.close()


def all_said(exchange: dict[str, Any]) -> str:
    """The text of an answer with its cited sentences, in order, read by hand."""
    content = exchange["response"]["body"]["output"]["message"]["content"]
    cited = [piece for item in content for piece in item.get("citationsContent", {}).get("content", [{"text": item.get("text", "")}])]
    return "".join(piece["text"] for piece in cited)


def check(exchange: dict[str, Any], response: Response) -> None:
    found = oracle().summary(exchange)
    assert response.text == (all_said(exchange) if exchange["id"] in CITED else found["text"])
    own = RUN_BY_BEDROCK.get(exchange["id"])
    calls = [call for call in found["tool_calls"] if call[0] != own]
    assert [(call.name, decode(call.arguments)) for call in response.tool_calls] == calls
    finish = "stop" if own and not calls else found["finish"]
    assert (WORDS[response.finish] if response.finish else None) == finish
    assert (0 if response.usage is None else response.usage.input_uncached) == (found["in_tokens"] or 0)
    assert (0 if response.usage is None else response.usage.output_total) == (found["out_tokens"] or 0)


def show(capsys: pytest.CaptureFixture[str], what: str, counts: Counter[str]) -> None:
    with capsys.disabled():
        print(f"\ncorpus bedrock/{what}: " + ", ".join(f"{name} {number}" for name, number in counts.items()), end="")


def test_answers_equal_the_independent_reader_and_render_back(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for exchange in answers():
        body = exchange["response"]["body"]
        response = DIALECT.parse_response(encode(body))
        check(exchange, response)
        assert decode(DIALECT.render_response(response)) == body, exchange["id"]
        counts["answers"] += 1
        counts["cited"] += exchange["id"] in CITED
        counts["with Bedrock's own tools"] += exchange["id"] in RUN_BY_BEDROCK
    show(capsys, "converse", counts)
    assert counts == {"answers": 94, "cited": 6, "with Bedrock's own tools": 1}


def test_usage_is_disjoint() -> None:
    """Cached tokens are outside `inputTokens`, so all buckets add up to the total that Bedrock states (translation case 50)."""
    seen: Counter[str] = Counter()
    for exchange in answers():
        usage = DIALECT.parse_response(encode(exchange["response"]["body"])).usage
        if usage is not None and "totalTokens" in (usage.native or {}):
            assert usage.native is not None and usage.total == usage.native["totalTokens"], exchange["id"]
            seen["read"] += usage.cache_read > 0
            seen["written"] += usage.cache_write_5m > 0
            seen["all"] += 1
    assert seen["all"] == 92 and seen["read"] and seen["written"]


def test_requests_render_back_equal(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for surface in ("converse", "converse-stream"):
        for exchange in exchanges(surface):
            sent = exchange.get("request") or {}
            body = sent.get("body")
            if not isinstance(body, dict):
                counts["without a request"] += 1
                continue
            request = DIALECT.parse_request(encode(body), sent["path"])
            rendered = DIALECT.render_request(request, ANY_MODEL)
            assert decode(encode(rendered.payload)) == body, exchange["id"]
            assert rendered.path == sent["path"].replace(":", "%3A") and rendered.notes == ()
            assert bool(request.stream) is (surface == "converse-stream")
            assert not any(isinstance(block, Opaque) and "text" in str(block.raw)[:8] for m in request.messages for block in m.content)
            counts["requests"] += 1
    show(capsys, "requests", counts)
    assert counts == {"requests": 124, "without a request": 7}


def test_streams_equal_the_independent_reader_at_any_split(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for exchange, data in streams():
        whole = events_of(data, [])
        check(exchange, fold(whole, DIALECT.name))
        dice = random.Random(exchange["id"])
        splits = [sorted(dice.sample(range(1, len(data)), k=8)) for _ in range(16)]
        if len(data) <= 4096:
            splits += [[cut] for cut in range(1, len(data))]
            counts["at all two-part splits"] += 1
        splits.append(list(range(1, len(data))))
        for cuts in splits:
            assert events_of(data, cuts) == whole, exchange["id"]
        counts["streams"] += 1
    show(capsys, "converse-stream", counts)
    assert counts["streams"] == 31


def plain(response: Response) -> list[Block]:
    """The blocks of an answer without the word for the kind of call, which says nothing new."""
    return [msgspec.structs.replace(b, extra=None) if isinstance(b, ToolCall) else b for b in response.choices[0].content]


def test_streams_encoded_again_fold_to_the_same_answer() -> None:
    for exchange, data in streams():
        whole = events_of(data, [])
        encoder = DIALECT.stream_encoder(StreamContext("model", "id", 0))
        again = b"".join([encoder.render_event(event) for event in whole]) + encoder.close()
        check(exchange, fold(events_of(again, []), DIALECT.name))
        assert plain(fold(events_of(again, []))) == plain(fold(whole))


def test_what_bedrock_ran_itself_is_kept_for_bedrock() -> None:
    for surface, exchange in [("converse", e) for e in answers()] + [("stream", e) for e, _ in streams()]:
        name = RUN_BY_BEDROCK.get(exchange["id"])
        if name is not None:
            response = (
                DIALECT.parse_response(encode(exchange["response"]["body"]))
                if surface == "converse"
                else fold(events_of(base64.b64decode(exchange["response"]["raw_b64"]), []))
            )
            call, result = response.choices[0].content[:2]
            assert isinstance(call, Opaque) and call.raw["toolUse"]["name"] == name and isinstance(call.raw["toolUse"]["input"], dict)
            assert isinstance(result, Opaque) and result.raw["toolResult"]["content"]


def test_citations_go_with_their_text() -> None:
    for exchange in answers():
        if exchange["id"] in CITED:
            blocks = DIALECT.parse_response(encode(exchange["response"]["body"])).choices[0].content
            assert any(isinstance(block, Text) and block.text and (block.extra or {}).get("citations") for block in blocks)


def test_errors_are_classified(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for surface in ("converse", "converse-stream", "invoke", "invoke-with-response-stream", "count-tokens"):
        for exchange in exchanges(surface):
            reply = exchange["response"]
            if reply["status"] >= 400:
                error = DIALECT.parse_error(reply["status"], reply["headers"], encode(reply["body"]))
                assert error.message == reply["body"]["message"]
                assert error.code == (reply["headers"].get("x-amzn-errortype", "").partition(":")[0] or None)
                assert error.request_id == reply["headers"].get("x-amzn-requestid")
                counts[error.kind.value] += 1
    show(capsys, "errors", counts)
    assert counts == {"bad_request": 8, "auth": 2, "permission": 1}
