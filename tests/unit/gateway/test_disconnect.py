"""The client goes away: the provider is left within a second, and what was used is booked once (faults D5–D8)."""

from __future__ import annotations

import json
import time
from functools import partial

import pytest

from headgate.sim.faults import Delay, Rule
from headgate.testing.gateway import Rig
from headgate.testing.raw_http import RawWire, request_bytes
from headgate.testing.simulators import wait_for

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


def wire_to(rig: Rig) -> RawWire:
    return RawWire(int(rig.url.rpartition(":")[2]))


def body(model: str, stream: bool) -> bytes:
    turns = [{"role": "user", "content": "Tell me everything about the harbour, the sea, the ships and the walk home."}]
    return json.dumps({"model": f"{model}/sim-small", "max_tokens": 500, "messages": turns, "stream": stream}).encode()


@pytest.mark.parametrize("surface", sorted(PATHS))
@pytest.mark.parametrize("model", ["sim-openai", "sim-anthropic", "sim-gemini"])
def test_mid_stream(slow_rig: Rig, surface: str, model: str) -> None:
    rig, before = slow_rig, len(slow_rig.all_receipts())
    wire = wire_to(rig)
    wire.send(request_bytes("POST", PATHS[surface], body(model, True), key=rig.key))
    data = b""
    while data.count(b"data:") < 3:
        data += wire.socket.recv(65536)
    start = time.monotonic()
    wire.close()
    receipt = rig.receipts(before + 1)[-1]
    assert wait_for(lambda: rig.sim.requests[-1].client_gone is not None)
    assert time.monotonic() - start < 1
    assert (receipt.status, receipt.usage.source, receipt.stream) == ("cancelled", "estimated", True)
    assert receipt.usage.input_total > 0
    assert receipt.cost_nanos is not None and receipt.cost_nanos > 0
    assert rig.run(connections(rig)) == 0


@pytest.mark.parametrize("surface", sorted(PATHS))
@pytest.mark.parametrize("model", ["sim-openai", "sim-anthropic"])
def test_before_the_answer(rig: Rig, surface: str, model: str) -> None:
    rig.sim.set_faults((Rule(Delay(30.0)),))
    before = len(rig.all_receipts())
    for stream in (False, True):
        wire, asked = wire_to(rig), len(rig.sim.requests)
        wire.send(request_bytes("POST", PATHS[surface], body(model, stream), key=rig.key))
        assert wait_for(partial(_more_than, rig, asked))
        start = time.monotonic()
        wire.close()
        assert wait_for(lambda: rig.sim.requests[-1].client_gone is not None)
        assert time.monotonic() - start < 1
    first, second = rig.receipts(before + 2)[-2:]
    assert (first.status, second.status) == ("cancelled", "cancelled")
    assert (first.stream, second.stream) == (False, True)
    assert first.cost_nanos and second.cost_nanos


def test_pings_and_first_bytes(slow_rig: Rig) -> None:
    """Each event is passed on when it comes, not when the answer is whole."""
    rig = slow_rig
    with wire_to(rig) as wire:
        wire.send(request_bytes("POST", PATHS["openai"], body("sim-anthropic", True), key=rig.key))
        start, data, first = time.monotonic(), b"", 0.0
        while b"data: [DONE]" not in data:
            data += wire.socket.recv(65536)
            if not first and b"content" in data:
                first = time.monotonic() - start
        assert first < (time.monotonic() - start) / 2


def _more_than(rig: Rig, count: int) -> bool:
    return len(rig.sim.requests) > count


async def connections(rig: Rig) -> int:
    """Upstream connections that are in use."""
    return rig.http.open_connections - rig.http.idle_connections
