"""A second deployment is asked as well when the first one is silent (architecture §4); either alone answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from headgate.config.route_settings import DeploymentSettings, RouteSettings, RoutingSettings
from headgate.errors import StoreError
from headgate.ledger.limiter import Limiter
from headgate.ledger.limits import Full, Limit
from headgate.router import Router
from headgate.sim.faults import Delay, Match, Rule, Status
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import TWIN, Gate, Rig, running_gateway
from headgate.testing.raw_http import RawWire, Reply, request_bytes
from headgate.testing.ways import NOTHING, settled

SMALL = "sim-openai/sim-small"
TWINS = RouteSettings(name="twins", hedge=0.05, deployments=tuple(DeploymentSettings(model=SMALL, account=name) for name in (None, TWIN)))
GATE = Gate(routes=(TWINS,), routing=RoutingSettings(attempts=2), limits=(Limit(subject="global", concurrency=1000),))
SHAPES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
LATE = Rule(Delay(0.4), Match(nth=1))


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running_gateway(tmp_path_factory.mktemp("twins"), settings=SimSettings(seed=7), gate=GATE) as running:
        yield running


@pytest.fixture
def rig(twins: Rig) -> Iterator[Rig]:
    twins.calm()
    yield twins
    twins.sim.set_faults(())
    assert settled(twins) == NOTHING


def ask(rig: Rig, stream: bool) -> Reply:
    body = {"model": "twins", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    with RawWire(urlsplit(rig.url).port or 0) as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", json.dumps(body).encode(), key=rig.key, connection="close"))
        head, _, rest = wire.read_to_end().partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return Reply(int(lines[0].split()[1]), dict(line.split(": ", 1) for line in lines[1:]), rest)


@SHAPES
def test_the_second_answers_while_the_first_is_silent(rig: Rig, stream: bool) -> None:
    books, before = len(rig.all_receipts()), len(rig.sim.requests)
    rig.sim.set_faults((LATE,))
    reply = ask(rig, stream)
    assert (reply.status, len(rig.sim.requests) - before) == (200, 2)
    receipt = rig.receipts(books + 1)[-1]
    assert (receipt.status, len({attempt.deployment for attempt in receipt.attempts})) == ("ok", 2)
    assert receipt.cost_nanos == sum(attempt.cost_nanos or 0 for attempt in receipt.attempts) > 0


async def waits_for_ever(*arguments: object) -> None:
    await asyncio.Event().wait()


async def fails(*arguments: object) -> None:
    raise StoreError("the ledger does not answer")


async def is_full(*arguments: object) -> Full:
    return Full(subject="deployment:x", what="requests", limit=1, used=1, retry_after=1.0, field="rpm")


@SHAPES
@pytest.mark.parametrize("place", [waits_for_ever, fails, is_full])
def test_where_no_second_may_be_asked_the_first_goes_on(rig: Rig, stream: bool, place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    books, before = len(rig.all_receipts()), len(rig.sim.requests)
    rig.sim.set_faults((LATE,))
    admitted, asked = Limiter.admit_within, []

    async def admit(self: Limiter, subjects: tuple[str, ...], *arguments: Any) -> object:
        asked.append(subjects)
        if sum(one[0].startswith("deployment:") for one in asked) < 2:
            return await admitted(self, subjects, *arguments)
        return await place()

    monkeypatch.setattr(Limiter, "admit_within", admit)
    reply = ask(rig, stream)
    assert (reply.status, len(asked), len(rig.sim.requests) - before) == (200, 3, 1)
    assert len(rig.receipts(books + 1)[-1].attempts) == 1


@SHAPES
def test_a_second_that_is_ill_is_not_asked(rig: Rig, stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(rig.sim.requests)
    rig.sim.set_faults((LATE,))
    begin, began = Router.begin, []

    def ill(self: Router, *arguments: Any, **named: Any) -> object:
        began.append(arguments)
        return begin(self, *arguments, **named) if len(began) == 1 else None

    monkeypatch.setattr(Router, "begin", ill)
    assert (ask(rig, stream).status, len(began), len(rig.sim.requests) - before) == (200, 2, 1)


@SHAPES
def test_when_both_fail_the_last_error_is_told(rig: Rig, stream: bool) -> None:
    books = len(rig.all_receipts())
    rig.sim.set_faults((LATE, Rule(Status("server"))))
    assert ask(rig, stream).status == 500
    assert {attempt.kind for attempt in rig.receipts(books + 1)[-1].attempts} == {"server"}
