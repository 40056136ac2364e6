"""Pools in a Redis that loses replies, forgets everything and dies: never above the limit, and nothing waits for it long."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence

import pytest

from headgate.config import Secret
from headgate.errors import StoreError
from headgate.ledger.leases import Leases
from headgate.ledger.limit_gates import Permit
from headgate.ledger.limit_orders import Draw, Give, Orders
from headgate.ledger.limiter import Limiter
from headgate.ledger.limits import Full, Limit
from headgate.ledger.redis_shares import PUT, SWEEP, TAKE, RedisShares
from headgate.transport.redis import Command, Redis, parse_redis_url
from headgate.wire.resp import RespError, RespValue

Run = Callable[[Callable[[], Awaitable[None]]], None]


class FaultyRedis:
    """Pools in memory. A part of the batches fails: before it was carried out, in the middle of it, or after; now and then all is lost."""

    def __init__(self, seed: int, faults: float) -> None:
        self.rand = random.Random(seed)
        self.faults = faults
        self.pools: dict[str, int] = {}
        self.batches = 0
        self.dead = False

    def _one(self, command: Command) -> RespValue:
        script, key = command[1], str(command[3])
        held = self.pools.get(key, 0)
        if script == TAKE:
            wanted, least = int(command[4]), int(command[5])
            taken = min(held, wanted)
            if taken < least:
                return 0
            self.pools[key] = held - taken
            return taken
        if script == PUT:
            self.pools[key] = held + int(command[4])
            return 1
        assert script == SWEEP
        return self.pools.pop(key, 0)

    async def run(self, commands: Sequence[Command]) -> list[RespValue]:
        """As Redis would."""
        self.batches += 1
        await asyncio.sleep(0.0005)
        if self.dead:
            raise StoreError("nobody there")
        kind = self.rand.choice(["before", "middle", "after", "flush", "full"]) if self.rand.random() < self.faults else "none"
        if kind == "flush":
            self.pools.clear()
        if kind == "before":
            raise StoreError("no answer")
        done = [self._one(command) for command in (commands[: len(commands) // 2] if kind == "middle" else commands)]
        if kind in {"middle", "after"}:
            raise StoreError("no answer")
        return [RespError("OOM command not allowed")] * len(done) if kind == "full" else done

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(("seed", "faults"), [(1, 0.0), (2, 0.02), (3, 0.3)])
def test_processes_stay_within_limits_whatever_redis_does(
    seed: int, faults: float, virtual: Run, memory_store: Callable[[], object]
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        store = memory_store()
        redis = FaultyRedis(seed, faults)
        rand = random.Random(seed)
        limits = [Limit(subject="key:*", rpm=200), Limit(subject="provider:x", tpm=20_000, concurrency=8)]
        clocks: list[Callable[[], float]] = [lambda ahead=number * 100.0: loop.time() + ahead for number in range(4)]
        leases = [Leases(RedisShares(redis, store.shares(), "s", clock), f"p{number}", clock) for number, clock in enumerate(clocks)]
        limiters = [Limiter(limits, leases=lease, clock=clock) for lease, clock in zip(leases, clocks, strict=True)]
        for lease in leases:
            await lease.start()
        requests: list[tuple[float, int]] = []
        tokens: list[tuple[float, int]] = []

        async def client(number: int) -> None:
            while loop.time() < 1300:
                now = clocks[number]()
                outcome = await limiters[number].admit_within(("key:a", "provider:x"), 1, 20, 80, now + 3)
                if isinstance(outcome, Permit):
                    began = loop.time()
                    await asyncio.sleep(rand.uniform(0, 1))
                    used = rand.randint(20, 100)
                    requests.append((began, 1))
                    tokens.append((began, used))
                    outcome.settle(20, used - 20)
                    outcome.release()
                await asyncio.sleep(rand.expovariate(4))

        async with asyncio.TaskGroup() as group:
            for number in range(16):
                group.create_task(client(number % 4))
        for lease in leases:
            await lease.close()
        for log, limit in ((requests, 200), (tokens, 20_000)):
            log.sort()
            sums = [sum(amount for at, amount in log if first <= at < first + 60) for first, _ in log]
            assert max(sums) <= limit
        assert len(requests) >= 0.6 * 200 * 5
        assert redis.batches > 100 or faults > 0.1

    virtual(main)


def test_what_one_gives_back_another_takes_without_the_database(virtual: Run, memory_store: Callable[[], object]) -> None:
    async def main() -> None:
        store = memory_store()
        first, second = (RedisShares(FaultyRedis(1, 0.0), store.shares(), "s", asyncio.get_running_loop().time) for _ in range(2))
        second._redis = first._redis
        time = (await first.exchange(Orders(holder="a"))).time
        await second.exchange(Orders(holder="b"))
        assert time is not None
        slot = int(time // 2)
        draw = Draw("key:a|rpm", slot, 2.0, 100, 5, 1)
        (grant,) = (await first.exchange(Orders(holder="a", draws=(draw,)))).grants
        assert (grant.granted, grant.left) == (5, 95)
        before = store.transactions
        answers = await second.exchange(Orders(holder="b", draws=(draw,)))
        assert [grant.granted for grant in answers.grants] == [5]
        assert answers.time is None
        answers = await second.exchange(Orders(holder="b", draws=(draw,), gives=(Give("key:a|rpm", slot, 3),)))
        assert [grant.granted for grant in answers.grants] == [5]
        assert store.transactions == before
        await asyncio.sleep(6)
        await first.exchange(Orders(holder="a"))
        await second.exchange(Orders(holder="b"))
        rest = store.connection.execute("SELECT granted FROM limit_grant").fetchall()
        assert rest == [(12,)]

    virtual(main)


def test_a_dead_redis_is_left_alone(virtual: Run, memory_store: Callable[[], object]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        store = memory_store()
        redis = FaultyRedis(1, 0.0)
        redis.dead = True
        shares = RedisShares(redis, store.shares(), "s", loop.time)
        lease = Leases(shares, "a", loop.time)
        limiter = Limiter([Limit(subject="key:*", rpm=600)], leases=lease, clock=loop.time)
        await lease.start()
        for _ in range(200):
            outcome = await limiter.admit_within(("key:a",), 1, 0, 0, loop.time() + 1)
            assert not isinstance(outcome, Full)
            await asyncio.sleep(0.1)
        assert redis.batches <= 6
        assert shares.resting
        redis.dead = False
        await asyncio.sleep(40)
        outcome = await limiter.admit_within(("key:a",), 1, 0, 0, loop.time() + 1)
        assert isinstance(outcome, Permit)
        assert not shares.resting
        await lease.close()

    virtual(main)


@pytest.mark.service
def test_the_scripts_do_on_a_real_server_what_they_do_here(service_url: Callable[[str], str]) -> None:
    async def main() -> None:
        redis = Redis(parse_redis_url(Secret(service_url("redis"))), timeout=5.0)
        model = FaultyRedis(0, 0.0)
        rand = random.Random(5)
        key = f"headgate:test:{secrets.token_hex(8)}"
        for _ in range(60):
            command: Command = rand.choice(
                [
                    ("EVAL", TAKE, 1, key, rand.randint(1, 9), rand.randint(1, 9)),
                    ("EVAL", PUT, 1, key, rand.randint(1, 9), 60_000),
                    ("EVAL", SWEEP, 1, key),
                ]
            )
            assert await redis.run([command]) == await model.run([command])
        await redis.run([("DEL", key)])
        await redis.close()

    asyncio.run(main())
