"""Two processes on one ledger give one another's answers: from the cache, and to a request that is sent again to the other one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headgate.config import Secret
from headgate.sim.faults import Delay, Rule
from headgate.sim.settings import SimSettings
from headgate.testing.books import read_books
from headgate.testing.traffic import CHAT, Heard, Line, chat_body

if TYPE_CHECKING:
    from tests.proofs.conftest import MakeGate, MakeSimulator

    from headgate.testing.served import Served

LINES = 24
"""Connections, which the kernel spreads over the processes: that one gets them all happens once in millions of times."""
KEPT = "cache: {max_age: 3600}\ngateway: {store_prompts: true}\n"
NOT_KEPT = "gateway: {store_prompts: false}\n"


async def at_once(gate: Served, body: bytes, **headers: str) -> list[Heard]:
    """The same request over every connection at the same time."""

    async def one() -> Heard:
        async with Line(gate.port) as line:
            return await line.ask(CHAT, body, **headers)

    return list(await asyncio.gather(*(one() for _ in range(LINES))))


async def in_turn(gate: Served, body: bytes, **headers: str) -> list[Heard]:
    """The same request over as many connections, one after the other."""
    found = []
    for _ in range(LINES):
        async with Line(gate.port) as line:
            found.append(await line.ask(CHAT, body, **headers))
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_in_the_cache_of_one_is_given_by_both(
    make_simulator: MakeSimulator, make_gate: MakeGate, database: Secret | None, stream: bool
) -> None:
    simulator = make_simulator(SimSettings(seed=7))
    gate = make_gate(simulator, settings=KEPT, workers=2, database=database)
    body = chat_body("once", most=40, stream=stream)
    wish = {"x_cache_control": "max-age=600"}

    async def run() -> None:
        async with Line(gate.port) as line:
            first = await line.ask(CHAT, body, **wish)
        assert (first.status, first.headers["x-cache"]) == (200, "miss")
        for again in await at_once(gate, body, **wish):
            assert (again.status, again.headers["x-cache"], again.body) == (200, "hit", first.body)

    asyncio.run(run())
    assert gate.stop() == 0, gate.said
    books = read_books(gate.place)
    assert books.contradictions() == []
    assert (len(simulator.bill), len(books.receipts), books.cost) == (1, 1 + LINES, simulator.bill.total)


@pytest.mark.parametrize(("settings", "others"), [(KEPT, {(200, "true")}), (NOT_KEPT, {(200, "true"), (409, "idempotency_answer_gone")})])
def test_a_request_that_is_sent_to_both_is_carried_out_once(
    make_simulator: MakeSimulator, make_gate: MakeGate, database: Secret | None, settings: str, others: set[tuple[int, str]]
) -> None:
    """While it is under way and afterwards, and by the process that did not get it too."""
    simulator = make_simulator(SimSettings(seed=7, faults=(Rule(Delay(0.5)),)))
    gate = make_gate(simulator, settings=settings, workers=2, database=database)
    body, key = chat_body("once", most=40), {"idempotency_key": "order-1"}

    def kind(heard: Heard) -> tuple[int, str]:
        if heard.status == 200:
            return 200, heard.headers.get("idempotent-replayed", "")
        words = ("idempotency_answer_gone", "idempotency_in_progress", "idempotency_conflict")
        return heard.status, next(word for word in words if word.encode() in heard.body)

    async def run() -> None:
        meanwhile = [kind(heard) for heard in await at_once(gate, body, **key)]
        assert meanwhile.count((200, "")) == 1
        assert set(meanwhile) - {(200, "")} <= {(409, "idempotency_in_progress")} | others
        assert {kind(heard) for heard in await in_turn(gate, body, **key)} == others
        assert {kind(heard) for heard in await in_turn(gate, chat_body("other"), **key)} == {(422, "idempotency_conflict")}

    asyncio.run(run())
    assert gate.stop() == 0, gate.said
    books = read_books(gate.place)
    assert books.contradictions() == []
    assert (len(simulator.bill), len(books.receipts), books.cost) == (1, 1, simulator.bill.total)
