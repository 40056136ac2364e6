"""What a serving process looks after: the keys of long requests are prolonged, and what has expired goes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from headgate.assembly.upkeep import INTERVAL, PURGE, RENEW, Upkeep
from headgate.ledger.budget_book import BudgetBook
from headgate.serving.answer_store import AnswerStore
from headgate.serving.idempotency import LEASE, Idempotency, InProgress, New
from headgate.serving.idempotency_store import IdempotencyStore
from headgate.serving.readiness import Readiness
from headgate.store import open_store


def test_a_stream_of_hours_keeps_its_idempotency_key_and_what_is_over_goes(tmp_path: Path) -> None:
    now = [1_800_000_000.0]
    store = open_store(tmp_path / "ledger.db", migrations="ledger")
    here, there = (Idempotency(IdempotencyStore(store)) for _ in "ab")
    upkeep = Upkeep(Readiness(lambda: now[0], {}), BudgetBook(store), AnswerStore(store), here, clock=lambda: now[0])

    async def main() -> None:
        assert isinstance(await here.begin("t", "long", b"r", now[0], "h"), New)
        assert isinstance(await there.begin("t", "dead", b"r", now[0], "h"), New)
        for _ in range(int(4 * LEASE / INTERVAL)):
            now[0] += INTERVAL
            await upkeep.look()
            if now[0] % (RENEW / 2) < INTERVAL:
                assert await there.begin("t", "long", b"r", now[0], "other") == InProgress()

    asyncio.run(main())
    keys = store.read(lambda connection: connection.execute("SELECT holder FROM idempotency_key").fetchall())
    assert keys == [("h",)], "that of the dead process went"
    assert PURGE < 4 * LEASE
    store.close()
