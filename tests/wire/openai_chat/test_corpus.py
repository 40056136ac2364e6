"""Recorded chat completions of five providers: read as an independent reader reads them, and written back equal."""

from __future__ import annotations

import importlib.util
import json
import os
import random
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from headgate.dialects.batch import BatchStatus
from headgate.dialects.batch_openai_files import Rows, parse_state
from headgate.dialects.openai_chat import DIALECT
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.events import StreamEvent
from headgate.domain.fold import fold
from headgate.domain.response import Finish, Response
from headgate.errors import ErrorKind
from headgate.wire.json import decode, encode

CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).parents[3].parent / "shared" / "corpus"))
ORACLE = CORPUS.parent / "tools" / "neutral.py"
PROVIDERS = ("openai", "groq", "together", "xai", "ollama")
SPLITS = 64
SHORT = 4096

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not (CORPUS / "manifest.jsonl").is_file(), reason=f"no recorded traffic at {CORPUS}"),
    pytest.mark.skipif(not ORACLE.is_file(), reason=f"no independent reader at {ORACLE}"),
]

WORDS = {Finish.STOP: "stop", Finish.LENGTH: "length", Finish.TOOL_CALLS: "tool", Finish.CONTENT_FILTER: "filter", None: None}
UNKNOWN_TO_ORACLE = {"eos": "stop"}
"""Finish words the independent reader hands through (translation case "Together native values")."""

Exchange = dict[str, Any]


@cache
def exchanges(provider: str, surface: str) -> tuple[Exchange, ...]:
    rows = [json.loads(line) for line in (CORPUS / "manifest.jsonl").read_text().splitlines()]
    wanted = [row["file"] for row in rows if row["provider"] == provider and row["surface"] == surface and row["file"].startswith("core/")]
    return tuple(json.loads((CORPUS / file).read_text()) for file in wanted)


@cache
def oracle() -> Any:
    spec = importlib.util.spec_from_file_location("neutral_oracle", ORACLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def requests(provider: str) -> list[Any]:
    found = [e["request"] for e in exchanges(provider, "chat.completions")]
    return [request["body"] for request in found if request and request.get("body") is not None]


def bodies(provider: str) -> list[Exchange]:
    return [e for e in exchanges(provider, "chat.completions") if e["response"]["status"] < 400 and "body" in e["response"]]


def streams(provider: str) -> list[Exchange]:
    return [e for e in exchanges(provider, "chat.completions") if e["response"]["status"] < 400 and "sse_raw" in e["response"]]


def refusals(provider: str) -> list[Exchange]:
    return [e for e in exchanges(provider, "chat.completions") if e["response"]["status"] >= 400]


def events_of(data: bytes, cuts: list[int]) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    events: list[StreamEvent] = []
    before = 0
    for cut in [*cuts, len(data)]:
        events += decoder.feed(data[before:cut])
        before = cut
    events += decoder.close()
    assert decoder.complete
    return events


def check(exchange: Exchange, answer: Response) -> None:
    """Text, tool calls, finish and usage against the independent reader."""
    expected = oracle().summary(exchange)
    where = exchange["id"]
    assert answer.text == expected["text"], where
    calls = [(call.name, oracle()._args(call.arguments)) for call in answer.tool_calls]
    assert calls == [tuple(call) for call in expected["tool_calls"]], where
    assert WORDS[answer.finish] == UNKNOWN_TO_ORACLE.get(expected["finish"], expected["finish"]), where
    if expected["in_tokens"] is None:
        assert answer.usage is None, where
        return
    usage = answer.usage
    assert usage is not None and usage.native is not None, where
    assert usage.input_total == expected["in_tokens"], where
    hidden = usage.native["total_tokens"] - expected["in_tokens"] - expected["out_tokens"]
    details = usage.native.get("completion_tokens_details") or {}
    assert hidden == 0 or (exchange["provider"] == "xai" and hidden == details["reasoning_tokens"]), where
    assert usage.output_total == expected["out_tokens"] + hidden, where
    assert usage.output_reasoning == (details.get("reasoning_tokens") or 0), where
    assert usage.cache_read == ((usage.native.get("prompt_tokens_details") or {}).get("cached_tokens") or 0), where


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_request_goes_back_equal(provider: str) -> None:
    for body in requests(provider):
        rendered = DIALECT.render_request(DIALECT.parse_request(encode(body), "/chat/completions"), ANY_MODEL)
        assert decode(encode(rendered.payload)) == body
        assert rendered.notes == ()
        assert rendered.path == "/chat/completions"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_answer_is_read_as_the_oracle_does_and_goes_back_equal(provider: str) -> None:
    for exchange in bodies(provider):
        answer = DIALECT.parse_response(encode(exchange["response"]["body"]))
        check(exchange, answer)
        assert decode(DIALECT.render_response(answer)) == exchange["response"]["body"], exchange["id"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_stream_is_read_as_the_oracle_does_whatever_the_split(provider: str) -> None:
    for exchange in streams(provider):
        data = exchange["response"]["sse_raw"].encode()
        whole = events_of(data, [])
        check(exchange, fold(whole, DIALECT.name))
        assert events_of(data, list(range(1, len(data)))) == whole, exchange["id"]
        places = random.Random(exchange["id"])
        for _ in range(SPLITS):
            assert events_of(data, sorted(places.sample(range(1, len(data)), min(8, len(data) - 1)))) == whole, exchange["id"]
        if len(data) <= SHORT:
            for cut in range(1, len(data)):
                assert events_of(data, [cut]) == whole, exchange["id"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_error_is_classified(provider: str) -> None:
    kinds = {400: ErrorKind.BAD_REQUEST, 401: ErrorKind.AUTH, 404: ErrorKind.NOT_FOUND}
    for exchange in refusals(provider):
        response = exchange["response"]
        error = DIALECT.parse_error(response["status"], response["headers"], encode(response["body"]))
        assert error.kind is kinds[response["status"]], exchange["id"]
        assert error.message == response["body"]["error"]["message"]
        assert not error.transient


def test_recorded_jobs_and_result_files_are_read() -> None:
    jobs = [e["response"]["body"] for e in exchanges("openai", "batches")]
    jobs += [e["response"]["body"] for e in exchanges("groq", "batches")]
    seen = Counter(parse_state(job.get("batch", job)).status for job in jobs)
    assert BatchStatus.UNKNOWN not in seen and seen[BatchStatus.COMPLETED] >= 1
    assert not any(parse_state(job.get("batch", job)).lagging for job in jobs)
    files = [e["response"]["ndjson"] for e in exchanges("openai", "files") if "ndjson" in e["response"]]
    results = [rows for rows in files if rows and "custom_id" in rows[0]]
    for rows in results:
        decoder = Rows("output")
        found = decoder.feed(b"\n".join(map(encode, rows))) + decoder.close()
        assert [row.custom_id for row in found] == [row["custom_id"] for row in rows]
        assert {row.outcome for row in found} == {"succeeded"}
        assert [decode(row.body or b"") for row in found] == [row["response"]["body"] for row in rows]
    assert results


def test_counts(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print()
        for provider in PROVIDERS:
            counts = (len(read(provider)) for read in (requests, bodies, streams, refusals))
            print(
                f"  {provider:9s} chat.completions  " + "  ".join(map("{} {}".format, counts, ("requests", "answers", "streams", "errors")))
            )
        for provider, surface in (("openai", "batches"), ("openai", "files"), ("groq", "batches")):
            print(f"  {provider:9s} {surface:16s}  {len(exchanges(provider, surface))} exchanges")
    assert sum(len(bodies(p)) + len(streams(p)) for p in PROVIDERS) > 500
