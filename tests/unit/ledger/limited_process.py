"""One of several processes that share limits: asks as fast as it may for a while, and prints what it was given as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from headgate.config import Secret
from headgate.ledger.leases import Leases
from headgate.ledger.limit_gates import Permit
from headgate.ledger.limit_shares import Shares, StoreShares
from headgate.ledger.limiter import Limiter
from headgate.ledger.limits import Limit
from headgate.ledger.redis_shares import RedisShares
from headgate.store import open_store
from headgate.transport.redis import Redis, parse_redis_url

LIMITS = (Limit(subject="key:*", rpm=900, concurrency=6), Limit(subject="provider:x", tpm=25_000))


async def main(place: str, redis: str, name: str, seconds: float) -> None:
    """Ask with eight clients at once; one keeps what it reserved, the others use a part of it."""
    store = open_store(Secret(place) if "://" in place else Path(place), migrations="ledger")
    shares: Shares = StoreShares(store)
    if redis:
        shares = RedisShares(Redis(parse_redis_url(Secret(redis))), shares, "test-" + Path(place).name[-40:])
    leases = Leases(shares, name)
    limiter = Limiter(LIMITS, leases=leases)
    await leases.start()
    sys.stdin.readline()
    end = time.monotonic() + seconds
    counts = {"requests": 0, "tokens": 0, "asked": 0}
    spans: list[tuple[float, float]] = []

    async def client(number: int) -> None:
        while (now := time.monotonic()) < end:
            counts["asked"] += 1
            outcome = await limiter.admit_within(("key:a", "provider:x"), 1, 10, 50, now + 1)
            if isinstance(outcome, Permit):
                began = time.time()
                used = 60 if number == 0 else 20
                counts["requests"] += 1
                counts["tokens"] += used
                await asyncio.sleep(0.02)
                spans.append((began, time.time()))
                outcome.settle(10, used - 10)
                outcome.release()
            else:
                await asyncio.sleep(0.005)

    await asyncio.gather(*(client(number) for number in range(8)))
    await leases.close()
    store.close()
    print(json.dumps({**counts, "spans": spans}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])))
