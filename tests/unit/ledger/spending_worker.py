"""One process that spends: run as a program by the tests of many processes and of kills.

    spending_worker.py PLACE FOLDER NAME SEED REQUESTS CONCURRENCY LIMIT

PLACE is a path or a URL. Every attempt that is sent, and every one that is closed, is a line of FOLDER/NAME.bill, written at once: what the
provider saw. The last line on standard output says how many were admitted and denied.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path

from headgate.config import Secret
from headgate.ledger import Receipt
from headgate.ledger.budgets import Bound, Budget, Denied
from headgate.ledger.intent import Intent
from headgate.ledger.principal import Principal
from headgate.ledger.spending import Spending
from headgate.ledger.spending_settings import SpendingSettings
from headgate.store import open_store


def budgets(limit: int) -> tuple[Budget, ...]:
    return (
        Budget(id="all", scope="global", limit_nanos=limit, window="total", thresholds=(50, 75, 90, 100)),
        Budget(id="keys", scope="key:*", limit_nanos=limit // 2, window="total"),
        Budget(id="count", scope="team:*", limit_nanos=limit // 4, window="total", action="warn"),
    )


async def main() -> None:
    place, folder, name, seed, requests, concurrency, limit = sys.argv[1:]
    dice = random.Random(seed)
    store = open_store(Secret(place) if "://" in place else Path(place), migrations="ledger")
    settings = SpendingSettings(reap_interval=0.2, idle=0.1, tick=0.02, patience=0.5, stall=30.0)
    spending = Spending(store, Path(folder) / "journal", budgets(int(limit)), settings=settings)
    await spending.start()
    bill = os.open(Path(folder) / f"{name}.bill", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    people = [Principal(key_id=f"k{n}", team="t", subjects=("global", f"key:k{n}", "team:t")) for n in range(3)]
    counts = {"admitted": 0, "denied": 0}
    left = iter(range(int(requests)))

    async def client() -> None:
        for number in left:
            id, at, who, bound = f"{name}-{number}", time.time(), dice.choice(people), dice.randrange(1, 2000)
            intent = Intent(id=id, at=at, principal=who, provider="p", model="m", bound=Bound(bound))
            hold = spending.reserve_now(intent) or await spending.reserve(intent)
            if isinstance(hold, Denied):
                counts["denied"] += 1
                continue
            counts["admitted"] += 1
            spending.sent(hold)
            cost = dice.randrange(0, bound + 1)
            os.write(bill, f"sent {id} {cost} {bound}\n".encode())
            await asyncio.sleep(dice.choice((0.0, 0.0, 0.001)))
            spending.close(Receipt(id=id, at=at, face="gateway", provider="p", model="m", cost_nanos=cost, key=who.key_id), [(hold, cost)])
            os.write(bill, f"closed {id} {cost} {bound}\n".encode())

    await asyncio.gather(*(client() for _ in range(int(concurrency))))
    await spending.stop()
    store.close()
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
