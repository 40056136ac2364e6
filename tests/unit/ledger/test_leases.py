"""Several processes with one limit: together never above it, near it when they could be, and nothing new while nobody can be asked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from headgate.ledger.leases import Leases
from headgate.ledger.limit_gates import Permit
from headgate.ledger.limit_shares import Shares
from headgate.ledger.limiter import Limiter
from headgate.ledger.limits import Full, Limit

Run = Callable[[Callable[[], Awaitable[None]]], None]


class Process:
    """One process as far as limits go, with a monotonic clock of its own."""

    def __init__(self, number: int, shares: Shares, *limits: Limit) -> None:
        loop = asyncio.get_running_loop()
        self.clock = lambda: loop.time() + number * 1234.5
        self.leases = Leases(shares, f"process {number}", self.clock)
        self.limiter = Limiter(limits, leases=self.leases, clock=self.clock)

    async def ask(self, subjects: tuple[str, ...], input_tokens: int = 0, output_tokens: int = 0, seconds: float = 3.0) -> Permit | Full:
        """What a request gets, if it waits at most so long."""
        now = self.clock()
        outcome = self.limiter.admit(subjects, 1, input_tokens, output_tokens, now)
        if isinstance(outcome, Full) and outcome.waits:
            return await self.limiter.admit_within(subjects, 1, input_tokens, output_tokens, now + seconds)
        return outcome


def most_in_a_span(log: list[tuple[float, int]], span: float = 60.0) -> int:
    """The largest sum in any half-open span that begins with an admission."""
    log = sorted(log)
    most = total = first = 0
    for at, amount in log:
        total += amount
        while log[first][0] <= at - span:
            total -= log[first][1]
            first += 1
        most = max(most, total)
    return most


@pytest.mark.parametrize("seed", range(3))
def test_four_processes_stay_within_requests_and_tokens_and_come_near(seed: int, virtual: Run, memory_store: Callable[[], object]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        store = memory_store()
        rand = random.Random(seed)
        processes = [
            Process(number, store.shares(), Limit(subject="key:*", rpm=120), Limit(subject="provider:x", tpm=9000)) for number in range(4)
        ]
        for process in processes:
            await process.leases.start()
        requests: list[tuple[float, int]] = []
        tokens: list[tuple[float, int]] = []

        async def client(process: Process, pace: float) -> None:
            while loop.time() < 1000 + 240:
                outcome = await process.ask(("key:a", "provider:x"), 20, 80)
                if isinstance(outcome, Permit):
                    requests.append((loop.time(), 1))
                    entry = [loop.time(), 100]
                    await asyncio.sleep(rand.uniform(0, 2))
                    used = rand.randint(20, 100)
                    outcome.settle(20, used - 20)
                    outcome.release()
                    tokens.append((entry[0], used))
                await asyncio.sleep(rand.expovariate(1 / pace))

        async with asyncio.TaskGroup() as group:
            for number, process in enumerate(processes):
                for _ in range(4):
                    group.create_task(client(process, 0.5 + number))
        for process in processes:
            await process.leases.close()
        assert most_in_a_span(requests) <= 120
        assert most_in_a_span(tokens) <= 9000
        settled = [amount for at, amount in requests if at > 1060]
        assert sum(settled) >= 0.7 * 120 * 3
        assert store.transactions < 240 * 4 * 5

    virtual(main)


@pytest.mark.parametrize("queue", [None, 20.0])
def test_processes_that_all_want_more_get_about_the_same(queue: float | None, virtual: Run, memory_store: Callable[[], object]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        store = memory_store()
        processes = [Process(number, store.shares(), Limit(subject="key:*", rpm=240, queue=queue)) for number in range(4)]
        given = [0] * 4
        for process in processes:
            await process.leases.start()

        async def client(number: int) -> None:
            await asyncio.sleep(number * 0.4)
            while loop.time() < 1400:
                outcome = await processes[number].ask(("key:a",), seconds=20)
                if isinstance(outcome, Permit):
                    given[number] += loop.time() > 1070
                    outcome.release()
                await asyncio.sleep(0.05)

        async with asyncio.TaskGroup() as group:
            for number in range(16):
                group.create_task(client(number % 4))
        for process in processes:
            await process.leases.close()
        assert sum(given) >= 0.75 * 240 * 330 / 60
        assert min(given) >= 0.1 * sum(given)

    virtual(main)


def test_places_at_a_time_are_shared_and_come_back(virtual: Run, memory_store: Callable[[], object]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        store = memory_store()
        processes = [Process(number, store.shares(), Limit(subject="key:a", concurrency=6, queue=30)) for number in range(3)]
        for process in processes:
            await process.leases.start()
        active = most = done = 0

        async def client(process: Process, rand: random.Random) -> None:
            nonlocal active, most, done
            while loop.time() < 1120:
                outcome = await process.ask(("key:a",), seconds=30)
                if isinstance(outcome, Permit):
                    active += 1
                    most = max(most, active)
                    await asyncio.sleep(rand.uniform(0, 3))
                    active -= 1
                    done += 1
                    outcome.release()
                await asyncio.sleep(rand.uniform(0, 1))

        async with asyncio.TaskGroup() as group:
            for number in range(18):
                group.create_task(client(processes[number % 3], random.Random(number)))
        assert most == 6
        assert done > 6 / 1.5 * 120 * 0.6
        await asyncio.sleep(5)
        (held,) = store.connection.execute("SELECT sum(held) FROM limit_hold").fetchone()
        assert held == 0
        only = [await processes[0].ask(("key:a",)) for _ in range(6)]
        assert all(isinstance(outcome, Permit) for outcome in only)

    virtual(main)


def test_places_of_a_process_that_died_are_free_after_a_while(virtual: Run, memory_store: Callable[[], object]) -> None:
    async def main() -> None:
        store = memory_store()
        dead, alive = (Process(number, store.shares(), Limit(subject="key:a", concurrency=2)) for number in range(2))
        for process in (dead, alive):
            await process.leases.start()
        assert isinstance(await dead.ask(("key:a",)), Permit)
        assert isinstance(await dead.ask(("key:a",)), Permit)
        assert dead.leases._task is not None
        dead.leases._task.cancel()
        assert isinstance(await alive.ask(("key:a",)), Full)
        await asyncio.sleep(31)
        assert isinstance(await alive.ask(("key:a",)), Permit)
        await alive.leases.close()

    virtual(main)


def test_while_nobody_answers_only_what_was_granted_is_used(virtual: Run, memory_store: Callable[[], object]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        store = memory_store()
        process = Process(0, store.shares(), Limit(subject="key:*", rpm=100), Limit(subject="team:*", concurrency=5))
        await process.leases.start()
        for _ in range(20):
            assert isinstance(await process.ask(("key:a",)), Permit)
        store.broken = True
        outcomes = [await process.ask(("key:a",)) for _ in range(60)]
        granted = [outcome for outcome in outcomes if isinstance(outcome, Permit)]
        assert len(granted) < 30
        last = outcomes[-1]
        assert isinstance(last, Full)
        assert (last.what, last.status, last.waits) == ("store", 503, False)
        other = await process.ask(("team:b",))
        assert isinstance(other, Full) and other.status == 503
        began = loop.time()
        await asyncio.sleep(100)
        assert isinstance(await process.ask(("key:a",)), Full)
        store.broken = False
        await asyncio.sleep(2)
        assert isinstance(await process.ask(("key:a",)), Permit)
        assert isinstance(await process.ask(("team:b",)), Permit)
        assert loop.time() - began < 105
        await process.leases.close()

    virtual(main)


def test_a_database_that_hangs_is_not_waited_for(virtual: Run, memory_store: Callable[[], object]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        store = memory_store()
        process = Process(0, store.shares(), Limit(subject="key:*", rpm=100))
        store.latency = 3600.0
        began = loop.time()
        await process.leases.start()
        outcome = await process.ask(("key:a",))
        assert isinstance(outcome, Full) and outcome.status == 503
        assert loop.time() - began < 5
        store.latency = 0.001
        await asyncio.sleep(5)
        assert isinstance(await process.ask(("key:a",)), Permit)
        await process.leases.close()

    virtual(main)


def test_what_one_process_does_not_use_another_may(virtual: Run, memory_store: Callable[[], object]) -> None:
    async def main() -> None:
        store = memory_store()
        first, second = (Process(number, store.shares(), Limit(subject="key:*", rpm=40, tpm=10_000, queue=10)) for number in range(2))
        for process in (first, second):
            await process.leases.start()
        large = await first.ask(("key:a",), 1000, 8900)
        assert isinstance(large, Permit)
        refused = await second.ask(("key:a",), 50, 500, seconds=0.2)
        assert isinstance(refused, Full) and refused.what == "tokens" and refused.limit == 10_000 and refused.used >= 9900
        large.settle(10, 10)
        large.release()
        assert isinstance(await second.ask(("key:a",), 500, 8000), Permit)
        room = second.limiter.headroom("key:a", second.clock())
        assert room.tokens is not None and 0 <= room.tokens.remaining <= 1500
        for process in (first, second):
            await process.leases.close()

    virtual(main)


def test_what_was_used_beyond_a_reservation_is_told_to_the_others(virtual: Run, memory_store: Callable[[], object]) -> None:
    async def main() -> None:
        store = memory_store()
        first, second = (Process(number, store.shares(), Limit(subject="key:*", tpm=1000)) for number in range(2))
        for process in (first, second):
            await process.leases.start()
        permit = await first.ask(("key:a",), 10, 90)
        assert isinstance(permit, Permit)
        await asyncio.sleep(10)
        permit.settle(10, 890)
        permit.release()
        await asyncio.sleep(1)
        assert isinstance(await second.ask(("key:a",), 10, 300), Full)
        assert isinstance(await second.ask(("key:a",), 10, 80), Permit)
        for process in (first, second):
            await process.leases.close()

    virtual(main)


def test_idle_limits_cost_no_transactions(virtual: Run, memory_store: Callable[[], object]) -> None:
    async def main() -> None:
        store = memory_store()
        process = Process(0, store.shares(), Limit(subject="key:*", rpm=100, concurrency=4))
        await process.leases.start()
        permit = await process.ask(("key:a",))
        assert isinstance(permit, Permit)
        permit.release()
        await asyncio.sleep(70)
        before = store.transactions
        await asyncio.sleep(3600)
        assert store.transactions == before
        assert not process.leases._live
        await process.leases.close()

    virtual(main)


def test_a_clock_that_is_set_back_admits_no_more(virtual: Run, memory_store: Callable[[], object]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        store = memory_store()
        process = Process(0, store.shares(), Limit(subject="key:*", rpm=30))
        await process.leases.start()
        log: list[tuple[float, int]] = []
        while loop.time() < 1150:
            if loop.time() > 1030 and store.ahead == 1_700_000_000.0:
                store.ahead -= 45.0
            if isinstance(await process.ask(("key:a",)), Permit):
                log.append((loop.time(), 1))
            await asyncio.sleep(0.3)
        assert most_in_a_span(log) <= 30
        assert len(log) >= 60
        await process.leases.close()

    virtual(main)
