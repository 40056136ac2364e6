"""Recorded Responses traffic: what the dialect reads equals what an independent reader finds, and everything goes back equal."""

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
from msgspec.structs import replace

from headgate.dialects.base import StreamContext
from headgate.dialects.openai_responses import DIALECT
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.content import Opaque, Thinking
from headgate.domain.events import Failed, StreamEvent
from headgate.domain.fold import fold
from headgate.domain.response import Choice, Finish, Response
from headgate.errors import ErrorKind
from headgate.wire.json import Json, JsonObject, decode, encode

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
    Finish.ERROR: "error",
    None: None,
}

FOUR_IN_ONE = "25163f523fee93"
"""Four answers recorded one after another as one stream: the first terminator ends it, where the independent reader takes the last."""

SELF_CONTRADICTING = "7c22b8ce3993ab"
"""A hand-made stream whose terminator tells another text than its deltas did: what was streamed counts."""

FAILED = "9ba3e3c745fd39"
"""A stream that ends in `error` and `response.failed`."""

NAMELESS = "8cb5309ba21475"
"""A stream whose terminator leaves out model and time, and whose done items have no place."""

PARAGRAPHS = "82b841d8fd840b"
"""Its summary has several parts, which are written again as one."""

PROVIDERS = {"openai", "xai", "azure-openai", "bedrock-mantle", "deepseek", "openrouter"}


@cache
def exchanges() -> tuple[dict[str, Any], ...]:
    rows = [json.loads(line) for line in (CORPUS / "manifest.jsonl").read_text().splitlines()]
    return tuple(
        json.loads((CORPUS / row["file"]).read_text()) | {"id": row["id"]}
        for row in rows
        if row["surface"] == "responses" and row["provider"] in PROVIDERS
    )


@cache
def oracle() -> Any:
    spec = importlib.util.spec_from_file_location("neutral_oracle", ORACLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answers() -> Iterator[dict[str, Any]]:
    """Whole answers; counted tokens and compactions, which other paths return, are none."""
    for exchange in exchanges():
        body = exchange["response"].get("body")
        if exchange["response"]["status"] < 400 and isinstance(body, dict) and body["object"] == "response":
            yield exchange


def streams() -> Iterator[dict[str, Any]]:
    return (e for e in exchanges() if e["response"]["status"] < 400 and "sse_raw" in e["response"])


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


def check(exchange: dict[str, Any], response: Response, *, streamed: bool = False) -> None:
    found = oracle().summary(exchange)
    if not (streamed and exchange["id"] == SELF_CONTRADICTING):
        assert response.text == found["text"]
    assert [(call.name, decode(call.arguments or "{}")) for call in response.tool_calls] == found["tool_calls"]
    if found["finish"] == "complete":  # a word the independent reader has no translation for
        assert response.finish is Finish.STOP
    else:
        assert WORDS[response.finish] == found["finish"]
    usage = response.usage
    assert usage is not None
    assert (usage.input_total, usage.output_total) == (found["in_tokens"], found["out_tokens"])
    assert usage.native is not None


def show(capsys: pytest.CaptureFixture[str], counts: Counter[str]) -> None:
    with capsys.disabled():
        print("\ncorpus responses: " + ", ".join(f"{number} {name}" for name, number in sorted(counts.items())), end="")


def test_requests_render_back_equal(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for exchange in exchanges():
        body = (exchange.get("request") or {}).get("body")
        if not isinstance(body, dict):
            counts["without a request"] += 1
            continue
        request = DIALECT.parse_request(encode(body), "/responses")
        rendered = DIALECT.render_request(request, ANY_MODEL)
        assert rendered.notes == (), exchange["id"]
        assert decode(encode(rendered.payload)) == body, exchange["id"]
        assert DIALECT.parse_request(encode(rendered.payload), rendered.path) == request
        counts[f"{exchange['provider']} requests"] += 1
    show(capsys, counts)
    assert counts == {
        "openai requests": 415,
        "xai requests": 24,
        "azure-openai requests": 3,
        "bedrock-mantle requests": 8,
        "deepseek requests": 4,
        "openrouter requests": 2,
        "without a request": 41,
    }


def test_answers_equal_the_independent_reader_and_render_back(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for exchange in answers():
        body = exchange["response"]["body"]
        response = DIALECT.parse_response(encode(body))
        check(exchange, response)
        assert decode(DIALECT.render_response(response)) == body, exchange["id"]
        counts[f"{exchange['provider']} answers"] += 1
    show(capsys, counts)
    assert sum(counts.values()) == 343
    assert counts["openai answers"] == 309 and counts["xai answers"] == 17


def test_streams_equal_the_independent_reader_at_any_split(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for exchange in streams():
        data = exchange["response"]["sse_raw"].encode()
        whole = events_of(data, [])
        counts[f"{exchange['provider']} streams"] += 1
        if exchange["id"] == FAILED:
            error = whole[-1]
            assert isinstance(error, Failed) and error.error.kind is ErrorKind.QUOTA
        elif exchange["id"] != FOUR_IN_ONE:
            check(exchange, fold(whole, DIALECT.name), streamed=True)
        if isinstance(whole[-1], Failed):
            continue
        dice = random.Random(exchange["id"])
        for cuts in splits(data, dice):
            assert events_of(data, cuts) == whole, exchange["id"]
        counts["splits"] += 1
    show(capsys, counts)
    assert counts["openai streams"] == 128 and counts["xai streams"] == 9


def splits(data: bytes, dice: random.Random) -> Iterator[list[int]]:
    """Byte by byte for short streams, and a few seeded splits for all."""
    if len(data) <= 4096:
        yield list(range(1, len(data)))
        yield from ([cut] for cut in range(1, len(data), 7))
    for _ in range(2):
        yield sorted(dice.sample(range(1, len(data)), k=min(40, len(data) - 1)))


@pytest.mark.proofs
def test_every_stream_at_every_byte(record_property: Any) -> None:
    count = 0
    for exchange in streams():
        if exchange["id"] != FAILED:
            data = exchange["response"]["sse_raw"].encode()
            assert events_of(data, list(range(1, len(data)))) == events_of(data, []), exchange["id"]
            count += 1
    record_property("streams", count)
    assert count == 136


def without_secret(extra: JsonObject | None) -> Json:
    """A thought's head, its encrypted content left out."""
    heads = (extra or {}).get("item", ())
    more = [{key: value for key, value in head.get("more", {}).items() if key != "encrypted_content"} for head in heads]
    return [{**head, "more": rest} for head, rest in zip(heads, more, strict=True)]


def comparable(response: Response) -> Response:
    """Without what a provider writes anew for the terminator: encrypted thoughts and compactions."""
    choice = response.choices[0]
    blocks = tuple(
        replace(block, extra=without_secret(block.extra))
        if isinstance(block, Thinking)
        else Opaque(block.raw["type"])
        if isinstance(block, Opaque)
        else block
        for block in choice.content
    )
    return replace(response, choices=(replace(choice, content=blocks, form=()),), form=())


def test_a_stream_folds_to_the_answer_its_terminator_repeats(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for exchange in streams():
        if exchange["id"] in (FAILED, FOUR_IN_ONE, SELF_CONTRADICTING, NAMELESS):
            counts["left out"] += 1
            continue
        last = json.loads(exchange["response"]["sse"][-1]["data"])["response"]
        streamed = fold(events_of(exchange["response"]["sse_raw"].encode(), []), DIALECT.name)
        assert comparable(streamed) == comparable(DIALECT.parse_response(encode(last))), exchange["id"]
        counts["streams equal to their terminator"] += 1
    show(capsys, counts)
    assert counts["streams equal to their terminator"] == 133


def test_streams_encoded_again_fold_to_the_same_answer() -> None:
    for exchange in streams():
        events = events_of(exchange["response"]["sse_raw"].encode(), [])
        encoder = DIALECT.stream_encoder(StreamContext("model", "resp_fallback", 0))
        data = b"".join([encoder.render_event(event) for event in events]) + encoder.close()
        again = events_of(data, [])
        if exchange["id"] == FAILED:
            assert isinstance(again[-1], Failed)
            continue
        if exchange["id"] not in (FOUR_IN_ONE, PARAGRAPHS):
            assert kinds(data) == kinds(exchange["response"]["sse_raw"].encode()), exchange["id"]
        first, second = fold(events, DIALECT.name), fold(again, DIALECT.name)
        assert essence(second.choices[0]) == essence(first.choices[0]), exchange["id"]
        assert second.usage == first.usage
        assert (second.id, second.model, second.created) == (first.id, first.model, first.created)


def kinds(data: bytes) -> Counter[str]:
    """How often each type of event comes; their order may differ, since an item is done when the next begins."""
    return Counter(json.loads(line[6:])["type"] for line in data.decode().split("\n") if line.startswith("data: "))


def essence(choice: Choice) -> Any:
    """A choice without the heads of its items, which an encoder writes in its own way."""
    blocks = [
        replace(block, extra={key: value for key, value in (block.extra or {}).items() if key != "item"})
        if not isinstance(block, Opaque)
        else block
        for block in choice.content
    ]
    return blocks, choice.finish, choice.native_finish, choice.logprobs


def test_errors_are_classified(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for exchange in exchanges():
        reply = exchange["response"]
        if reply["status"] >= 400:
            error = DIALECT.parse_error(reply["status"], reply["headers"], encode(reply["body"]))
            assert error.message == reply["body"]["error"]["message"]
            counts[error.kind.value] += 1
    show(capsys, counts)
    assert counts == {"auth": 3, "not_found": 4, "bad_request": 2, "quota": 1}
