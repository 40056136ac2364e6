"""SIGTERM with hundreds of streams under way: what fits into the drain ends whole, the rest gets last words, all of it is booked (D15)."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from headgate.sim.settings import SimSettings
from headgate.testing.books import read_books
from headgate.testing.traffic import CHAT, Heard, Line, chat_body

if TYPE_CHECKING:
    from tests.proofs.conftest import MakeGate, MakeSimulator, Record

    from headgate.sim.server import Simulator
    from headgate.testing.served import Served

LAST_WORDS = b"server_stopping"


async def streams(gate: Served, count: int) -> tuple[list[Heard], int]:
    """Have so many streams under way, then ask the gateway to end. What each of them got, and the exit code."""
    heads, all_here = 0, asyncio.Event()

    def on_head() -> None:
        nonlocal heads
        heads += 1
        if heads == count:
            all_here.set()

    lines = [Line(gate.port, on_head=on_head) for _ in range(count)]
    tasks = [asyncio.create_task(line.ask(CHAT, chat_body(f"stream {number}", stream=True))) for number, line in enumerate(lines)]
    await asyncio.wait_for(all_here.wait(), 60)
    assert not any(task.done() for task in tasks)
    code = await asyncio.to_thread(gate.stop)
    heard = await asyncio.gather(*tasks)
    for line in lines:
        line.leave()
    return heard, code


def stopped(gate: Served, simulator: Simulator, count: int, *, whole: bool) -> dict[str, object]:
    heard, code = asyncio.run(streams(gate, count))
    assert code == 0, gate.said
    ends = Counter("done" if b"[DONE]" in one.body else "last words" if LAST_WORDS in one.body else "cut" for one in heard)
    assert all(one.status == 200 and one.whole for one in heard), ends
    assert ends == {"done" if whole else "last words": count}
    assert not list((gate.data / "journal").iterdir())
    books = read_books(gate.place)
    assert books.contradictions() == []
    assert {line.client_request_id for line in simulator.bill.lines} == set(books.receipts)
    assert Counter(receipt.status for receipt in books.receipts.values()) == {"ok" if whole else "cancelled": count}
    if whole:
        assert books.cost == simulator.bill.total
    return {"streams": count, **ends, "receipts": len(books.receipts)}


SETTINGS = 'budgets:\n  - {scope: global, limit_usd: "1000", window: total, action: block}\n'
SHORT = SETTINGS + "gateway: {drain: 0.5}\n"


@pytest.mark.parametrize("workers", [1, 2])
def test_streams_end_whole_within_the_drain(make_simulator: MakeSimulator, make_gate: MakeGate, workers: int) -> None:
    simulator = make_simulator(SimSettings(seed=7, event_gap=0.15))
    stopped(make_gate(simulator, settings=SETTINGS, workers=workers), simulator, 60, whole=True)


def test_longer_streams_get_last_words(make_simulator: MakeSimulator, make_gate: MakeGate) -> None:
    simulator = make_simulator(SimSettings(seed=7, event_gap=2.0))
    stopped(make_gate(simulator, settings=SHORT, workers=2), simulator, 60, whole=False)


@pytest.mark.proofs
@pytest.mark.parametrize(("gap", "whole"), [(0.6, True), (5.0, False)])
def test_five_hundred_streams(make_simulator: MakeSimulator, make_gate: MakeGate, gap: float, whole: bool, record_property: Record) -> None:
    simulator = make_simulator(SimSettings(seed=7, event_gap=gap))
    gate = make_gate(simulator, settings=SETTINGS if whole else SHORT, workers=2)
    for name, value in stopped(gate, simulator, 500, whole=whole).items():
        record_property(name, value)
