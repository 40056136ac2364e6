"""Clients that leave at random moments: afterwards everything is back to where it was, exactly (faults A22, D5–D8)."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from headgate.ledger.budgets import Budget
from headgate.ledger.limits import Limit
from headgate.sim.settings import SimSettings
from headgate.testing.books import read_books
from headgate.testing.gateway import Rig, running_gateway
from headgate.testing.served import open_sockets
from headgate.testing.simulators import wait_for
from headgate.testing.traffic import CHAT, Line, chat_body

if TYPE_CHECKING:
    from tests.proofs.conftest import Record

LINES = 64
MOST = 10_000
BUDGETS = (
    Budget(id="all", scope="global", limit_nanos=10**13, window="total"),
    Budget(id="sim", scope="provider:sim-openai", limit_nanos=10**13, window="total"),
)
KINDS = (
    (CHAT, chat_body("a", stream=True)),
    (CHAT, chat_body("b", stream=True, usage=True)),
    (CHAT, chat_body("c")),
    (CHAT, chat_body("d", stream=True, model="sim-anthropic/sim-small")),
    ("/v1/messages", chat_body("e", stream=True, most=60, model="sim-anthropic/sim-small")),
    ("/v1/messages", chat_body("f", most=60)),
)


class Baseline(msgspec.Struct, frozen=True):
    """What a gateway has in hand."""

    tasks: int
    attempts: int
    journal: int
    upstream_in_use: int
    told: int
    waiting: int
    places: int


async def baseline(rig: Rig) -> Baseline:
    room = rig.limiter.headroom("global", rig.loop.time()).concurrency
    assert room is not None
    return Baseline(
        tasks=len(asyncio.all_tasks(rig.loop)),
        attempts=rig.spending.under_way,
        journal=rig.spending.journal_depth,
        upstream_in_use=rig.http.open_connections - rig.http.idle_connections,
        told=rig.http.told,
        waiting=rig.limiter.waiting,
        places=room.limit - room.remaining,
    )


async def leaving(port: int, count: int, seed: int) -> Counter[str]:
    """So many requests that are left at random moments, many at once; one in ten is read to its end."""
    found: Counter[str] = Counter()

    async def client(number: int) -> None:
        dice = random.Random(seed * 1000 + number)
        line = Line(port)
        for _ in range(count // LINES):
            path, body = dice.choice(KINDS)
            if dice.random() < 0.1:
                heard = await line.ask(path, body, **({"anthropic-version": "2023-06-01"} if path != CHAT else {}))
                found[f"answered {heard.status}"] += 1
                continue
            reader = await line.send(path, body)
            moment = dice.random()
            if moment > 0.2:
                await asyncio.sleep(moment * 0.02)
            if moment > 0.6:
                await reader.read(1)
            line.leave(abruptly=dice.random() < 0.5)
            found["left"] += 1
        line.leave()

    await asyncio.gather(*(client(number) for number in range(LINES)))
    return found


def cancelled(folder: Path, count: int) -> dict[str, object]:
    with running_gateway(folder, settings=SimSettings(seed=7, event_gap=0.001)) as rig:
        rig.limiter.assign("global", Limit(subject="global", concurrency=MOST, queue=1.0))
        rig.spending.configure(BUDGETS)
        port = int(rig.url.rpartition(":")[2])
        asyncio.run(leaving(port, LINES * 2, seed=0))
        before = settled_baseline(rig)
        assert before == msgspec.structs.replace(Baseline(0, 0, 0, 0, 0, 0, 0), tasks=before.tasks)
        files, threads = sockets_without_pool(rig), threading.active_count()
        found = asyncio.run(leaving(port, count, seed=1))
        after = settled_baseline(rig)
        assert after == before
        assert wait_for(lambda: sockets_without_pool(rig) <= files, 10), f"{sockets_without_pool(rig)} sockets, {files} before"
        assert threading.active_count() <= threads
        answers = {key for key in found if key != "left"}
        assert answers == {"answered 200"}, found
        place = Path(rig.ledger.database.place)
    books = read_books(place)
    assert books.contradictions() == []
    assert all(receipt.status in ("ok", "cancelled") for receipt in books.receipts.values())
    assert {line.client_request_id for line in rig.sim.bill.lines} <= set(books.receipts), "every call has its receipt"
    return {"cancels": found["left"], "answered": found["answered 200"], "receipts": len(books.receipts), "tasks": after.tasks}


def settled_baseline(rig: Rig) -> Baseline:
    """The baseline once nothing changes any more."""
    quiet = Baseline(0, 0, 0, 0, 0, 0, 0)

    def calm() -> bool:
        rig.run(rig.spending.drain())
        now = rig.run(baseline(rig))
        return msgspec.structs.replace(now, tasks=0) == quiet

    wait_for(calm, 20)
    gc.collect()
    return rig.run(baseline(rig))


def sockets_without_pool(rig: Rig) -> int:
    """Sockets of this process; idle upstream connections, which are kept on purpose, count at neither end."""
    return open_sockets(os.getpid()) - 2 * rig.http.open_connections


def test_clients_that_leave_cost_nothing_that_stays(tmp_path: Path) -> None:
    found = cancelled(tmp_path, 1_000)
    assert int(str(found["cancels"])) > 800


@pytest.mark.proofs
def test_a_hundred_thousand_clients_that_leave(tmp_path: Path, record_property: Record) -> None:
    for name, value in cancelled(tmp_path, 112_000).items():
        record_property(name, value)
