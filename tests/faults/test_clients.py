"""Careless and hostile clients, and an upstream that is down, on every way (faults A21, B18–B20, C8–C10, D4, D12–D15, E18, I5)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from headgate.config.route_settings import DeploymentSettings, RouteSettings, RoutingSettings
from headgate.gateway.asking import DESTINATIONS
from headgate.serving.limits import ServerLimits
from headgate.sim.faults import CutStream, Delay, Match, Rule, Status, StreamError
from headgate.sim.faults_bytes import Drip, Insert, Stall
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import Gate, Rig, running_gateway
from headgate.testing.raw_http import RawWire, request_bytes
from headgate.testing.simulators import wait_for
from headgate.testing.ways import NOTHING, WAYS, ask, begun, settled

EVERY_WAY = pytest.mark.parametrize("way", sorted(WAYS))
SHAPES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
CHAIN = RouteSettings(
    name="chain",
    deployments=(DeploymentSettings(model="sim-openai/sim-small"),),
    fallback=("sim-openai/sim-large", "sim-anthropic/sim-small"),
)

SLOWLY = Rule(Drip(bytes=4000, seconds=0.01))
"""Each event by itself, so that the first are with the client when the next come."""


@pytest.fixture(scope="module")
def chained(tmp_path_factory: pytest.TempPathFactory, once: Gate) -> Iterator[Rig]:
    """Three attempts, over a route with two others behind the first."""
    gate = msgspec.structs.replace(once, routing=RoutingSettings(attempts=3, deadline=5.0), routes=(CHAIN,))
    with running_gateway(tmp_path_factory.mktemp("chained"), settings=SimSettings(seed=7), gate=gate) as running:
        yield running


@pytest.fixture
def chain(chained: Rig) -> Iterator[Rig]:
    chained.calm()
    yield chained
    chained.sim.set_faults(())
    assert settled(chained) == NOTHING


@EVERY_WAY
def test_two_keys_are_none(rig: Rig, way: str) -> None:
    """D13, D12: neither of them wins, and a name with an underscore is no other spelling of one with a dash."""
    body = json.dumps(WAYS[way].body(stream=False)).encode()
    extra = {name.replace("-", "_"): value for name, value in WAYS[way].headers}
    plain = request_bytes("POST", WAYS[way].path, body, key=rig.key, **extra)
    for more, status in (
        (b"x-api-key: hg-another-key-0123456789", 400),
        (b"X_Api_Key: hg-another", 400),
        (b"authorization: Bearer x", 400),
    ):
        with RawWire(urlsplit(rig.url).port or 0) as wire:
            wire.send(plain.replace(b"\r\n", b"\r\n" + more + b"\r\n", 1))
            assert wire.reply().status == status
    with RawWire(urlsplit(rig.url).port or 0) as wire:
        wire.send(plain.replace(f"Bearer {rig.key}".encode(), b"Bearer hg-no-such-key-0123456789abcdef"))
        assert wire.reply().status == 401


@EVERY_WAY
@SHAPES
@pytest.mark.parametrize("name", DESTINATIONS)
def test_nobody_chooses_where_a_request_goes_or_with_which_key(rig: Rig, way: str, stream: bool, name: str) -> None:
    """I5, R8: what names an address, a key or headers is refused, and nobody is asked."""
    before = len(rig.sim.requests)
    seen = ask(rig, WAYS[way], stream=stream, **{name: {"host": "x"} if "headers" in name else "http://127.0.0.1:9/sk-mine"})
    assert (seen.status, len(rig.sim.requests)) == (400, before)
    assert name in seen.body.decode() and b"sk-mine" not in seen.body
    assert ask(rig, WAYS[way], stream=stream, **{name: None}).complete


@EVERY_WAY
@SHAPES
def test_another_is_asked_before_there_is_content_and_all_is_one_receipt(chain: Rig, way: str, stream: bool) -> None:
    """E18, A20: the first failure is an attempt of its own in the one receipt."""
    known = len(chain.all_receipts())
    chain.sim.set_faults((Rule(Status("server"), Match(first=1)),))
    seen = ask(chain, WAYS[way], stream=stream, model="chain")
    assert seen.complete and seen.headers["x-headgate-attempts"] == "2"
    receipt = chain.receipts(known + 1)[-1]
    assert [attempt.kind for attempt in receipt.attempts] == ["server", None]
    assert receipt.cost_nanos == sum(attempt.cost_nanos or 0 for attempt in receipt.attempts) > 0


@pytest.mark.parametrize("way", ["fast", "endpoint", "translated anthropic"])
def test_an_error_within_a_stream_before_content_and_after_it(chain: Rig, way: str) -> None:
    """B18, B20: before the first content another answers; afterwards nobody does."""
    chain.sim.set_faults((Rule(StreamError(0, "overloaded"), Match(first=1, operation="stream")),))
    assert ask(chain, WAYS[way], stream=True, model="chain").complete
    chain.calm()
    before = len(chain.sim.requests)
    chain.sim.set_faults((Rule(StreamError(3, "overloaded"), Match(operation="stream")), SLOWLY))
    seen = ask(chain, WAYS[way], stream=True, model="chain")
    assert seen.failed_in_the_stream and len(chain.sim.requests) == before + 1
    chain.calm()
    chain.sim.set_faults((Rule(CutStream(4), Match(operation="stream")), SLOWLY))
    seen = ask(chain, WAYS[way], stream=True, model="chain")
    assert seen.failed_in_the_stream and len(chain.sim.requests) == before + 2


@EVERY_WAY
def test_a_fault_of_the_request_is_nobody_elses_to_mend(chain: Rig, way: str) -> None:
    """C8: one call, no fallback."""
    before = len(chain.sim.requests)
    chain.sim.set_faults((Rule(Status("context_length")),))
    assert ask(chain, WAYS[way], model="chain").status == 400
    assert len(chain.sim.requests) == before + 1


def test_an_outage_is_not_made_worse(chain: Rig) -> None:
    """C10: three retries are put by, then a fifth of the requests; whoever is refused is told not to add retries of its own."""
    before = len(chain.sim.requests)
    chain.sim.set_faults((Rule(Status("server")),))
    seen = [ask(chain, WAYS["fast"]) for _ in range(60)]
    assert len(chain.sim.requests) - before <= 60 * 1.2 + 3
    assert all(one.status in (500, 503) for one in seen)
    assert any(one.headers.get("x-should-retry") == "false" for one in seen)
    refused = [one for one in seen if one.status == 503]
    assert refused and all("retry-after" in one.headers for one in refused)


@EVERY_WAY
def test_no_place_for_another_connection(tmp_path: Path, once: Gate, way: str) -> None:
    """A21: a bounded wait, then a refusal that says so; never an internal error, and the place is free again afterwards."""
    bounded = msgspec.structs.replace(once.transport, max_connections=1, max_waiting=1, pool_timeout=0.2, total_timeout=0.8)
    with running_gateway(tmp_path, settings=SimSettings(seed=7), gate=msgspec.structs.replace(once, transport=bounded)) as rig:
        rig.sim.set_faults((Rule(Delay(0.6)),))
        wires = [begun(rig, WAYS[way], stream=False) for _ in range(4)]
        statuses = sorted(wire.reply().status for wire in wires)
        for wire in wires:
            wire.close()
        assert statuses[0] == 200 and set(statuses[1:]) <= {200, 502, 503, 504} and statuses[-1] != 200
        assert settled(rig) == NOTHING
        rig.sim.set_faults(())
        rig.calm()
        assert ask(rig, WAYS[way]).complete
        never_sent = [receipt for receipt in rig.all_receipts() if receipt.status == "error" and receipt.attempts[-1].kind != "timeout"]
        assert all(receipt.cost_nanos == 0 for receipt in never_sent)


@EVERY_WAY
def test_a_reader_that_stops_reading(tmp_path: Path, once: Gate, way: str) -> None:
    """D4, B19: what it leaves unread is bounded, its connection ends, the provider is left, and what was used is booked."""
    patient = msgspec.structs.replace(once.transport, idle_timeout=5.0, stream_timeout=10.0)
    with running_gateway(
        tmp_path,
        settings=SimSettings(seed=7),
        limits=ServerLimits(write_timeout=0.5),
        gate=msgspec.structs.replace(once, transport=patient),
    ) as rig:
        padding = ": " + "x" * 1000 + "\n\n"
        if WAYS[way].provider == "sim-anthropic":
            padding = 'event: ping\ndata: {"type": "ping", "x": "' + "x" * 1000 + '"}\n\n'
        rig.sim.set_faults((Rule(Insert(padding, at=2, times=20_000)),))
        if way.startswith("translated"):
            rig.sim.set_faults((Rule(Stall(30.0, events=2)),))  # what is not passed on cannot be left unread
        wire = begun(rig, WAYS[way])
        assert wire.socket.recv(100)
        if way.startswith("translated"):
            wire.close()
        (receipt,) = rig.receipts(1)
        wire.close()
        assert settled(rig) == NOTHING
        assert receipt.status in ("cancelled", "error") and receipt.cost_nanos > 0


@EVERY_WAY
def test_a_stop_in_the_middle_of_streams(tmp_path: Path, once: Gate, way: str) -> None:
    """D15: the drain is bounded, streams end with last words, everything is settled before the process goes."""
    patient = msgspec.structs.replace(once.transport, idle_timeout=20.0, stream_timeout=20.0, first_byte_timeout=20.0, total_timeout=20.0)
    gate = msgspec.structs.replace(once, transport=patient)
    wires = []
    with running_gateway(tmp_path, settings=SimSettings(seed=7), limits=ServerLimits(drain=0.3), gate=gate) as rig:
        rig.sim.set_faults((Rule(Stall(30.0, events=4), Match(operation="stream")), Rule(Delay(30.0), Match(operation="chat"))))
        for _ in range(5):
            wires.append(begun(rig, WAYS[way]))
            assert wires[-1].socket.recv(100)
        wires.append(begun(rig, WAYS[way], stream=False))
        assert wait_for(lambda: len(rig.sim.requests) == 6)
    rests = [wire.read_to_end() for wire in wires]
    for wire in wires:
        wire.close()
    assert all(b"server_stopping" in rest or b'"error"' in rest for rest in rests[:5])
    assert b"503" in rests[5][:20] or rests[5] == b""
    assert not list((tmp_path / "journal").glob("*.journal"))
    with running_gateway(tmp_path, settings=SimSettings(seed=7), gate=once) as rig:
        receipts = rig.all_receipts()
        assert len(receipts) == 6 and all(receipt.cost_nanos > 0 for receipt in receipts)
