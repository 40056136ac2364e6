"""Recorded Messages traffic: what the dialect reads equals what an independent reader finds, and requests and answers go back equal."""

from __future__ import annotations

import importlib.util
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from headgate.dialects.anthropic_messages import DIALECT
from headgate.dialects.anthropic_messages.words import FINISH
from headgate.dialects.base import StreamContext
from headgate.dialects.batch import BatchRequestRow, BatchRows, BatchStatus
from headgate.dialects.batch_anthropic import CreateBody, row_decoder, state_of
from headgate.domain.capabilities import ANY_MODEL
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

WORDS = {
    Finish.STOP: "stop",
    Finish.LENGTH: "length",
    Finish.TOOL_CALLS: "tool",
    Finish.CONTENT_FILTER: "filter",
    Finish.PAUSE: "pause",
    None: None,
}


@cache
def exchanges(surface: str) -> tuple[dict[str, Any], ...]:
    lines = (CORPUS / "manifest.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return tuple(
        json.loads((CORPUS / row["file"]).read_text()) | {"id": row["id"]}
        for row in rows
        if row["provider"] == "anthropic" and row["surface"] == surface
    )


@cache
def oracle() -> Any:
    spec = importlib.util.spec_from_file_location("neutral_oracle", ORACLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answers() -> Iterator[dict[str, Any]]:
    return (e for e in exchanges("messages") if e["response"]["status"] < 400 and "body" in e["response"])


def streams() -> Iterator[dict[str, Any]]:
    return (e for e in exchanges("messages") if e["response"]["status"] < 400 and "sse_raw" in e["response"])


def events_of(data: bytes, cuts: list[int]) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    events: list[StreamEvent] = []
    before = 0
    for cut in [*cuts, len(data)]:
        events += decoder.feed(data[before:cut])
        before = cut
    return events + decoder.close()


def calls_whole_at_start(exchange: dict[str, Any]) -> list[tuple[str, Any]]:
    """Streamed calls whose block begins with its whole input (calls made by running code), which the independent reader overlooks."""
    events = [json.loads(event["data"]) for event in exchange["response"].get("sse", ())]
    blocks = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    return [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use" and block["input"]]


def check(exchange: dict[str, Any], response: Response) -> None:
    found = oracle().summary(exchange)
    assert response.text == found["text"]
    assert [(call.name, decode(call.arguments or "{}")) for call in response.tool_calls] == (
        calls_whole_at_start(exchange) or found["tool_calls"]
    )
    native = response.choices[0].native_finish
    if native == "compaction":  # a word the independent reader has no translation for
        assert found["finish"] == native and response.finish is Finish.PAUSE
    else:
        assert native is None or native in FINISH
        assert WORDS[response.finish] == found["finish"]
    assert response.usage is not None
    assert response.usage.input_uncached == found["in_tokens"]
    assert response.usage.output_total == found["out_tokens"]


def show(capsys: pytest.CaptureFixture[str], surface: str, counts: Counter[str]) -> None:
    with capsys.disabled():
        print(f"\ncorpus anthropic/{surface}: " + ", ".join(f"{name} {number}" for name, number in counts.items()), end="")


def test_answers_equal_the_independent_reader_and_render_back(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for exchange in answers():
        body = exchange["response"]["body"]
        response = DIALECT.parse_response(encode(body))
        check(exchange, response)
        assert decode(DIALECT.render_response(response)) == body, exchange["id"]
        counts["answers"] += 1
    show(capsys, "messages", counts)
    assert counts["answers"] >= 270


def test_requests_render_back_equal(capsys: pytest.CaptureFixture[str]) -> None:
    for surface in ("messages", "messages.count_tokens"):
        counts: Counter[str] = Counter()
        for exchange in exchanges(surface):
            body = (exchange.get("request") or {}).get("body")
            if not isinstance(body, dict):
                counts["without a request"] += 1
                continue
            rendered = DIALECT.render_request(DIALECT.parse_request(encode(body), ""), ANY_MODEL)
            assert decode(encode(rendered.payload)) == body, exchange["id"]
            assert rendered.notes == ()
            counts["requests"] += 1
        show(capsys, surface, counts)
        assert counts["requests"]


def test_streams_equal_the_independent_reader_at_any_split(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for exchange in streams():
        data = exchange["response"]["sse_raw"].encode()
        whole = events_of(data, [])
        check(exchange, fold(whole, DIALECT.name))
        dice = random.Random(exchange["id"])
        splits = [sorted(dice.sample(range(1, len(data)), k=min(8, len(data) - 1))) for _ in range(64)]
        if len(data) <= 4096:
            splits += [[cut] for cut in range(1, len(data))]
            counts["at all two-part splits"] += 1
        splits.append(list(range(1, len(data))))
        for cuts in splits:
            assert events_of(data, cuts) == whole, exchange["id"]
        counts["streams"] += 1
        counts["calls whole at start"] += len(calls_whole_at_start(exchange))
    show(capsys, "messages", counts)
    assert counts["streams"] >= 125


def test_streams_encoded_again_fold_to_the_same_answer() -> None:
    for exchange in streams():
        whole = events_of(exchange["response"]["sse_raw"].encode(), [])
        encoder = DIALECT.stream_encoder(StreamContext("model", "msg_fallback", 0))
        again = b"".join([encoder.render_event(event) for event in whole]) + encoder.close()
        check(exchange, fold(events_of(again, []), DIALECT.name))


def test_errors_are_classified(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for exchange in exchanges("messages"):
        reply = exchange["response"]
        if reply["status"] >= 400:
            error = DIALECT.parse_error(reply["status"], reply["headers"], encode(reply["body"]))
            assert error.message == reply["body"]["error"]["message"]
            assert error.code == reply["body"]["error"]["type"]
            assert error.request_id
            counts[error.kind.value] += 1
    show(capsys, "messages errors", counts)
    assert counts == {"auth": 4, "not_found": 2, "bad_request": 1}


def test_batch_life_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for exchange in exchanges("messages.batches"):
        reply = exchange["response"]
        if "ndjson" in reply:
            decoder = row_decoder("output")
            rows = decoder.feed(b"".join(encode(line) + b"\n" for line in reply["ndjson"])) + decoder.close()
            assert [row.custom_id for row in rows] == [line["custom_id"] for line in reply["ndjson"]]
            for row, line in zip(rows, reply["ndjson"], strict=True):
                assert row.outcome == "succeeded" and row.body is not None
                reply = {"status": 200, "body": line["result"]["message"]}
                check(
                    {"surface": "messages", "provider": "anthropic", "response": reply},
                    DIALECT.parse_response(row.body),
                )
                counts["rows"] += 1
        else:
            state = state_of(reply["body"])
            assert state.raw_status == reply["body"]["processing_status"]
            assert state.status in (BatchStatus.RUNNING, BatchStatus.COMPLETED)
            assert state.total == sum(reply["body"]["request_counts"].values())
            counts["states"] += 1
        sent = (exchange["request"] or {}).get("body")
        if sent:
            rows_sent = tuple(BatchRequestRow(r["custom_id"], "/v1/messages", encode(r["params"])) for r in sent["requests"])
            assert decode(b"".join(CreateBody(BatchRows(rows_sent)))) == sent
            counts["create bodies"] += 1
    show(capsys, "messages.batches", counts)
    assert counts["rows"] == 2 and counts["states"] == 3 and counts["create bodies"] == 1
