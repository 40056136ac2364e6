"""Recorded Gemini traffic: every request comes back equal, every answer and stream says what the oracle says, however it is cut."""

from __future__ import annotations

import importlib.util
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.dialects.base import StreamContext
from headgate.dialects.gemini_generate import DIALECT
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.events import StreamEvent, UsageSeen
from headgate.domain.fold import fold
from headgate.domain.response import Response
from headgate.domain.usage import BUCKETS
from headgate.wire.json import Json, JsonObject, decode, encode

pytestmark = pytest.mark.corpus

CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).resolve().parents[4] / "shared" / "corpus"))
SURFACES = ("generateContent", "streamGenerateContent")
FINISH = {"stop": "stop", "length": "length", "tool_calls": "tool", "content_filter": "filter"}
ORACLE_BLIND = {"e916a43e95dca3": "the oracle does not join function calls that come in pieces (partialArgs)"}


def exchanges() -> Iterator[JsonObject]:
    """Every recorded exchange of the two chat surfaces."""
    if not CORPUS.is_dir():
        pytest.skip(f"no recorded traffic at {CORPUS}: set HEADGATE_CORPUS")
    for surface in SURFACES:
        for file in sorted((CORPUS / "core" / "gemini" / surface).glob("*.json")):
            yield json.loads(file.read_text(encoding="utf-8"))


def answers() -> Iterator[tuple[JsonObject, bytes, bool]]:
    """(exchange, response bytes, whether they are a stream) of the answers that are no errors."""
    for exchange in exchanges():
        response = exchange["response"]
        if response["status"] >= 400:
            continue
        if "sse_raw" in response:
            yield exchange, response["sse_raw"].encode(), True
        else:
            yield exchange, json.dumps(response["body"]).encode(), isinstance(response["body"], list)


def decoded(data: bytes, cuts: list[int] | None = None) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    events: list[StreamEvent] = []
    start = 0
    for cut in [*(cuts or []), len(data)]:
        events += decoder.feed(data[start:cut])
        start = cut
    return events + decoder.close()


@pytest.fixture(scope="module")
def oracle() -> Callable[[JsonObject], JsonObject | None]:
    file = CORPUS.parent / "tools" / "neutral.py"
    if not file.is_file():
        pytest.skip(f"no oracle at {file}")
    spec = importlib.util.spec_from_file_location("neutral", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    summary: Callable[[JsonObject], JsonObject | None] = module.summary
    return summary


def path_of(request: JsonObject) -> str:
    query = "&".join(f"{name}={value}" for name, value in request.get("query") or [])
    return f"{request['path']}?{query}" if query else str(request["path"])


def test_every_request_comes_back_equal(capsys: pytest.CaptureFixture[str]) -> None:
    seen = 0
    for exchange in exchanges():
        recorded = exchange["request"]
        if recorded is None or recorded.get("body") is None:
            continue
        request = DIALECT.parse_request(json.dumps(recorded["body"]).encode(), path_of(recorded))
        rendered = DIALECT.render_request(request, ANY_MODEL)
        assert decode(encode(rendered.payload)) == recorded["body"], exchange["id"]
        assert rendered.path == path_of(recorded), exchange["id"]
        assert rendered.notes == (), exchange["id"]
        seen += 1
    assert seen >= 216
    with capsys.disabled():
        print(f"\ngemini requests: {seen} rendered back equal")


def neutral(response: Response) -> JsonObject:
    """The fields of the oracle. Its input count leaves tokens of tool results out, which case 49 counts."""
    usage = response.usage
    tool_use = (usage.native or {}).get("toolUsePromptTokenCount", 0) if usage else 0
    return {
        "text": response.text,
        "tool_calls": [(call.name, json.loads(call.arguments or "{}")) for call in response.tool_calls],
        "finish": FINISH.get(str(response.finish)),
        "in_tokens": usage.input_total - tool_use if usage else None,
        "out_tokens": usage.output_total if usage else None,
    }


def test_every_answer_says_what_the_oracle_says(
    oracle: Callable[[JsonObject], JsonObject | None], capsys: pytest.CaptureFixture[str]
) -> None:
    counts: Counter[str] = Counter()
    for exchange, data, streamed in answers():
        response = fold(decoded(data), DIALECT.name) if streamed else DIALECT.parse_response(data)
        expected = oracle(exchange)
        assert expected is not None, exchange["id"]
        expected = {**expected, "out_tokens": expected["out_tokens"] or 0}
        found = neutral(response)
        skipped = {"tool_calls"} if exchange["id"] in ORACLE_BLIND else set()
        for key in found.keys() - skipped:
            assert found[key] == expected[key], (exchange["id"], key)
        counts[exchange["surface"]] += 1
        counts["excluded"] += len(skipped)
    assert counts["generateContent"] >= 168
    assert counts["streamGenerateContent"] >= 58
    with capsys.disabled():
        for surface in SURFACES:
            print(f"gemini {surface}: {counts[surface]} equal to the oracle")
        print(f"gemini tool calls not compared: {counts['excluded']} ({', '.join(ORACLE_BLIND.values())})")


def test_a_call_in_pieces_is_joined() -> None:
    for exchange, data, _ in answers():
        if exchange["id"] in ORACLE_BLIND:
            (call,) = fold(decoded(data)).tool_calls
            arguments = json.loads(call.arguments)
            assert call.name == "cookRecipe"
            assert arguments["recipe"]["ingredients"][0] == {"amount": "16 oz", "name": "Lasagna noodles"}
            pieces = sum(len(p) for p in _pieces(exchange))
            assert len("".join(_strings(arguments))) == pieces


def _pieces(exchange: JsonObject) -> Iterator[str]:
    for event in exchange["response"]["sse"]:
        for candidate in json.loads(event["data"])["candidates"]:
            for part in candidate["content"]["parts"]:
                for piece in part.get("functionCall", {}).get("partialArgs", []):
                    yield piece["stringValue"]


def _strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def test_every_answer_is_written_back_equal() -> None:
    for exchange, data, streamed in answers():
        if not streamed:
            assert decode(DIALECT.render_response(DIALECT.parse_response(data))) == exchange["response"]["body"], exchange["id"]


def test_streams_cut_anywhere_give_the_same_events(capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(7)
    splits = streams = 0
    for exchange, data, streamed in answers():
        if not streamed:
            continue
        streams += 1
        whole = decoded(data)
        assert decoded(data, list(range(1, len(data)))) == whole, exchange["id"]
        pairs = [[cut] for cut in range(1, len(data))] if len(data) <= 4096 else []
        seeded = [sorted(rng.sample(range(1, len(data)), rng.randint(1, 6))) for _ in range(64)]
        for cuts in pairs + seeded:
            assert decoded(data, cuts) == whole, (exchange["id"], cuts)
            splits += 1
    with capsys.disabled():
        print(f"gemini streams: {streams} byte by byte and at {splits} other splits")


def test_usage_is_never_negative_and_the_last_wins() -> None:
    for exchange, data, streamed in answers():
        if not streamed:
            continue
        events = decoded(data)
        seen = [event.usage for event in events if isinstance(event, UsageSeen)]
        assert all(getattr(usage, name) >= 0 for usage in seen for name in BUCKETS), exchange["id"]
        assert fold(events).usage == seen[-1], exchange["id"]


def test_an_answer_goes_through_the_encoder_and_back() -> None:
    for exchange, data, streamed in answers():
        if not streamed:
            continue
        events = decoded(data)
        encoder = DIALECT.stream_encoder(StreamContext("m", "id", 0))
        wire = b"".join(map(encoder.render_event, events)) + encoder.close()
        assert neutral(fold(decoded(wire))) | {"in_tokens": 0} == neutral(fold(events)) | {"in_tokens": 0}, exchange["id"]
        assert b"\n" not in wire.replace(b"\r\n", b"")


def test_recorded_errors_are_classified() -> None:
    found = {}
    for exchange in exchanges():
        response = exchange["response"]
        if response["status"] >= 400:
            error = DIALECT.parse_error(response["status"], response["headers"], json.dumps(response["body"]).encode())
            found[exchange["id"]] = (error.kind.value, error.code, error.retry_after, error.transient)
    assert found == {
        "078d174c291a4e": ("rate_limit", "RESOURCE_EXHAUSTED", None, True),
        "44d34be2bbf75b": ("rate_limit", "RESOURCE_EXHAUSTED", 48.0, True),
        "a3f5ce2fe81e86": ("auth", "API_KEY_INVALID", None, False),
    }
