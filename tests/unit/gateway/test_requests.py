"""What is sent upstream, and what is refused before anything is."""

from __future__ import annotations

import json
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.dialects.base import Note
from headgate.errors import ConfigError, Unsupported
from headgate.gateway.asking import DESTINATIONS, Job, read_ask
from headgate.gateway.passthrough import outgoing
from headgate.gateway.stamps import LONGEST, fidelity
from headgate.gateway.surfaces import ANTHROPIC, OPENAI
from headgate.gateway.upstream import returned_headers
from headgate.serving.envelopes import Refused, Surface
from headgate.serving.metering import Call, Tab
from headgate.serving.request import Request
from headgate.testing.gateway import Rig, sim_resolver
from headgate.testing.raw_http import RawWire, request_bytes
from headgate.wire.http import Headers
from headgate.wire.json import Json, JsonObject

ASKED = Request(method="POST", path="/v1/x")


def job(body: bytes, surface: Surface = OPENAI, headers: Headers = (), query: str = "") -> Job:
    ask = read_ask(body, ASKED)
    target = sim_resolver("http://127.0.0.1:1")(ask.model)
    call = Call(id="r1", at=0.0, clock=0.0, face="gateway", target=target)
    request = Request(method="POST", path="/v1/x", headers=headers, query=query)
    assert surface.dialect is not None
    visit = SimpleNamespace(target=target, errand=SimpleNamespace(id="r1", degraded=False))
    return Job(None, surface, surface.dialect, request, ask, visit, Tab(call))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda key: key not in ("model", "stream", "n", "stream_options", *DESTINATIONS)), VALUES
    )
)
def test_every_other_field_keeps_its_bytes(fields: JsonObject) -> None:
    body = json.dumps({"model": "sim-openai/sim-small", **fields}, indent=1).encode()
    sent = outgoing(job(body)).send.body
    assert json.loads(sent) == {"model": "sim-small", **fields}
    for value in fields.values():
        assert json.dumps(value, indent=1).encode().split(b"\n")[0] in sent


def test_numbers_and_order_are_not_touched() -> None:
    body = b'{"temperature":1.0000000000000000001, "seed":1e400, "model":"sim-openai/sim-small","messages":[ {"a" : "\\u00e4"} ]}'
    sent = outgoing(job(body)).send.body
    assert sent == b'{"temperature":1.0000000000000000001,"seed":1e400,"model":"sim-small","messages":[ {"a" : "\\u00e4"} ]}'


@pytest.mark.parametrize(
    ("options", "sent", "added"),
    [
        (None, {"include_usage": True}, True),
        ({}, {"include_usage": True}, True),
        ({"include_usage": False, "x": 1}, {"include_usage": True, "x": 1}, True),
        ({"include_usage": True}, {"include_usage": True}, False),
    ],
)
def test_usage_is_asked_for(options: Json, sent: Json, added: bool) -> None:
    body = {"model": "sim-openai/sim-small", "stream": True, **({} if options is None else {"stream_options": options})}
    call = outgoing(job(json.dumps(body).encode()))
    assert json.loads(call.send.body)["stream_options"] == sent
    assert call.usage_added is added


def test_usage_is_not_asked_for_without_a_stream() -> None:
    assert b"stream_options" not in outgoing(job(b'{"model":"sim-openai/sim-small"}')).send.body


def test_duplicate_keys_are_decided_here() -> None:
    body = b'{"model":"sim-openai/sim-large","model":"sim-openai/sim-small"}'
    assert outgoing(job(body)).send.body == b'{"model":"sim-small"}'


def test_headers_that_cross() -> None:
    headers = (
        ("anthropic-version", "2024-01-01"),
        ("anthropic-beta", "a-1"),
        ("anthropic-beta", "b-2"),
        ("x-api-key", "hg-secret-of-the-gateway"),
        ("authorization", "Bearer hg-secret-of-the-gateway"),
        ("cookie", "a=b"),
        ("host", "evil.example"),
    )
    call = outgoing(job(b'{"model":"sim-anthropic/sim-small"}', ANTHROPIC, headers, "beta=true&key=x"))
    sent = dict(call.headers)
    assert len(sent) == len(call.headers)
    assert (sent["anthropic-version"], sent["anthropic-beta"]) == ("2024-01-01", "a-1, b-2")
    assert sent["x-api-key"] == "sim-headgate"
    assert set(sent) == {"anthropic-version", "anthropic-beta", "x-api-key", "x-client-request-id"}
    assert call.send.path == "/v1/messages?beta=true"


def test_headers_that_come_back() -> None:
    upstream = {
        "content-type": "application/json",
        "retry-after": "3",
        "x-ratelimit-remaining-requests": "7",
        "anthropic-ratelimit-tokens-reset": "soon",
        "set-cookie": "a=b",
        "server": "cloudflare",
        "connection": "keep-alive",
        "content-length": "3",
        "transfer-encoding": "chunked",
        "openai-organization": "org-1",
    }
    assert dict(returned_headers(upstream)) == {
        "content-type": "application/json",
        "retry-after": "3",
        "x-upstream-x-ratelimit-remaining-requests": "7",
        "x-upstream-anthropic-ratelimit-tokens-reset": "soon",
    }


def test_choices_of_a_model_that_gives_one() -> None:
    asked = job(b'{"model":"sim-openai/sim-small","n":2}')
    card = asked.target.card
    assert card is not None
    single = msgspec.structs.replace(card, capabilities=msgspec.structs.replace(card.capabilities, choices=False))
    with pytest.raises(Unsupported) as caught:
        asked.visit.target = msgspec.structs.replace(asked.target, card=single)
        outgoing(asked)
    assert caught.value.param == "n"


BAD: dict[str, tuple[bytes, str | None]] = {
    "empty": (b"", None),
    "no JSON": (b"{", None),
    "a list": (b"[]", None),
    "text": (b'"x"', None),
    "deep": (b'{"model":' + b"[" * 100_000, None),
    "trailing": (b'{"model":"m"} x', None),
    "not UTF-8": (b'{"model":"\xff"}', None),
    "no model": (b"{}", "model"),
    "model null": (b'{"model":null}', "model"),
    "model a number": (b'{"model":3}', "model"),
    "model a list": (b'{"model":["a"]}', "model"),
    "stream a text": (b'{"model":"m","stream":"yes"}', "stream"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bodies_that_are_refused(name: str) -> None:
    body, param = BAD[name]
    with pytest.raises(Refused) as caught:
        read_ask(body, ASKED)
    assert caught.value.status == 400
    assert caught.value.param == param or (name == "not UTF-8" and caught.value.param in (None, "model"))


PLACES: dict[str, tuple[str, JsonObject, str]] = {
    "openai messages": ("/v1/chat/completions", {"model": "sim-anthropic/sim-small", "messages": "hi"}, "messages"),
    "openai role": ("/v1/chat/completions", {"model": "sim-gemini/sim-small", "messages": [{"role": 1, "content": "x"}]}, "messages[0]"),
    "openai temperature": ("/v1/chat/completions", {"model": "sim-gemini/sim-small", "messages": [], "temperature": "hot"}, "temperature"),
    "openai stream options": (
        "/v1/chat/completions",
        {"model": "sim-openai/sim-small", "stream": True, "stream_options": 3},
        "stream_options",
    ),
    "openai n": ("/v1/chat/completions", {"model": "sim-openai/sim-small", "n": "two"}, "n"),
    "anthropic messages": ("/v1/messages", {"model": "sim-openai/sim-small", "max_tokens": 5, "messages": {}}, "messages"),
    "anthropic content": (
        "/v1/messages",
        {"model": "sim-gemini/sim-small", "max_tokens": 5, "messages": [{"role": "user", "content": 5}]},
        "messages[0]",
    ),
}


@pytest.mark.parametrize("name", sorted(PLACES))
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_malformed_requests_name_the_place(rig: Rig, name: str, stream: bool) -> None:
    path, body, place = PLACES[name]
    before = len(rig.sim.requests)
    with RawWire(int(rig.url.rpartition(":")[2])) as wire:
        wire.send(request_bytes("POST", path, json.dumps({"stream": stream, **body}).encode(), key=rig.key))
        reply = wire.reply()
    assert reply.status == 400
    error = json.loads(reply.body)["error"]
    assert error["type"] == "invalid_request_error"
    assert place in (error.get("param") or error["message"])
    assert len(rig.sim.requests) == before


def test_strict_in_both_shapes(rig: Rig) -> None:
    body = {"model": "sim-anthropic/sim-small", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}], "logit_bias": {"1": 1}}
    for stream in (False, True):
        with RawWire(int(rig.url.rpartition(":")[2])) as wire:
            data = json.dumps({**body, "stream": stream}).encode()
            wire.send(request_bytes("POST", "/v1/chat/completions", data, key=rig.key, x_headgate_strict="true"))
            reply = wire.reply()
        error = json.loads(reply.body)["error"]
        assert (reply.status, error["code"], error["param"]) == (400, "unsupported_parameter", "logit_bias")
        assert reply.headers["x-headgate-fidelity"] == "dropped:logit_bias"


def test_fidelity_is_a_header_whatever_the_fields_are_called() -> None:
    notes = [Note("a\r\nset-cookie: x=1, b", "dropped", ""), Note("ä", "approximated", ""), Note("a.b[0]", "dropped", "")]
    assert fidelity(notes) == "dropped:a??set-cookie:?x=1??b, approximated:?, dropped:a.b[0]"
    assert len(fidelity(Note("x" * 50 + str(i), "dropped", "") for i in range(1000))) <= LONGEST + 5


def test_a_model_name_is_bounded() -> None:
    with pytest.raises(ConfigError) as caught:
        read_ask(b'{"model":"' + b"m" * 600 + b'"}', ASKED)
    assert len(caught.value.message) < 200


MANY = "&".join("abcdefghij" * 7)
CHAT = ("/v1/chat/completions", "/v1beta/models/sim-gemini/sim-small:generateContent")


@pytest.mark.parametrize(
    ("target", "code"),
    [
        *((f"{path}?{name}=http://127.0.0.1:9", "destination_not_accepted") for path in CHAT for name in DESTINATIONS),
        *((f"{path}?{MANY}", "invalid_parameter") for path in (*CHAT, "/v1/route/explain")),
    ],
)
def test_queries_that_are_refused(rig: Rig, target: str, code: str) -> None:
    body = json.dumps({"model": "sim-openai/sim-small", "messages": []}).encode()
    before = len(rig.sim.requests)
    with RawWire(int(rig.url.rpartition(":")[2])) as wire:
        wire.send(request_bytes("POST", target, body, key=rig.key))
        reply = wire.reply()
    assert (reply.status, len(rig.sim.requests)) == (400, before)
    assert code in reply.body.decode().lower()
