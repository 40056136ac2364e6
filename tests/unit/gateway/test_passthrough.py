"""Same dialect on both sides: what goes on and what comes back, byte for byte."""

from __future__ import annotations

import json
import re
from http.client import HTTPConnection
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from headgate.sim.faults import Garbage, Match, Rule, Status
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.testing.clock import START, ManualClock
from headgate.testing.gateway import Rig
from headgate.wire.json import Json

OPENAI = "/v1/chat/completions"
ANTHROPIC = "/v1/messages"
TURNS = [{"role": "user", "content": "Wo ist der Hafen? \u00e4\U0001f600"}]


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def post(url: str, path: str, body: Json, **headers: str) -> Reply:
    """One request, the whole reply."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    try:
        connection.request("POST", path, data, sent)
        reply = connection.getresponse()
        return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
    finally:
        connection.close()


def through(rig: Rig, path: str, body: Json, **headers: str) -> Reply:
    return post(rig.url, path, body, x_api_key=rig.key, **headers)


def direct(path: str, body: Json, faults: tuple[Rule, ...] = ()) -> Reply:
    """What a fresh simulator of the same seed says to the same request."""
    with Simulator(SimSettings(seed=7, faults=faults), clock=ManualClock(START)).run_in_thread() as sim:
        prefix = {OPENAI: "/openai", ANTHROPIC: "/anthropic"}[path]
        return post(sim.url, prefix + path, body, authorization="Bearer sim-key", x_api_key="sim-key", anthropic_version="2023-06-01")


def stable(body: bytes) -> bytes:
    """Without the ids and times that differ between two simulators."""
    return re.sub(rb'("(?:id|created|request_id|system_fingerprint|obfuscation)":)("[^"]*"|\d+)', rb"\1_", body)


WHOLE = {
    "openai": (OPENAI, "sim-openai", {"messages": TURNS, "max_tokens": 60}),
    "anthropic": (ANTHROPIC, "sim-anthropic", {"messages": TURNS, "max_tokens": 60}),
    "openai stream": (OPENAI, "sim-openai", {"messages": TURNS, "stream": True, "stream_options": {"include_usage": True}}),
    "anthropic stream": (ANTHROPIC, "sim-anthropic", {"messages": TURNS, "max_tokens": 60, "stream": True}),
}


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_bytes_come_back_untouched(rig: Rig, name: str) -> None:
    path, provider, body = WHOLE[name]
    ours = through(rig, path, {"model": f"{provider}/sim-small", **body}, anthropic_version="2023-06-01")
    theirs = direct(path, {"model": "sim-small", **body})
    assert ours.status == theirs.status == 200
    assert stable(ours.body) == stable(theirs.body)
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    assert b'"model":"sim-small"' in ours.body.replace(b" ", b"")
    assert ("x-headgate-cost" in ours.headers) is ("stream" not in body)


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}], ids=["absent", "empty", "false"])
def test_only_the_usage_chunk_is_taken_out(rig: Rig, options: Json) -> None:
    body = {"messages": TURNS, "stream": True}
    ours = through(rig, OPENAI, {"model": "sim-openai/sim-small", **body, **({} if options is None else {"stream_options": options})})
    theirs = direct(OPENAI, {"model": "sim-small", **body, "stream_options": {"include_usage": True}})
    events = stable(theirs.body).split(b"\n\n")
    usage = [event for event in events if b'"choices":[]' in event.replace(b" ", b"")]
    assert len(usage) == 1
    assert stable(ours.body) == b"\n\n".join(event for event in events if event not in usage)
    assert rig.ledger.list()[0].usage.source == "provider"


ERRORS = {
    "openai 429": (OPENAI, "sim-openai", Status("rate_limit", retry_after=1)),
    "openai 500": (OPENAI, "sim-openai", Status("server")),
    "anthropic 529": (ANTHROPIC, "sim-anthropic", Status("overloaded")),
    "anthropic 400": (ANTHROPIC, "sim-anthropic", Status("bad_request")),
}


@pytest.mark.parametrize("name", sorted(ERRORS))
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_errors_come_back_untouched(rig: Rig, name: str, stream: bool) -> None:
    path, provider, action = ERRORS[name]
    rules = (Rule(action),)
    rig.sim.set_faults(rules)
    body = {"messages": TURNS, "max_tokens": 60, "stream": stream}
    ours = through(rig, path, {"model": f"{provider}/sim-small", **body})
    theirs = direct(path, {"model": "sim-small", **body}, rules)
    assert ours.status == theirs.status >= 400
    assert stable(ours.body) == stable(theirs.body)
    for header in ("content-type", "retry-after"):
        assert ours.headers.get(header) == theirs.headers.get(header)


def test_a_stream_that_is_answered_with_html(rig: Rig) -> None:
    rig.sim.set_faults((Rule(Garbage(), Match(operation="stream")),))
    reply = through(rig, OPENAI, {"model": "sim-openai/sim-small", "messages": TURNS, "stream": True})
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (502, "upstream_bad_content")


def test_json_of_an_unknown_kind_is_passed_on(rig: Rig) -> None:
    strange = '{"object": "future.completion", "payload": [1]}'
    rig.sim.set_faults((Rule(Garbage(content_type="application/json", body=strange)),))
    reply = through(rig, OPENAI, {"model": "sim-openai/sim-small", "messages": TURNS})
    rig.run(rig.drain())
    assert (reply.status, reply.body) == (200, strange.encode())
    assert rig.ledger.list()[0].usage.source == "estimated"


def test_an_error_called_success(rig: Rig) -> None:
    body = '{"error": {"message": "try later", "type": "server_error", "code": null}}'
    rig.sim.set_faults((Rule(Garbage(content_type="application/json", body=body)),))
    reply = through(rig, OPENAI, {"model": "sim-openai/sim-small", "messages": TURNS})
    assert reply.status >= 500
    assert "try later" in json.loads(reply.body)["error"]["message"]


def test_a_redirect_is_not_passed_on(rig: Rig) -> None:
    rig.sim.set_faults((Rule(Garbage(status=302, body="moved")),))
    reply = through(rig, OPENAI, {"model": "sim-openai/sim-small", "messages": TURNS})
    assert reply.status >= 500
    assert "location" not in reply.headers


CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "sim-small"}
SAID = json.dumps({**CHUNK, "choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": None}]})
COUNTED = json.dumps({**CHUNK, "choices": [], "usage": {"prompt_tokens": 70, "completion_tokens": 30}})


def streamed(rig: Rig, *events: str, rest: str = "") -> Reply:
    """What becomes of a stream of these events, and `rest` behind them."""
    body = "".join(f"data: {event}\n\n" for event in events) + rest
    rig.sim.set_faults((Rule(Garbage(content_type="text/event-stream", body=body)),))
    reply = through(rig, OPENAI, {"model": "sim-openai/sim-small", "messages": TURNS, "stream": True})
    rig.run(rig.drain())
    return reply


def test_an_error_is_not_glued_to_half_an_event(rig: Rig) -> None:
    reply = streamed(rig, SAID, rest='data: {"id":"c","obj')
    assert b'"obj' + b"data:" not in reply.body
    *_, last = (json.loads(line[6:]) for line in reply.body.splitlines() if line.startswith(b"data: "))
    assert last["error"]["code"] == "upstream_incomplete"


def test_a_last_event_without_its_blank_line_is_passed_on(rig: Rig) -> None:
    reply = streamed(rig, SAID, rest="data: [DONE]")
    assert reply.body == f"data: {SAID}\n\ndata: [DONE]".encode()
    assert rig.ledger.list()[0].status == "ok"


def test_what_cannot_be_read_is_not_free(rig: Rig) -> None:
    reply = streamed(rig, SAID, "{bad", SAID, "[DONE]")
    assert reply.body.count(b"hello") == 2 and reply.body.endswith(b"data: [DONE]\n\n")
    usage = rig.ledger.list()[0].usage
    assert usage.source == "estimated" and usage.output_text > 4


def test_the_count_of_an_answer_is_heard_behind_what_cannot_be_read(rig: Rig) -> None:
    """In a read of its own, which a megabyte before it sees to."""
    padding = f": {'x' * (1 << 19)}\n\n" * 2
    streamed(rig, "{bad", rest=f"{padding}data: {SAID}\n\ndata: {COUNTED}\n\ndata: [DONE]\n\n")
    receipt = rig.ledger.list()[0]
    assert (receipt.usage.source, receipt.usage.input_total, receipt.usage.output_total) == ("provider", 70, 30)


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize("provider", ["sim-openai", "sim-anthropic"])
def test_a_key_that_a_provider_quotes_is_masked(rig: Rig, provider: str, path: str, status: int) -> None:
    body = '{"error": {"message": "wrong key sim-headgate", "type": "invalid_request_error"}}'
    rig.sim.set_faults((Rule(Garbage(status=status, content_type="application/json", body=body)),))
    reply = through(rig, path, {"model": f"{provider}/sim-small", "messages": TURNS, "max_tokens": 9})
    assert reply.status == {400: 400, 401: 502}[status]
    assert b"wrong key" in reply.body and b"sim-headgate" not in reply.body
