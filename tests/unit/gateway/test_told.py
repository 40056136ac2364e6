"""What is told beside an answer: ids, limits, traces, counts; and who is turned away when there is too much (faults C18, J6)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest

from headgate.config.route_settings import DeploymentSettings, RouteSettings
from headgate.gateway.errand import hear
from headgate.ledger.keys import KeyChange, LimitsChange
from headgate.ledger.limits import Limit
from headgate.ledger.overload import Overload
from headgate.ledger.rights import ADMIN
from headgate.sim.faults import Delay, Match, Rule, Status
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import Gate, Rig, running_gateway
from headgate.testing.raw_http import RawWire
from headgate.wire.json import Json, JsonObject

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
GEMINI = "/v1beta/models/sim-gemini/sim-small:generateContent"
TURN: JsonObject = {"contents": [{"role": "user", "parts": [{"text": "Hello."}]}], "generationConfig": {"maxOutputTokens": 40}}
ROUTE = RouteSettings(
    name="two",
    deployments=(DeploymentSettings(model="sim-openai/sim-small"),),
    fallback=("sim-anthropic/sim-small",),
)
FULL = Limit(subject="deployment:sim-groq/sim-small", rpm=0)
BLOCKED = RouteSettings(name="blocked", deployments=(DeploymentSettings(model="sim-openai/sim-small"),), fallback=("sim-groq/sim-small",))


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Rig]:
    gate = Gate(routes=(ROUTE, BLOCKED), limits=(FULL,))
    with running_gateway(tmp_path, settings=SimSettings(seed=7), gate=gate) as running:
        yield running


def asked(model: str = "sim-openai/sim-small", **more: Json) -> JsonObject:
    return {"model": model, "max_tokens": 40, "messages": [{"role": "user", "content": "Hello."}], **more}


def call(gate: Rig, method: str, path: str, body: Json = None, key: str | None = None, **headers: str) -> Reply:
    connection = HTTPConnection(gate.url.removeprefix("http://"), timeout=20)
    sent = {"content-type": "application/json", "x-api-key": gate.key if key is None else key}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        reply = connection.getresponse()
        return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
    finally:
        connection.close()


def counted(gate: Rig, family: str) -> dict[str, float]:
    return {label: number for name, label, number in gate.counters.snapshot(0.0).events if name == family}


# Ids


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", CHAT, asked(), 200),
        ("POST", CHAT, asked(stream=True), 200),
        ("POST", CHAT, asked("sim-anthropic/sim-small"), 200),
        ("POST", MESSAGES, asked("sim-anthropic/sim-small"), 200),
        ("POST", GEMINI, TURN, 200),
        ("POST", CHAT, asked("nothing"), 404),
        ("POST", CHAT, [], 400),
        ("GET", "/v1/models", None, 200),
        ("GET", "/nothing", None, 404),
        ("DELETE", CHAT, None, 405),
        ("GET", "/healthz", None, 200),
    ],
)
def test_every_answer_has_one_request_id(gate: Rig, method: str, path: str, body: Json, status: int) -> None:
    reply = call(gate, method, path, body)
    assert reply.status == status
    assert reply.headers["x-request-id"]


def test_a_wrong_key_and_a_request_that_is_none_have_ids_too(gate: Rig) -> None:
    refused = call(gate, "POST", MESSAGES, asked(), key="hg-wrong-0123456789abcdef")
    assert refused.status == 401
    assert json.loads(refused.body)["request_id"] == refused.headers["x-request-id"]
    with RawWire(int(gate.url.rpartition(":")[2])) as wire:
        wire.send(b"no request\r\n\r\n")
        assert wire.reply().headers["x-request-id"]


# Limits


@pytest.mark.parametrize(
    ("path", "body", "limit", "remaining"),
    [
        (CHAT, asked(), "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"),
        (CHAT, asked(stream=True), "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"),
        (CHAT, asked("sim-anthropic/sim-small"), "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"),
        (MESSAGES, asked("sim-anthropic/sim-small"), "anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining"),
        (GEMINI, TURN, "x-ratelimit-limit", "x-ratelimit-remaining"),
    ],
)
def test_what_the_key_has_left(gate: Rig, path: str, body: JsonObject, limit: str, remaining: str) -> None:
    key = gate.keys.create(KeyChange(limits=LimitsChange(rpm=2)), ADMIN).secret.reveal()
    first, second, third = (call(gate, "POST", path, body, key) for _ in range(3))
    assert [(reply.status, reply.headers[limit], reply.headers[remaining]) for reply in (first, second, third)] == [
        (200, "2", "1"),
        (200, "2", "0"),
        (429, "2", "0"),
    ]
    assert int(third.headers["retry-after"]) > 0
    assert "ratelimit" not in " ".join(name for name in call(gate, "POST", path, body).headers if not name.startswith("x-upstream-"))


def test_a_provider_that_has_little_left_is_asked_less(gate: Rig) -> None:
    from_provider = {"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "30s"}
    call(gate, "POST", CHAT, asked())
    assert gate.parts is not None
    plan = gate.parts.router.table.find("sim-openai/sim-small").candidates[0].deployment

    async def told() -> int | None:
        assert gate.parts is not None
        now = gate.loop.time()
        hear(gate.parts, plan, from_provider, now)
        room = gate.limiter.headroom(f"deployment:{plan.id}", now).requests
        return None if room is None else room.remaining

    assert gate.run(told()) == 0
    refused = call(gate, "POST", CHAT, asked())
    assert (refused.status, json.loads(refused.body)["error"]["code"]) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_what_a_provider_has_left_is_heard_on_every_way(gate: Rig, monkeypatch: pytest.MonkeyPatch, path: str, stream: bool) -> None:
    heard: list[str] = []
    monkeypatch.setattr(gate.limiter, "heard", lambda subject, quotas, now: heard.append(f"{subject} {[one.remaining for one in quotas]}"))
    assert call(gate, "POST", path, asked("sim-anthropic/sim-small", stream=stream)).status == 200
    gate.run(gate.drain())
    assert gate.parts is not None
    deployment = gate.parts.router.table.find("sim-anthropic/sim-small").candidates[0].deployment
    assert heard == [f"deployment:{deployment.id} [3999]"]


# Traces


@pytest.mark.parametrize("model", ["sim-openai/sim-small", "sim-anthropic/sim-small"])
def test_the_trace_of_a_request_is_passed_on_to_who_makes_spans(gate: Rig, model: str) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    call(gate, "POST", CHAT, asked(model), traceparent=trace)
    call(gate, "POST", CHAT, asked(model))
    gate.receipts(2)
    assert gate.traces == [trace, None]


# Counts


def test_what_went_wrong_is_counted(gate: Rig) -> None:
    call(gate, "GET", "/nothing")
    call(gate, "POST", CHAT, asked("nothing"))
    gate.sim.set_faults((Rule(Status("bad_request"), Match(provider="openai")),))
    assert call(gate, "POST", CHAT, asked()).status == 400
    gate.sim.set_faults((Rule(Status("auth"), Match(provider="openai")),))
    assert call(gate, "POST", CHAT, asked("two")).status == 200
    assert counted(gate, "refused") == {"unknown_url": 1, "model_not_found": 1}
    assert counted(gate, "attempt_failed") == {"bad_request": 1, "auth": 1}
    assert counted(gate, "fallback") == {"auth": 1}


def test_a_fallback_that_is_refused_is_no_defect(gate: Rig) -> None:
    """What follows a failed first visit may raise: that is answered in the surface's envelope, with its own status."""
    gate.sim.set_faults((Rule(Status("auth"), Match(provider="openai")),))
    reply = call(gate, "POST", CHAT, asked("blocked"))
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (429, "rate_limit_exceeded")
    assert counted(gate, "refused") == {"rate_limit_exceeded": 1}


# Too much


@pytest.mark.parametrize("model", ["sim-openai/sim-small", "sim-anthropic/sim-small"])
def test_more_than_may_be_under_way_is_turned_away(gate: Rig, model: str) -> None:
    gate.load.renew(Overload(max_in_flight=1))
    gate.sim.set_faults((Rule(Delay(1.0), Match(first=1)),))
    replies: list[Reply] = []
    thread = threading.Thread(target=lambda: replies.append(call(gate, "POST", CHAT, asked(model))))
    thread.start()
    until(lambda: gate.load.in_flight == 1 and bool(gate.sim.requests))
    refused = call(gate, "POST", CHAT, asked(model))
    assert (refused.status, json.loads(refused.body)["error"]["code"], refused.headers["retry-after"]) == (503, "overloaded", "1")
    assert call(gate, "GET", "/healthz").status == call(gate, "GET", "/v1/models").status == 200
    thread.join()
    assert replies[0].status == 200
    assert call(gate, "POST", CHAT, asked(model)).status == 200
    assert counted(gate, "shed") == {"in_flight": 1}
    until(lambda: gate.load.in_flight == 0)


def until(wanted: Callable[[], bool]) -> None:
    """Look until it is so."""
    for _ in range(10_000_000):
        if wanted():
            return
    raise AssertionError("it did not come about")


# Names


def test_routes_are_listed_as_models(gate: Rig) -> None:
    data = json.loads(call(gate, "GET", "/v1/models").body)["data"]
    assert [one["id"] for one in data if one["owned_by"] == "headgate"] == ["two", "blocked"]
    assert json.loads(call(gate, "GET", "/v1/models/two").body)["id"] == "two"
    barred = gate.keys.create(KeyChange(models=("sim-groq/*",)), ADMIN).secret.reveal()
    assert [one["id"] for one in json.loads(call(gate, "GET", "/v1/models", key=barred).body)["data"]][:2] == [
        "blocked",
        "sim-groq/sim-small",
    ]
    assert call(gate, "GET", "/v1/models/two", key=barred).status == 404
