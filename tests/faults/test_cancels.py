"""Clients that leave at any moment, providers that fail meanwhile: nothing is held, and all is booked (faults A22, D5–D8, D10)."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from headgate.config.route_settings import RoutingSettings
from headgate.serving.app import App
from headgate.serving.auth import OpenDoor
from headgate.serving.exchange import Exchange
from headgate.serving.limits import ServerLimits
from headgate.serving.request import Request
from headgate.serving.response import Answer
from headgate.serving.routes import Routes
from headgate.sim.faults import Delay, Garbage, Match, Reset, Rule, Status, StreamError
from headgate.sim.faults_bytes import Drip
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import Gate, Rig, running_gateway
from headgate.testing.raw_http import request_bytes
from headgate.testing.simulators import wait_for
from headgate.testing.ways import NOTHING, WAYS, ask, settled

CLIENTS = 16
TROUBLE = (
    Rule(Status("server"), Match(share=0.1)),
    Rule(Status("rate_limit", retry_after=0.01), Match(share=0.05)),
    Rule(Garbage(429, body=""), Match(share=0.05)),
    Rule(Garbage(200), Match(share=0.05)),
    Rule(Reset(), Match(share=0.05)),
    Rule(Reset(after_bytes=700), Match(share=0.05)),
    Rule(StreamError(0, "overloaded"), Match(share=0.05, operation="stream")),
    Rule(StreamError(3, "overloaded"), Match(share=0.05, operation="stream")),
    Rule(Delay(0.02), Match(share=0.3)),
    Rule(Drip(bytes=300, seconds=0.001), Match(share=0.3)),
)


def request_of(draw: random.Random, key: str) -> bytes:
    way = WAYS[draw.choice(sorted(WAYS))]
    body = json.dumps(way.body(stream=draw.random() < 0.6)).encode()
    return request_bytes("POST", way.path, body, key=key, **{name.replace("-", "_"): value for name, value in way.headers})


async def leave_early(port: int, data: bytes, draw: random.Random) -> bool:
    """Send a request and leave after a while, mostly before the answer is over. Whether it was before."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    cut = draw.random()
    writer.write(data if cut < 0.9 else data[: int(len(data) * draw.random())])
    over = False
    try:
        async with asyncio.timeout(draw.choice((0.0, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.008, 0.013, 0.03))):
            while piece := await reader.read(65536):
                over = over or b"[DONE]" in piece or b"message_stop" in piece
    except (TimeoutError, ConnectionError):
        pass
    if draw.random() < 0.5:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return not over


async def crowd(rig: Rig, count: int, seed: int) -> int:
    port, left = urlsplit(rig.url).port or 0, 0

    async def client(number: int) -> None:
        nonlocal left
        draw = random.Random(seed * 1000 + number)
        while left < count:
            left += await leave_early(port, request_of(draw, rig.key), draw)

    await asyncio.gather(*map(client, range(CLIENTS)))
    return left


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def others(rig: Rig) -> int:
    return len(asyncio.all_tasks())


def leaves_nothing(folder: Path, gate: Gate, count: int, seed: int) -> tuple[int, int]:
    """Cancels, and receipts of them. Raises `AssertionError` when anything is left."""
    routing = RoutingSettings(attempts=2, deadline=5.0, retry_budget=1.0)
    gate = msgspec.structs.replace(gate, routing=routing)
    with running_gateway(folder, settings=SimSettings(seed=seed), gate=gate) as rig:
        assert ask(rig, WAYS["fast"]).complete
        assert ask(rig, WAYS["translated"], stream=True).complete
        assert settled(rig) == NOTHING
        tasks = rig.run(others(rig))
        rig.sim.set_faults(TROUBLE)
        cancels = asyncio.run(crowd(rig, count, seed))
        rig.sim.set_faults(())
        assert settled(rig, 10.0) == NOTHING
        assert wait_for(lambda: rig.run(others(rig)) <= tasks)
        rig.calm()
        assert all(ask(rig, way, stream=stream).complete for way in WAYS.values() for stream in (False, True))
        assert settled(rig) == NOTHING
        receipts = rig.all_receipts()
        asked = [entry for entry in rig.sim.requests if entry.provider in ("openai", "anthropic")]
        attempts = sum(len(receipt.attempts) for receipt in receipts)
        assert attempts >= len(asked), "a request reached the provider and no receipt"
        assert len({receipt.id for receipt in receipts}) == len(receipts)
        assert all(receipt.cost_nanos is not None and receipt.cost_nanos >= 0 for receipt in receipts)
        return cancels, len(receipts)


class NoLine:
    """A connection that nobody is at the other end of."""

    def answered(self, exchange: Exchange) -> None:
        """Nothing follows."""


@pytest.mark.parametrize("leave", [Exchange.lose, Exchange.hurry], ids=["the client left", "the server ends"])
def test_what_was_handed_over_is_taken_even_if_the_client_has_left(leave: Callable[[Exchange], None]) -> None:
    """A task that is cancelled before its first step never runs: whoever was to give back what a visit holds would not hear of it."""
    seen = []

    async def answerer(request: Request) -> Answer:
        seen.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("given back")
        raise AssertionError

    async def main() -> None:
        app = App(Routes(()), door=OpenDoor(None), hosts=None)
        exchange = Exchange(app, ServerLimits(), NoLine(), asyncio.get_running_loop(), b"", answerer)
        task = exchange.start(Request(method="POST", path="/"))
        exchange._gone.set()
        leave(exchange)
        await asyncio.wait([task])

    asyncio.run(main())
    assert seen == ["begun", "given back"]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open descriptors are counted in /proc")
def test_a_few_hundred_random_cancels(tmp_path: Path, once: Gate) -> None:
    before = descriptors()
    cancels, receipts = leaves_nothing(tmp_path, once, 300, 1)
    assert cancels >= 300 and receipts > 100
    assert descriptors() <= before + 2  # what the loops of two threads open for themselves at first use


@pytest.mark.proofs
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open descriptors are counted in /proc")
def test_a_hundred_thousand_random_cancels(tmp_path: Path, once: Gate, record_property: Callable[[str, object], None]) -> None:
    cancels, receipts = leaves_nothing(tmp_path, once, 100_000, 3)
    record_property("cancels", cancels)
    record_property("receipts", receipts)
