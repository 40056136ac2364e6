"""Streams for minutes, one call in a hundred failing in some way, one client in a hundred leaving: nothing grows, nothing stays."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from headgate.sim.faults import Action, CloseAfter, CutStream, DropReply, Garbage, Match, Reset, Rule, Status, StreamError, Truncate
from headgate.sim.settings import SimSettings
from headgate.testing.books import read_books
from headgate.testing.served import open_clients, open_sockets, resident_kib
from headgate.testing.simulators import wait_for
from headgate.testing.traffic import CHAT, Line, chat_body

if TYPE_CHECKING:
    from tests.proofs.conftest import MakeGate, MakeSimulator, Record

    from headgate.sim.server import Simulator
    from headgate.testing.served import Served

FAULTS: tuple[Action, ...] = (
    Reset(),
    Reset(after_bytes=300),
    CutStream(events=3),
    StreamError(events=2),
    Status("server"),
    Status("overloaded"),
    DropReply(),
    Garbage(),
    Truncate(bytes=50),
    CloseAfter(),
)
LEAVING = 0.01
WIRES = ("sim-openai", "sim-anthropic")
SETTINGS = """budgets:
  - {scope: global, limit_usd: "1000", window: total, action: block}
limits:
  - {subject: global, rpm: 10000000, tpm: 1000000000, concurrency: 500}
gateway: {metrics: open}
"""


def faulty(share: float) -> SimSettings:
    """A provider of whose answers `share` go wrong."""
    rules = tuple(Rule(action, Match(share=share / len(FAULTS))) for action in FAULTS)
    return SimSettings(seed=7, event_gap=0.02, faults=rules)


class Soak:
    """`lines` clients that ask for streams one after the other, for `seconds`. `sizes` is the gateway's resident memory over time, KiB."""

    def __init__(self, gate: Served, lines: int, seconds: float) -> None:
        self.gate = gate
        self.lines = lines
        self.end = time.monotonic() + seconds
        self.sizes: list[int] = []
        self.statuses: Counter[int] = Counter()
        self.left = 0

    async def run(self) -> None:
        watching = asyncio.create_task(self._watch())
        await asyncio.gather(*(self._client(number) for number in range(self.lines)), watching)

    async def _client(self, number: int) -> None:
        dice = random.Random(number)
        line = Line(self.gate.port)
        while time.monotonic() < self.end:
            path = "/v1/messages" if dice.random() < 0.3 else CHAT
            body = chat_body(f"number {dice.random()}", stream=dice.random() < 0.9, most=60, model=f"{dice.choice(WIRES)}/sim-small")
            if dice.random() < LEAVING:
                await line.send(path, body)
                await asyncio.sleep(dice.random() * 0.1)
                line.leave(abruptly=True)
                self.left += 1
            else:
                self.statuses[(await line.ask(path, body, anthropic_version="2023-06-01")).status] += 1
        line.leave()

    async def _watch(self) -> None:
        while time.monotonic() < self.end:
            await asyncio.sleep(0.5)
            self.sizes.append(resident_kib(self.gate.pid))

    @property
    def drift(self) -> float:
        """By what share memory grew from the second fifth of the time to the last."""
        fifth = max(1, len(self.sizes) // 5)
        early, late = self.sizes[fifth : 2 * fifth], self.sizes[-fifth:]
        return sum(late) / len(late) / (sum(early) / len(early)) - 1


def soaked(gate: Served, simulator: Simulator, lines: int, seconds: float, most: float) -> dict[str, object]:
    asyncio.run(Soak(gate, lines, min(seconds, 2.0)).run())
    assert wait_for(lambda: open_clients(gate.pid, gate.port) == 0, 20)
    sockets = open_sockets(gate.pid)
    soak = Soak(gate, lines, seconds)
    asyncio.run(soak.run())
    assert wait_for(lambda: open_clients(gate.pid, gate.port) == 0, 20), "every client's connection is closed"
    after = open_sockets(gate.pid)
    assert after <= max(sockets, len(WIRES) * lines + 16), "what stays is kept for the next call: no more than there were calls at once"
    assert gate.stop() == 0, gate.said
    books = read_books(gate.place)
    assert books.contradictions() == []
    assert {line.client_request_id for line in simulator.bill.lines} <= set(books.receipts)
    assert not books.estimated
    assert not list((gate.data / "journal").iterdir())
    assert "Traceback" not in gate.said and '"an endpoint failed"' not in gate.said, gate.said[-3000:]
    assert soak.drift <= most, soak.sizes
    kinds = Counter(receipt.error or receipt.status for receipt in books.receipts.values())
    asked = {"requests": sum(soak.statuses.values()), "left": soak.left, "receipts": len(books.receipts)}
    figures = {"streams": lines, "seconds": seconds, **asked}
    sizes = {"rss_first_kib": soak.sizes[0], "rss_last_kib": soak.sizes[-1], "rss_drift": round(soak.drift, 4)}
    return {**figures, **sizes, "sockets_before": sockets, "sockets_after": after, "statuses": dict(soak.statuses), "ends": dict(kinds)}


def test_a_short_soak(make_simulator: MakeSimulator, make_gate: MakeGate) -> None:
    simulator = make_simulator(faulty(0.05))
    soaked(make_gate(simulator, settings=SETTINGS), simulator, 32, 4.0, 0.25)


@pytest.mark.proofs
def test_a_soak(make_simulator: MakeSimulator, make_gate: MakeGate, record_property: Record) -> None:
    seconds = float(os.environ.get("HEADGATE_SOAK", "300"))
    simulator = make_simulator(faulty(0.01))
    for name, value in soaked(make_gate(simulator, settings=SETTINGS), simulator, 64, seconds, 0.05).items():
        record_property(name, value)
