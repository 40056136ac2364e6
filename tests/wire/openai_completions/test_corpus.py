"""Recorded text completions of OpenAI and Together: read as they were, and written back equal."""

from __future__ import annotations

import json
import os
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from headgate.dialects.openai_completions import DIALECT
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.events import StreamEvent
from headgate.domain.fold import fold
from headgate.domain.response import Finish, Response
from headgate.errors import ErrorKind
from headgate.wire.json import decode, encode

CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).parents[3].parent / "shared" / "corpus"))

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not (CORPUS / "manifest.jsonl").is_file(), reason=f"no recorded traffic at {CORPUS}"),
]

Exchange = dict[str, Any]
WORDS = {"stop": Finish.STOP, "length": Finish.LENGTH, "eos": Finish.STOP}


@cache
def exchanges() -> tuple[Exchange, ...]:
    rows = [json.loads(line) for line in (CORPUS / "manifest.jsonl").read_text().splitlines()]
    wanted = [row["file"] for row in rows if row["surface"] == "completions" and row["provider"] in ("openai", "together")]
    return tuple(json.loads((CORPUS / file).read_text()) for file in wanted)


def streams() -> list[Exchange]:
    return [e for e in exchanges() if "sse_raw" in e["response"]]


def bodies() -> list[Exchange]:
    return [e for e in exchanges() if "body" in e["response"] and e["response"]["status"] < 400]


def requests() -> list[Any]:
    return [e["request"]["body"] for e in exchanges() if e["request"] and e["request"].get("body") is not None]


def refusals() -> list[Exchange]:
    return [e for e in exchanges() if e["response"]["status"] >= 400]


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


def check(answer: Response, texts: dict[int, str], words: dict[int, Any], usage: Any) -> None:
    assert {choice.index: choice.text for choice in answer.choices} == texts
    assert {choice.index: choice.finish for choice in answer.choices} == {index: WORDS[word] for index, word in words.items()}
    counts = None if answer.usage is None else (answer.usage.input_total, answer.usage.output_total)
    assert counts == (None if usage is None else (usage["prompt_tokens"], usage["completion_tokens"]))


def test_counts() -> None:
    assert (len(requests()), len(bodies()), len(streams()), len(refusals())) == (11, 8, 3, 2)


def test_every_request_goes_back_equal() -> None:
    for body in requests():
        rendered = DIALECT.render_request(DIALECT.parse_request(encode(body), "/completions"), ANY_MODEL)
        assert decode(encode(rendered.payload)) == body
        assert (rendered.path, rendered.notes) == ("/completions", ())


def test_every_answer_is_read_and_goes_back_equal() -> None:
    for exchange in bodies():
        body = exchange["response"]["body"]
        answer = DIALECT.parse_response(encode(body))
        items = body["choices"]
        check(answer, {c["index"]: c["text"] for c in items}, {c["index"]: c["finish_reason"] for c in items}, body.get("usage"))
        assert decode(DIALECT.render_response(answer)) == body, exchange["id"]


def test_every_stream_is_read_whatever_the_split() -> None:
    for exchange in streams():
        data = exchange["response"]["sse_raw"].encode()
        whole = events_of(data, [])
        texts: dict[int, str] = {}
        words: dict[int, Any] = {}
        usage = None
        for event in exchange["response"]["sse"]:
            if event["data"] == "[DONE]":
                continue
            chunk = json.loads(event["data"])
            usage = chunk.get("usage") or usage
            for choice in chunk["choices"]:
                texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
                words[choice["index"]] = choice["finish_reason"]
        check(fold(whole, DIALECT.name), texts, words, usage)
        places = random.Random(exchange["id"])
        for _ in range(8):
            assert events_of(data, sorted(places.sample(range(1, len(data)), 8))) == whole, exchange["id"]
        if len(data) < 4096:
            assert events_of(data, list(range(1, len(data)))) == whole
            for cut in range(1, len(data)):
                assert events_of(data, [cut]) == whole


def test_every_error_is_classified() -> None:
    for exchange in refusals():
        reply = exchange["response"]
        error = DIALECT.parse_error(reply["status"], reply["headers"], encode(reply["body"]))
        assert error.kind is ErrorKind.BAD_REQUEST
        assert error.param == reply["body"]["error"]["param"]
        assert error.message == reply["body"]["error"]["message"]
