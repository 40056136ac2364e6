"""One process after another, started and stopped under load, with clients that leave and settings that change: nothing stays behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from headgate.ledger import Receipt
from headgate.ledger.budgets import Action, Bound, Budget, Denied
from headgate.ledger.intent import Intent
from headgate.ledger.principal import Principal
from headgate.ledger.spending import Spending
from headgate.ledger.spending_settings import SpendingSettings
from headgate.store import Store
from headgate.testing.books import read_books

AT = 1_800_000_000.0
MINUTES = 10
"""Over which requests are spread: some windows end and others begin while they are under way."""
ACTIONS: tuple[Action, ...] = ("block", "warn", "degrade")
PEOPLE = [Principal(key_id=f"k{n}", team="t", subjects=("global", f"key:k{n}", "team:t")) for n in range(3)]
QUICK = SpendingSettings(flush_interval=0.001, patience=0.05, refusal=0.0, tick=0.002, idle=0.01, reap_interval=0.05, slots=256)
BUDGETS = (
    Budget(id="all", scope="global", limit_nanos=40_000, window="total"),
    Budget(id="keys", scope="key:*", limit_nanos=20_000, window="rolling:7200"),
    Budget(id="team", scope="team:t", limit_nanos=30_000, window="day", action="warn"),
)


class Load:
    """Clients of one process. `paid` is what each receipt costs."""

    def __init__(self, spending: Spending, dice: random.Random, name: str, paid: dict[str, int]) -> None:
        self.spending = spending
        self.dice = dice
        self.name = name
        self.paid = paid
        self.over = False
        self.count = 0

    async def one(self) -> None:
        """One request; it may be cancelled while it waits for its reservation, and is seen to its end afterwards, as the gateway does."""
        self.count += 1
        id, at, bound = f"{self.name}-{self.count}", AT + self.dice.random() * MINUTES * 60, self.dice.randrange(0, 400)
        wanted = Intent(id=id, at=at, principal=self.dice.choice(PEOPLE), provider="p", model="m", bound=Bound(bound))
        hold = self.spending.reserve_now(wanted) or await self.spending.reserve(wanted)
        if isinstance(hold, Denied):
            return
        if self.dice.random() < 0.2:
            self.spending.refund(hold)
            return
        self.spending.sent(hold)
        cost = self.dice.randrange(0, bound + 1)
        self.spending.close(Receipt(id=id, at=at, face="gateway", provider="p", model="m", cost_nanos=cost), [(hold, cost)])
        self.paid[id] = cost

    async def client(self) -> None:
        while not self.over:
            task = asyncio.create_task(self.one())
            try:
                for _ in range(self.dice.randrange(6)):
                    await asyncio.sleep(0)
                if self.dice.random() < 0.3:
                    task.cancel()
                await asyncio.wait([task])
            finally:
                task.cancel()
                await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
            await asyncio.sleep(0)


def changed(dice: random.Random) -> tuple[Budget, ...]:
    """Other settings: limits, actions, one budget fewer."""
    found = [
        msgspec.structs.replace(one, limit_nanos=one.limit_nanos * dice.randrange(1, 4), action=dice.choice(ACTIONS)) for one in BUDGETS
    ]
    return tuple(one for one in found if dice.random() < 0.8)


async def life(store: Store, folder: Path, dice: random.Random, name: str, paid: dict[str, int], *, reload: bool) -> None:
    """A process from its start to its stop, which comes while clients are at it."""
    spending = Spending(store, folder, BUDGETS, settings=QUICK, now=lambda: AT + MINUTES * 30)
    await spending.start()
    load = Load(spending, dice, name, paid)
    clients = [asyncio.create_task(load.client()) for _ in range(12)]
    for _ in range(dice.randrange(1, 6)):
        await asyncio.sleep(dice.random() * 0.01)
        if reload:
            spending.configure(changed(dice))
    load.over = True
    for _ in range(dice.randrange(4)):
        await asyncio.sleep(0)
    for client in clients:
        client.cancel()
    await asyncio.wait(clients)
    for client in clients:
        if not client.cancelled() and (error := client.exception()) is not None:
            raise error
    await spending.stop()


def lives(store: Store, place: object, tmp_path: Path, seed: int, count: int, *, reload: bool) -> None:
    """So many processes, two at a time."""
    dice, paid = random.Random(seed), {}
    troubles: list[dict[str, object]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: troubles.append(context))
        for round in range(count // 2):
            both = (life(store, tmp_path / "journal", dice, f"{seed}-{round}-{half}", paid, reload=reload) for half in "ab")
            await asyncio.gather(*both)
            assert not list((tmp_path / "journal").iterdir()), (seed, round)

    asyncio.run(run())
    assert troubles == []
    books = read_books(place)
    assert books.contradictions() == []
    assert {id: one.cost_nanos for id, one in books.receipts.items()} == paid


@pytest.mark.parametrize("reload", [False, True])
def test_processes_that_come_and_go_under_load_leave_nothing_behind(store: Store, place: object, tmp_path: Path, reload: bool) -> None:
    lives(store, place, tmp_path, 1 + reload, 8, reload=reload)


@pytest.mark.proofs
@pytest.mark.parametrize("reload", [False, True])
def test_many_processes_that_come_and_go_under_load(
    store: Store, place: object, tmp_path: Path, reload: bool, record_property: Callable[[str, object], None]
) -> None:
    lives(store, place, tmp_path, 3 + reload, 200, reload=reload)
    record_property("processes", 200)
