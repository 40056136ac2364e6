"""A ledger's store on both databases; a loop whose time passes only when nothing else is left to do, and a database in memory for it."""

from __future__ import annotations

import asyncio
import selectors
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from headgate.errors import StoreError
from headgate.ledger.limit_shares import StoreShares
from headgate.store import Store, open_store
from headgate.store.statements import load_migrations

T = TypeVar("T")


class JumpingSelector(selectors.SelectSelector):
    """Instead of waiting for a timer, moves the clock to it."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if timeout is None and not ready:
            raise RuntimeError("everything waits for what never happens")
        if timeout is not None and not ready:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop over a `JumpingSelector`."""

    def __init__(self) -> None:
        self.jumping = JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now


class MemoryStore:
    """Transactions in memory, each `latency` seconds long. While `broken`, none is begun."""

    def __init__(self, loop: asyncio.AbstractEventLoop, latency: float = 0.002) -> None:
        self.loop = loop
        self.latency = latency
        self.broken = False
        self.transactions = 0
        self.ahead = 1_700_000_000.0
        self._turn = asyncio.Lock()
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        for migration in load_migrations("ledger"):
            if migration.name.endswith("_limits"):
                for statement in migration.statements:
                    self.connection.execute(statement)

    def time(self, _: object = None) -> float:
        return self.ahead + self.loop.time()

    async def write(self, function: Callable[[Any], T]) -> T:
        async with self._turn:
            await asyncio.sleep(self.latency)
            if self.broken:
                raise StoreError("the database does not answer")
            self.transactions += 1
            return function(self.connection)

    def shares(self) -> StoreShares:
        return StoreShares(self, self.time)


@pytest.fixture
def virtual() -> Callable[[Callable[[], Awaitable[T]]], T]:
    """Runs an async function in a `VirtualLoop`."""

    def run(main: Callable[[], Awaitable[T]]) -> T:
        async def whole() -> T:
            return await main()

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(whole())

    return run


@pytest.fixture
def memory_store() -> Callable[[], MemoryStore]:
    """Makes a `MemoryStore` in the running loop."""
    return lambda: MemoryStore(asyncio.get_running_loop())


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    return tmp_path / "ledger.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def store(place: object) -> Iterator[Store]:
    found = open_store(place, migrations="ledger")
    yield found
    found.close()
