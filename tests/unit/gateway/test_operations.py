"""Liveness, readiness and metrics over HTTP; no secret and no prompt in what they tell."""

from __future__ import annotations

import asyncio
import json
import time
from http.client import HTTPConnection

import pytest
from msgspec.structs import replace

from headgate.config.gate_settings import Metrics
from headgate.gateway.endpoints.health import LIVE, READY
from headgate.gateway.operations import Operations, operations_routes, plain_operations
from headgate.ledger import Receipt
from headgate.ledger.keys import KeyChange
from headgate.ledger.rights import ADMIN
from headgate.observe.counters import Known
from headgate.observe.facts import RequestFacts
from headgate.observe.trace import TraceContext
from headgate.serving.app import App
from headgate.serving.auth import OpenDoor
from headgate.serving.observing import Observer
from headgate.serving.readiness import Readiness
from headgate.serving.request import Request
from headgate.serving.response import Response
from headgate.serving.routes import Routes
from headgate.testing.gateway import Rig


def get(rig: Rig, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    connection = HTTPConnection(rig.url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def scraping(module_rig: Rig) -> str:
    """A key that reads metrics and does nothing else."""
    return module_rig.keys.create(KeyChange(scopes=frozenset({"metrics:read"})), ADMIN).secret.reveal()


@pytest.mark.parametrize("path", LIVE)
def test_liveness_needs_no_key_and_no_host(rig: Rig, path: str) -> None:
    assert get(rig, path, host="anything.example")[0] == 200


@pytest.mark.parametrize("path", READY)
def test_readiness_needs_no_key_and_gives_reasons(rig: Rig, path: str) -> None:
    status, headers, body = get(rig, path, host="anything.example")
    assert (status, json.loads(body)) == (200, {"status": "ready", "checks": {}})
    assert headers["cache-control"] == "no-store"


def test_metrics_need_a_key_with_the_right(rig: Rig, scraping: str) -> None:
    assert get(rig, "/metrics")[0] == 401
    assert get(rig, "/metrics", authorization=f"Bearer {rig.key}")[0] == 403
    status, headers, body = get(rig, "/metrics", authorization=f"Bearer {scraping}")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"# TYPE headgate_requests_total counter\n" in body


@pytest.mark.parametrize(("metrics", "scopes"), [("key", ["metrics:read"]), ("open", [None]), ("none", [])])
def test_who_may_read_metrics(metrics: Metrics, scopes: list[str | None]) -> None:
    operations = replace(plain_operations(), metrics=metrics)
    assert [route.scope for route in operations_routes(operations) if route.path == "/metrics"] == scopes


def test_a_receipt_becomes_counts_and_facts() -> None:
    told: list[RequestFacts] = []
    counters = plain_operations().observer.counters
    counters.know(Known(frozenset({"/v1/messages"}), frozenset({"anthropic"}), frozenset({"claude"})))
    receipt = Receipt(id="01R", at=5.0, face="gateway", provider="anthropic", model="claude", cost_nanos=7, duration=1.5, first_byte=0.2)
    trace = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    Observer(counters, told.append).finished(receipt, "/v1/messages", 200, key_id="k1", cache="miss", trace=trace)
    ((labels, numbers),) = counters.snapshot(0.0).requests
    assert labels == ("/v1/messages", "anthropic", "claude", "200")
    assert numbers[0] == 1
    (facts,) = told
    assert (facts.id, facts.duration, facts.cost_nanos, facts.key_id, facts.trace) == ("01R", 1.5, 7, "k1", trace)


def test_a_process_that_stops_answers_503() -> None:
    """Through the app, without a server."""
    readiness, plain = Readiness(time.monotonic, {}), plain_operations()
    readiness.stop()
    operations = Operations(observer=plain.observer, scraper=plain.scraper, readiness=readiness)
    app = App(Routes(operations_routes(operations)), door=OpenDoor(None), hosts=None)
    answer = asyncio.run(app(Request(method="GET", path="/readyz", headers=(("host", "x"),))))
    assert isinstance(answer, Response)
    assert (answer.status, json.loads(answer.body)) == (503, {"status": "unready", "checks": {"server": "stopping"}})


PROMPT = "canary-prompt-51c2"


def test_no_prompt_and_no_key_is_told(rig: Rig, scraping: str) -> None:
    connection = HTTPConnection(rig.url.removeprefix("http://"), timeout=10)
    body = json.dumps({"model": f"no-such-{PROMPT}", "messages": [{"role": "user", "content": PROMPT}]})
    connection.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {rig.key}"})
    assert connection.getresponse().status == 404
    connection.close()
    status, _, metrics = get(rig, "/metrics", authorization=f"Bearer {scraping}")
    assert (status, b"headgate_requests_total" in metrics) == (200, True)
    told = metrics + get(rig, "/readyz")[2]
    assert PROMPT.encode() not in told
    assert rig.key.encode() not in told
    assert scraping.encode() not in told
