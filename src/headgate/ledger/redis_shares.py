"""Shares passed from process to process through Redis, between looks at the database. An accelerator: losing it loses no limit.

Whatever lies in Redis was granted by the database before: pools of a bucket's slot, which end with their slot. A pool that is lost, evicted
or flushed is wasted, and never granted again; an old one that comes back belongs to a slot that is over. So the sum of what processes use
stays below the limit, whatever Redis forgets (faults E22, F12).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeAlias

import msgspec

from headgate.errors import StoreError
from headgate.ledger.limit_orders import Answers, Draw, Give, Grant, Orders
from headgate.ledger.limit_shares import Shares
from headgate.transport.redis import Command
from headgate.wire.resp import RespError, RespValue

Pool: TypeAlias = tuple[str, int]
"""A bucket and a slot of it."""
POOL = 4
"""The database is asked for so many times what is wanted; the rest goes into the pool."""
CLOCK_EVERY = 5.0
"""Seconds after which the database is asked again, for its time."""
BACK_OFF = (0.5, 2.0, 8.0, 30.0)
"""Seconds for which a server that failed is left alone, by failures in a row."""
OUTLIVES = 2
"""Slots after which a pool is forgotten by Redis itself."""

TAKE = """
local held = tonumber(redis.call('GET', KEYS[1]) or '0')
local taken = math.min(held, tonumber(ARGV[1]))
if taken < tonumber(ARGV[2]) then return 0 end
if taken > 0 then redis.call('DECRBY', KEYS[1], taken) end
return taken
"""
PUT = """
redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""


SWEEP = """
local held = tonumber(redis.call('GET', KEYS[1]) or '0')
redis.call('DEL', KEYS[1])
return held
"""


class Commands(Protocol):
    """What of `headgate.transport.redis.Redis` is used here."""

    async def run(self, commands: Sequence[Command]) -> list[RespValue]:
        """Send commands together and return their replies. Raises `StoreError`."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


class RedisShares:
    """Draws from pools in Redis first, and from `store` what they do not hold.

    `scope` names the database, so that two that use one Redis do not mix. While Redis fails or is slow, everything goes to `store`; no
    exchange waits for it longer than its timeout.
    """

    def __init__(self, redis: Commands, store: Shares, scope: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._store = store
        self._scope = scope
        self._clock = clock
        self._failures = 0
        self._rests_until = float("-inf")
        self._asked = float("-inf")
        self._offset = 0.0
        self._widths: dict[str, float] = {}
        self._pools: set[Pool] = set()

    @property
    def resting(self) -> bool:
        """Whether Redis is left alone after a failure."""
        return self._clock() < self._rests_until

    async def exchange(self, orders: Orders) -> Answers:
        """See `Shares`."""
        self._widths.update((draw.bucket, draw.width) for draw in orders.draws)
        have = await self._taken(orders.draws)
        missing = tuple(draw for draw in orders.draws if not have.get((draw.bucket, draw.slot)))
        back, puts = self._divide(orders.gives)
        answers = Answers(time=None)
        if missing or back or orders.holds or self._clock() - self._asked >= CLOCK_EVERY or not orders.draws:
            back += await self._swept()
            answers = await self._ask_store(msgspec.structs.replace(orders, gives=tuple(back), draws=missing), puts)
        await self._put(puts)
        grants = {(grant.bucket, grant.slot): grant for grant in answers.grants}
        found = (grants.get((d.bucket, d.slot)) or Grant(d.bucket, d.slot, have[d.bucket, d.slot], None) for d in orders.draws)
        return msgspec.structs.replace(answers, grants=tuple(found))

    async def close(self) -> None:
        """Close the connection; the store is its owner's."""
        await self._redis.close()
        await self._store.close()

    async def _ask_store(self, orders: Orders, puts: list[Give]) -> Answers:
        """The store's answers to `orders`; what it granted beyond our own need is added to `puts`."""
        factor = 1 if self.resting else POOL
        wanted = {(draw.bucket, draw.slot): max(draw.wanted, draw.least) for draw in orders.draws}
        larger = tuple(msgspec.structs.replace(draw, wanted=draw.wanted * factor) for draw in orders.draws)
        answers = await self._store.exchange(msgspec.structs.replace(orders, draws=larger))
        self._asked = self._clock()
        self._offset = (answers.time or 0.0) - self._asked
        kept = []
        for grant in answers.grants:
            rest = max(0, grant.granted - wanted[grant.bucket, grant.slot])
            if rest:
                puts.append(Give(grant.bucket, grant.slot, rest))
            left = None if grant.left is None else grant.left + rest
            kept.append(msgspec.structs.replace(grant, granted=grant.granted - rest, left=left))
        return msgspec.structs.replace(answers, grants=tuple(kept))

    def _divide(self, gives: Iterable[Give]) -> tuple[list[Give], list[Give]]:
        """What goes back to the store, and what of the slots that are not over goes into pools, for others."""
        back: list[Give] = []
        puts: list[Give] = []
        for give in gives:
            pools = give.amount > 0 and not self.resting and not self._over((give.bucket, give.slot))
            (puts if pools else back).append(give)
        return back, puts

    def _over(self, pool: Pool) -> bool:
        """Whether the slot of a pool has passed, by the database's clock as far as we know it."""
        width = self._widths.get(pool[0])
        return width is None or pool[1] < int((self._clock() + self._offset) // width)

    async def _swept(self) -> list[Give]:
        """What is left in pools whose slot is over, for the store."""
        over = [] if self.resting else [pool for pool in self._pools if self._over(pool)]
        self._pools.difference_update(over)
        replies = await self._run([("EVAL", SWEEP, 1, self._key(pool)) for pool in over])
        amounts = [reply if isinstance(reply, int) else 0 for reply in replies]
        return [Give(*pool, amount) for pool, amount in zip(over, amounts, strict=False) if amount > 0]

    async def _taken(self, draws: Sequence[Draw]) -> dict[Pool, int]:
        """What the pools gave for each draw: nothing rather than too little."""
        pools = [(draw.bucket, draw.slot) for draw in draws]
        wanted = [(max(draw.wanted, draw.least), draw.least) for draw in draws]
        commands = [("EVAL", TAKE, 1, self._key(pool), *amounts) for pool, amounts in zip(pools, wanted, strict=True)]
        replies = [] if self.resting else await self._run(commands)
        return {pool: reply if isinstance(reply, int) else 0 for pool, reply in zip(pools, replies, strict=False)}

    async def _put(self, puts: Sequence[Give]) -> None:
        """Into the pools. What does not arrive is wasted."""
        if self.resting:
            return
        self._pools.update((put.bucket, put.slot) for put in puts)
        await self._run([("EVAL", PUT, 1, self._key((put.bucket, put.slot)), put.amount, self._lifetime(put.bucket)) for put in puts])

    def _lifetime(self, bucket: str) -> int:
        """Milliseconds."""
        return int(self._widths[bucket] * 1000) * OUTLIVES

    async def _run(self, commands: Sequence[Command]) -> list[RespValue]:
        """The replies, none when Redis fails: it is then left alone for a while."""
        if not commands:
            return []
        try:
            replies = await self._redis.run(commands)
        except StoreError:
            replies = []
        if replies and not any(isinstance(reply, RespError) for reply in replies):
            self._failures = 0
            return replies
        self._rests_until = self._clock() + BACK_OFF[min(self._failures, len(BACK_OFF) - 1)]
        self._failures += 1
        return []

    def _key(self, pool: Pool) -> str:
        return f"headgate:limits:{self._scope}:{pool[0]}:{pool[1]}"
