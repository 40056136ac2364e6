"""kill -9 of a serving process with 64 live streams: nothing is lost, nothing is booked twice, and receipts equal the provider's bill.

A neighbour serves on the same ledger all the while. What nobody saw the end of is booked at its bound by whoever comes next, and brought to
what the simulator billed by its invoice, as an operator would.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import random
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headgate.config import Secret
from headgate.sim.settings import SimSettings
from headgate.testing.books import Books, invoice_of, read_books
from headgate.testing.simulators import wait_for
from headgate.testing.traffic import CHAT, Line, chat_body

if TYPE_CHECKING:
    from tests.proofs.conftest import MakeGate, MakeSimulator, Record

    from headgate.sim.server import Simulator
    from headgate.testing.served import Served

STREAMS = 64
PACED = SimSettings(seed=7, event_gap=0.04)
"""A stream takes about half a second."""
SETTINGS = """budgets:
  - {scope: global, limit_usd: "1000", window: total, action: block}
  - {scope: "provider:sim-openai", limit_usd: "1000", window: total, action: block}
"""


class Round:
    """64 requests at once to a gateway that is killed under them: streams that pass through, translated ones, and whole answers."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.live = 0
        self.cut = 0

    async def under_fire(self, gate: Served, victim: int) -> None:
        """Have them all under way, and kill `victim` at some moment of that."""
        heads, many = 0, asyncio.Event()

        def on_head() -> None:
            nonlocal heads
            heads += 1
            if heads >= STREAMS * 7 // 8:
                many.set()

        lines = [Line(gate.port, on_head=on_head) for _ in range(STREAMS)]
        tasks = [asyncio.create_task(self._ask(line, number)) for number, line in enumerate(lines)]
        early = self.dice.random() < 0.3
        if not early:
            await asyncio.wait_for(many.wait(), 20)
        await asyncio.sleep(self.dice.random() * (0.15 if early else 0.4))
        self.live += sum(not task.done() for task in tasks)
        os.kill(victim, signal.SIGKILL)
        self.cut += sum(not whole for whole in await asyncio.gather(*tasks))
        for line in lines:
            line.leave()

    async def _ask(self, line: Line, number: int) -> bool:
        if number % 8 == 0:
            heard = await line.ask("/v1/messages", chat_body(f"message {number}", stream=True, most=60), anthropic_version="2023-06-01")
        else:
            heard = await line.ask(CHAT, chat_body(f"message {number}", stream=number % 8 != 1))
        return heard.whole


async def quietly(gate: Served, count: int) -> None:
    """Ordinary requests to the neighbour."""
    async with Line(gate.port) as line:
        for _ in range(count):
            assert (await line.ask(CHAT, chat_body())).status == 200


def settled(gate: Served, others: list[Served], simulator: Simulator, folder: Path) -> tuple[Books, Books]:
    """End everything in order and bring the ledger to the bill, by the command for that. Returns the books before and after."""
    for each in (*others, gate):
        assert each.stop() == 0, each.said
    assert not list((gate.data / "journal").iterdir())
    before = read_books(gate.place)
    path = folder / "invoice.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["request", "usd"])
        rows.writerows([id, f"{nanos / 10**9:.9f}"] for id, nanos in invoice_of(simulator.bill.lines).items())
    columns = ("--column", "id=request", "--column", "cost=usd")
    said = json.loads(gate.run("receipts", "true-up", str(path), *columns, "--since", "2020-01-01", "--until", "2100-01-01", "--json"))
    again = json.loads(gate.run("receipts", "true-up", str(path), *columns, "--since", "2020-01-01", "--until", "2100-01-01", "--json"))
    assert said["unknown"] == []
    assert (again["receipts"], again["usd"]) == (0, "0.00")
    return before, read_books(gate.place)


def check(before: Books, after: Books, simulator: Simulator) -> None:
    """Nothing lost, nothing double, nothing held back; bill = receipts = what budgets have spent."""
    bill = invoice_of(simulator.bill.lines)
    assert set(bill) <= set(before.receipts), "0 lost"
    unbilled = [receipt for id, receipt in before.receipts.items() if id not in bill]
    assert all(receipt.error in ("lost", "connection") or receipt.status == "cancelled" for receipt in unbilled)
    assert before.contradictions() == []
    assert after.contradictions() == []
    assert {id: after.cost_of(id) for id in after.receipts} == {id: bill.get(id, 0) for id in after.receipts}
    assert after.cost == simulator.bill.total
    assert {one.spent for one in after.balances} == {simulator.bill.total}
    assert all(before.cost_of(receipt.id) >= bill.get(receipt.id, 0) for receipt in before.estimated), "a bound is a bound"


def killed(make_gate: MakeGate, simulator: Simulator, database: Secret | None, cycles: int, seed: int) -> tuple[Served, Served, Round]:
    gate = make_gate(simulator, settings=SETTINGS, database=database)
    neighbour = make_gate(simulator, settings=SETTINGS, database=database)
    round = Round(random.Random(seed))

    async def once() -> None:
        await asyncio.gather(round.under_fire(gate, gate.pid), quietly(neighbour, 5))

    for _ in range(cycles):
        asyncio.run(once())
        gate.kill()
        gate.start()
    return gate, neighbour, round


def test_a_killed_gateway_loses_nothing(
    make_simulator: MakeSimulator, make_gate: MakeGate, database: Secret | None, tmp_path: Path
) -> None:
    simulator = make_simulator(PACED)
    gate, neighbour, round = killed(make_gate, simulator, database, 3, seed=1)
    before, after = settled(gate, [neighbour], simulator, tmp_path)
    check(before, after, simulator)
    assert round.cut >= STREAMS
    assert before.estimated


def test_a_killed_worker_is_replaced_and_loses_nothing(make_simulator: MakeSimulator, make_gate: MakeGate, tmp_path: Path) -> None:
    simulator = make_simulator(PACED)
    gate = make_gate(simulator, settings=SETTINGS, workers=2)
    round = Round(random.Random(2))
    victim, other = gate.worker_pids()
    asyncio.run(round.under_fire(gate, victim))
    assert round.cut < STREAMS, "the other worker goes on"
    assert wait_for(lambda: "serves again" in gate.said, 20)
    assert other in gate.worker_pids() and victim not in gate.worker_pids() and len(gate.worker_pids()) == 2
    asyncio.run(quietly(gate, 5))
    before, after = settled(gate, [], simulator, tmp_path)
    check(before, after, simulator)


@pytest.mark.proofs
def test_two_hundred_kills(
    make_simulator: MakeSimulator, make_gate: MakeGate, database: Secret | None, tmp_path: Path, record_property: Record
) -> None:
    simulator = make_simulator(PACED)
    cycles = int(os.environ.get("HEADGATE_KILLS", "200"))
    gate, neighbour, round = killed(make_gate, simulator, database, cycles, seed=3)
    before, after = settled(gate, [neighbour], simulator, tmp_path)
    check(before, after, simulator)
    record_property("kills", cycles)
    record_property("live_streams_at_the_kill", round.live)
    record_property("cut_answers", round.cut)
    record_property("receipts", len(before.receipts))
    record_property("billed_calls", len(simulator.bill))
    record_property("estimated_at_the_bound", len(before.estimated))
    bill = invoice_of(simulator.bill.lines)
    record_property("lost", len(set(bill) - set(before.receipts)))
    record_property("double", sum(after.cost_of(id) > bill.get(id, 0) for id in after.receipts))
    record_property("billed_nanos", simulator.bill.total)
    record_property("receipts_nanos", after.cost)
