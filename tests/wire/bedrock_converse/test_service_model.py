"""What the dialect writes, held against AWS's own description of the service: types, required keys, enumerations, patterns and lengths."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.dialects.base import RenderedRequest, StreamContext
from headgate.dialects.bedrock_converse import DIALECT
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.domain.content import Cache, Media, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.domain.events import Failed, StreamEvent
from headgate.domain.fold import fold
from headgate.domain.request import Message, Reasoning, Request, ToolChoice, user_message
from headgate.domain.response import Choice, Finish, Response
from headgate.errors import ErrorKind, ProviderError
from headgate.testing import samples
from headgate.wire.eventstream import FrameDecoder
from headgate.wire.json import decode, encode

loaders = pytest.importorskip("botocore.loaders")
models = pytest.importorskip("botocore.model")
validate = pytest.importorskip("botocore.validate")
parsers = pytest.importorskip("botocore.parsers")
eventstream = pytest.importorskip("botocore.eventstream")

CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).parents[3].parent / "shared" / "corpus"))


@cache
def service() -> Any:
    return models.ServiceModel(loaders.Loader().load_service_model("bedrock-runtime", "service-2"), "bedrock-runtime")


def with_blobs(shape: Any, value: Any) -> Any:
    """A JSON value with base64 decoded where the service has bytes."""
    if shape.type_name == "blob":
        return base64.b64decode(value, validate=True)
    if shape.type_name == "list":
        return [with_blobs(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {key: with_blobs(shape.value, item) for key, item in value.items()}
    if shape.type_name == "structure" and not shape.is_document_type:
        return {key: with_blobs(shape.members[key], item) if key in shape.members else item for key, item in value.items()}
    return value


def broken(shape: Any, value: Any, path: str) -> Iterator[str]:
    """Enumerations, patterns, lengths and unions, which botocore itself does not check."""
    facts = shape.metadata
    if shape.type_name == "string":
        if facts.get("enum") and value not in facts["enum"]:
            yield f"{path}: {value!r} is none of {facts['enum']}"
        if facts.get("pattern") and not re.fullmatch(facts["pattern"], value):
            yield f"{path}: {value!r} does not match"
    if shape.type_name in ("string", "list", "map") and not facts.get("min", 0) <= len(value) <= facts.get("max", 1 << 30):
        yield f"{path}: length {len(value)}"
    if shape.type_name == "list":
        for place, item in enumerate(value):
            yield from broken(shape.member, item, f"{path}[{place}]")
    elif shape.type_name == "structure" and not shape.is_document_type:
        if getattr(shape, "is_tagged_union", False) and len(value) != 1:
            yield f"{path}: a union has one key, not {sorted(value)}"
        for key, item in value.items():
            if key not in shape.members:
                yield f"{path}.{key}: unknown"
            else:
                yield from broken(shape.members[key], item, f"{path}.{key}")


def complaints(rendered: RenderedRequest, model: str) -> list[str]:
    """What AWS's description finds wrong with a request."""
    operation = "ConverseStream" if rendered.path.endswith("stream") else "Converse"
    shape = service().operation_model(operation).input_shape
    given_value = with_blobs(shape, {"modelId": model, **decode(encode(rendered.payload))})
    report = validate.ParamValidator().validate(given_value, shape)
    return [*([report.generate_report()] if report.has_errors() else []), *broken(shape, given_value, "")]


CARDS = {
    "any": ANY_MODEL,
    "budget": Capabilities(reasoning="budget", max_output=8000),
    "adaptive": Capabilities(reasoning="adaptive", audio=True),
    "level": Capabilities(reasoning="level", structured_output="tool", system_anywhere=True),
}
DOCUMENTS = Request(
    model="us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    messages=(
        Message("system", (Text("Be brief.", Cache("1h")),)),
        Message(
            "user",
            (
                Text("Read these.", Cache()),
                Media("document", "application/pdf", data="JVBERi0=", name="über/plan  2.pdf"),
                Media("document", "text/plain; charset=utf-8", data="aGk="),
                Media("document", text="words"),
                Media("image", "image/jpg", data="/9j/"),
                Media("image", url="s3://bucket/picture.png", mime="image/png"),
                Media("video", "video/mp4", data="AAAA"),
            ),
        ),
        Message("assistant", (Thinking("hm", "sig"), Thinking(redacted="not base64!"), ToolCall("call:é/1", "look", "{}"))),
        Message("tool", (ToolResult("call:é/1", (Text("seen"), Media("image", "image/png", data=samples.PIXEL)), is_error=True),)),
        Message("assistant", (Refusal("I will not."),)),
        user_message("Go on."),
    ),
    tools=(samples.WEATHER,),
    metadata={"team": "blue", "odd": "a|b"},
    service_tier="priority",
    stream=True,
    top_k=3,
)
REQUESTS = {
    **samples.REQUESTS,
    "documents": DOCUMENTS,
    "any": Request(model="m", messages=samples.TOOLS.messages, tools=samples.TOOLS.tools, tool_choice=ToolChoice("required")),
    "effort": Request(model="us.amazon.nova-2-lite-v1:0", messages=(user_message("hi"),), max_tokens=4000, reasoning=Reasoning("high")),
}


@pytest.mark.parametrize("card", sorted(CARDS))
@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_requests_are_what_the_service_takes(name: str, card: str) -> None:
    request = REQUESTS[name]
    rendered = DIALECT.render_request(request, CARDS[card])
    assert complaints(rendered, request.model) == []


def recorded() -> list[dict[str, Any]]:
    found = sorted((CORPUS / "core" / "bedrock").glob("converse*/*.json"))
    return [json.loads(path.read_text()) for path in found]


@pytest.mark.corpus
@pytest.mark.skipif(not (CORPUS / "manifest.jsonl").is_file(), reason=f"no recorded traffic at {CORPUS}")
def test_recorded_requests_are_what_the_service_takes_whoever_brings_them() -> None:
    """As they came, and as if another wire had brought the same talks: every repair and every rearrangement is legal."""
    count = 0
    for exchange in recorded():
        sent = exchange.get("request") or {}
        if not isinstance(sent.get("body"), dict) or "b64-cut" in exchange["features"]:
            continue
        request = DIALECT.parse_request(encode(sent["body"]), sent["path"])
        own = DIALECT.render_request(request, ANY_MODEL)
        assert complaints(own, request.model) == [], exchange["id"]
        count += 1
        foreign = DIALECT.render_request(msgspec.structs.replace(request, dialect="openai_chat"), ANY_MODEL)
        assert complaints(foreign, request.model) == [], exchange["id"]
    assert count == 107


class Chunks:
    """A stream of bytes as botocore reads it."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def stream(self) -> Iterator[bytes]:
        yield from (self.data[place : place + 7] for place in range(0, len(self.data), 7))


def read_officially(data: bytes) -> list[dict[str, Any]]:
    """The events botocore finds."""
    shape = service().operation_model("ConverseStream").output_shape.members["stream"]
    parser = parsers.create_parser("rest-json")
    return list(eventstream_of(data, shape, parser))


def eventstream_of(data: bytes, shape: Any, parser: Any) -> Any:
    return eventstream.EventStream(Chunks(data), shape, parser._event_stream_parser, "ConverseStream")


def encoded(events: list[StreamEvent]) -> bytes:
    encoder = DIALECT.stream_encoder(StreamContext("m", "id", 0))
    return b"".join(encoder.render_event(event) for event in events) + encoder.close()


answers = st.sampled_from([samples.ANSWERS[name] for name in sorted(samples.ANSWERS)])


@given(answers)
@settings(deadline=None)
def test_the_official_client_reads_the_streams(answer: Response) -> None:
    events = samples.events_of(answer)
    text, calls, usage, stop = "", dict[int, list[str]](), None, None
    for event in read_officially(encoded(events)):
        ((kind, said),) = event.items()
        if kind == "contentBlockStart":
            calls[said["contentBlockIndex"]] = [said["start"]["toolUse"]["name"], ""]
        elif kind == "contentBlockDelta":
            text += said["delta"].get("text", "")
            if "toolUse" in said["delta"]:
                calls[said["contentBlockIndex"]][1] += said["delta"]["toolUse"]["input"]
        elif kind == "messageStop":
            stop = said["stopReason"]
        elif kind == "metadata":
            usage = said["usage"]
    whole = fold(events)
    assert text == whole.text
    assert [(name, json.loads(words)) for name, words in calls.values()] == [
        (c.name, decode(c.arguments or "{}")) for c in whole.tool_calls
    ]
    assert stop and usage and usage["totalTokens"] == samples.USAGE.total


@pytest.mark.parametrize("name", ["events", *sorted(samples.ANSWERS)])
def test_events_are_what_the_service_sends(name: str) -> None:
    events = list(samples.EVENTS) if name == "events" else samples.events_of(samples.ANSWERS[name])
    for frame in FrameDecoder().feed(encoded(events)):
        shape = service().operation_model("ConverseStream").output_shape.members["stream"].members[frame.text(":event-type")]
        found = with_blobs(shape, decode(frame.payload))
        report = validate.ParamValidator().validate(found, shape)
        assert not report.has_errors(), report.generate_report()
        assert list(broken(shape, found, "")) == []


def test_the_official_client_reads_a_failure() -> None:
    with pytest.raises(Exception, match="throttlingException") as caught:
        read_officially(encoded([Failed(ProviderError(ErrorKind.RATE_LIMIT, "slow down"))]))
    assert type(caught.value).__name__ == "EventStreamError" and "slow down" in str(caught.value)


@pytest.mark.parametrize("name", sorted(samples.ANSWERS))
def test_whole_answers_are_what_the_service_gives(name: str) -> None:
    shape = service().operation_model("Converse").output_shape
    wire = decode(DIALECT.render_response(samples.ANSWERS[name]))
    found = with_blobs(shape, wire)
    report = validate.ParamValidator().validate(found, shape)
    assert not report.has_errors(), report.generate_report()
    assert list(broken(shape, found, "")) == []


@pytest.mark.parametrize("finish", [word for word in Finish if word is not Finish.ERROR])
def test_every_finish_has_a_word_of_the_service(finish: Finish) -> None:
    wire = decode(DIALECT.render_response(Response(choices=(Choice(0, (Text("a"),), finish),))))
    assert wire["stopReason"] in service().shape_for("StopReason").enum
