"""Every fault of the script on every wire."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from http.client import HTTPConnection, IncompleteRead, RemoteDisconnected
from typing import NamedTuple

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from headgate.sim import faults, spoil
from headgate.sim.exchange import Answer
from headgate.sim.faults import Action, CloseAfter, CutStream, Delay, DropReply, Garbage, Huge, Reset, Status, StreamError, Truncate, Twist
from headgate.sim.faults_bytes import Early, Encoded, Events, Headers, Insert, Patch
from headgate.sim.server import Simulator
from headgate.wire.json import Json, encode

Http = Callable[..., Json]
KEYS = {"authorization": "Bearer sim-key", "api-key": "sim-key", "anthropic-version": "2023-06-01", "x-api-key": "sim-key"}
CHAT = {"model": "sim-small", "messages": [{"role": "user", "content": "Tell me about harbours"}]}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "Tell me about harbours"}]}]}
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "Tell me about harbours"}]}]}
INVOKE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 200, "messages": CHAT["messages"]}
VERTEX = "/vertex/v1/projects/p/locations/l/publishers/google/models/sim-flash"
BEDROCK = "/bedrock/model/us.anthropic.claude-v1%3A0"
AZURE = "/azure/openai/deployments/sim-small/chat/completions?api-version=2024-10-21"
OFF, ON = {"stream": False}, {"stream": True}


class Surface(NamedTuple):
    """Where a wire is asked whole and streamed."""

    provider: str
    path: str
    body: Json
    stream_path: str
    stream_body: Json


def plain(provider: str, path: str, body: Json) -> Surface:
    return Surface(provider, path, {**body, **OFF}, path, {**body, **ON})


SURFACES = {
    "openai chat": plain("openai", "/openai/v1/chat/completions", CHAT),
    "openai responses": plain("openai", "/openai/v1/responses", {"model": "sim-small", "input": "Tell me about harbours"}),
    "openai completions": plain("openai", "/openai/v1/completions", {"model": "sim-small", "prompt": "Tell me", "max_tokens": 90}),
    "anthropic": plain("anthropic", "/anthropic/v1/messages", {**CHAT, "max_tokens": 90}),
    "gemini": Surface(
        "gemini",
        "/gemini/v1/models/sim-flash:generateContent",
        CONTENTS,
        "/gemini/v1/models/sim-flash:streamGenerateContent?alt=sse",
        CONTENTS,
    ),
    "groq": plain("groq", "/groq/openai/v1/chat/completions", CHAT),
    "together": plain("together", "/together/v1/chat/completions", CHAT),
    "xai chat": plain("xai", "/xai/v1/chat/completions", CHAT),
    "xai responses": plain("xai", "/xai/v1/responses", {"model": "sim-small", "input": "Tell me about harbours"}),
    "azure": plain("azure", AZURE, CHAT),
    "vertex": Surface("vertex", f"{VERTEX}:generateContent", CONTENTS, f"{VERTEX}:streamGenerateContent?alt=sse", CONTENTS),
    "ollama chat": plain("ollama", "/ollama/api/chat", CHAT),
    "ollama generate": plain("ollama", "/ollama/api/generate", {"model": "sim-small", "prompt": "Tell me about harbours"}),
    "bedrock converse": Surface("bedrock", f"{BEDROCK}/converse", CONVERSE, f"{BEDROCK}/converse-stream", CONVERSE),
    "bedrock invoke": Surface("bedrock", f"{BEDROCK}/invoke", INVOKE, f"{BEDROCK}/invoke-with-response-stream", INVOKE),
}
EVERY = pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)


@EVERY
def test_refusals(sim: Simulator, http: Http, surface: Surface) -> None:
    sim.fail(Status("server", status=599, retry_after=3, message="scripted"), provider=surface.provider)
    for path, body in ((surface.path, surface.body), (surface.stream_path, surface.stream_body)):
        reply = http("POST", path, body, KEYS)
        assert reply.status == 599 and "scripted" in json.dumps(reply.json())
        assert surface.provider in ("gemini", "vertex") or reply.headers["retry-after"] == "3"
    assert len(sim.bill) == 0


@EVERY
@pytest.mark.parametrize(
    ("action", "errors", "billed"),
    [
        (Reset(), (ConnectionResetError,), 0),
        (Reset(after_bytes=30), (ConnectionResetError, IncompleteRead, RemoteDisconnected), 1),
        (DropReply(), (RemoteDisconnected,), 1),
        (Truncate(5), (IncompleteRead,), 1),
    ],
    ids=["reset", "reset in the head", "no reply", "truncated"],
)
def test_broken_connections(
    sim: Simulator, http: Http, surface: Surface, action: Action, errors: tuple[type[Exception], ...], billed: int
) -> None:
    sim.fail(action)
    with pytest.raises(errors):
        http("POST", surface.path, surface.body, KEYS)
    assert len(sim.bill) == billed


@EVERY
def test_cut_streams(sim: Simulator, http: Http, surface: Surface) -> None:
    whole = http("POST", surface.stream_path, surface.stream_body, KEYS)
    sim.fail(CutStream(2), operation="stream")
    with pytest.raises(IncompleteRead) as cut:
        http("POST", surface.stream_path, surface.stream_body, KEYS)
    assert 0 < len(cut.value.partial) < len(whole.body) and len(sim.bill) == 2


@EVERY
def test_errors_in_streams_come_last(sim: Simulator, http: Http, surface: Surface) -> None:
    whole = http("POST", surface.stream_path, surface.stream_body, KEYS)
    sim.fail(StreamError(2, "overloaded"), operation="stream")
    reply = http("POST", surface.stream_path, surface.stream_body, KEYS)
    assert (reply.status, reply.headers["content-type"]) == (200, whole.headers["content-type"])
    tail = reply.body[-2600:].lower()
    assert any(word in tail for word in (b"error", b"exception")) and b"[done]" not in tail
    assert len(reply.body) != len(whole.body) and len(sim.bill) == 2


@EVERY
def test_garbage_and_floods(sim: Simulator, http: Http, surface: Surface) -> None:
    sim.fail(Garbage(), first=1)
    reply = http("POST", surface.path, surface.body, KEYS)
    assert reply.headers["content-type"].startswith("text/html") and b"<html>" in reply.body
    sim.set_faults(())
    sim.fail(Huge(100_000))
    assert len(http("POST", surface.path, surface.body, KEYS).body) == 100_000 and len(sim.bill) == 0


@EVERY
def test_harmless_faults_change_nothing(sim: Simulator, http: Http, surface: Surface) -> None:
    sim.fail(Delay(0.001))
    sim.fail(CloseAfter())
    sim.fail(Headers(add=(("x-script", "1"),)))
    reply = http("POST", surface.path, surface.body, KEYS)
    assert (reply.status, reply.headers["x-script"]) == (200, "1") and reply.json()


@EVERY
@pytest.mark.parametrize("twist", ["empty", "refusal", "length", "fenced", "invalid"])
def test_useless_answers_are_well_formed(sim: Simulator, http: Http, surface: Surface, twist: str) -> None:
    sim.fail(Twist(twist))
    refused = 400 if (surface.provider, twist) == ("azure", "refusal") else 200
    assert http("POST", surface.path, surface.body, KEYS).status == refused
    assert http("POST", surface.stream_path, surface.stream_body, KEYS).status == refused


@EVERY
def test_early_refusals(sim: Simulator, surface: Surface) -> None:
    sim.fail(Early("rate_limit", status=430), provider=surface.provider)
    connection = HTTPConnection("127.0.0.1", sim.port, timeout=20)
    connection.putrequest("POST", surface.path)
    connection.putheader("content-length", "100000")
    connection.endheaders()
    reply = connection.getresponse()
    assert reply.status == 430 and json.loads(reply.read())
    connection.close()


@EVERY
def test_json_is_patched_wherever_it_is(sim: Simulator, http: Http, surface: Surface) -> None:
    sim.fail(Patch("simulated", "yes", add=True))
    assert http("POST", surface.path, surface.body, KEYS).json()["simulated"] == "yes"
    body = http("POST", surface.stream_path, surface.stream_body, KEYS).body
    if surface.provider != "bedrock":
        assert body.count(b'"simulated":"yes"') > 2
        return
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    payloads = [json.loads(event.payload) for event in buffer]
    inner = [json.loads(base64.b64decode(payload["bytes"])) if "bytes" in payload else payload for payload in payloads]
    assert len(inner) > 2 and all(value["simulated"] == "yes" for value in inner)


def answer(value: Json) -> Answer:
    return Answer(body=encode(value))


@pytest.mark.parametrize(
    ("patch", "before", "after"),
    [
        (Patch("a.b", 2), {"a": {"b": 1}}, {"a": {"b": 2}}),
        (Patch("a.*.b", 2), {"a": [{"b": 1}, {}]}, {"a": [{"b": 2}, {}]}),
        (Patch("a.*.b", 2, add=True), {"a": [{"b": 1}, {}]}, {"a": [{"b": 2}, {"b": 2}]}),
        (Patch("a.*", remove=True), {"a": [1, 2, 3]}, {"a": []}),
        (Patch("*", remove=True), {"a": 1, "b": 2}, {}),
        (Patch("a.0", remove=True), {"a": [1, 2]}, {"a": [2]}),
        (Patch("a.7", 1), {"a": [1, 2]}, {"a": [1, 2]}),
        (Patch("a.b.c", 1), {"a": 5}, {"a": 5}),
    ],
)
def test_patches(patch: Patch, before: Json, after: Json) -> None:
    assert json.loads(spoil.patch(answer(before), patch).body) == after


@given(st.binary(max_size=60))
def test_what_is_no_json_is_left_alone(data: bytes) -> None:
    made = spoil.patch(Answer(body=data), Patch("no-such-name", 1)).body
    assert made == data or json.loads(made[made.find(b"{") : made.rfind(b"}") + 1]) is not None


@pytest.mark.parametrize(
    ("action", "made"),
    [
        (Events("drop", 1), "acd"),
        (Events("drop", -2, 2), "ab"),
        (Events("repeat", 0, 2), "ababcd"),
        (Events("swap", 1), "acbd"),
        (Events("swap", 0, 2), "cabd"),
        (Events("swap", -1), "abcd"),
        (Events("drop", 9), "abcd"),
    ],
)
def test_events(action: Events, made: str) -> None:
    assert b"".join(spoil.events(Answer(events=(b"a", b"b", b"c", b"d")), action).events or ()) == made.encode()
    assert spoil.events(Answer(body=b"x"), action).body == b"x"


def test_inserts_need_a_stream() -> None:
    assert spoil.insert(Answer(events=(b"a", b"b")), Insert("x", at=-1, times=2)).events == (b"a", b"xx", b"b")
    assert spoil.insert(Answer(body=b"x"), Insert("y")).body == b"x"


@pytest.mark.parametrize(
    "action",
    [
        {"kind": "raw", "data": "…"},
        {"kind": "insert", "data": "…"},
        {"kind": "edit", "old": "a", "new": "…"},
        {"kind": "headers", "add": [["x-name", "…"]]},
        {"kind": "framing", "how": "loosely"},
    ],
)
def test_texts_of_bytes_have_one_character_for_each(action: Json) -> None:
    with pytest.raises(ValueError, match=r"."):
        faults.parse([{"action": action}])


def test_plain_bodies_may_be_called_plain() -> None:
    assert spoil.encoded(Answer(body=b"x"), Encoded("identity", label="")).headers == ()
