"""Idempotency keys: carried out once, answered as often as asked (faults E20)."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.serving.envelopes import Refused
from headgate.serving.idempotency import (
    LEASE,
    TTL,
    Begun,
    Conflict,
    Gone,
    Idempotency,
    InProgress,
    New,
    Replay,
    check_key,
    refusal,
    request_hash,
)
from headgate.serving.idempotency_store import IdempotencyStore
from headgate.serving.stored import Stored
from headgate.store import Store

ANSWER = Stored(status=200, headers=(), body=b"answer")
ONE, OTHER = request_hash("/p", b"1"), request_hash("/p", b"2")


async def begin(
    keys: Idempotency, request: bytes = ONE, now: float = 0.0, *, tenant: str = "t", key: str = "k", holder: str = "h"
) -> Begun:
    """Begin a request."""
    return await keys.begin(tenant, key, request, now, holder)


def test_one_process() -> None:
    async def main() -> None:
        keys = Idempotency()
        first = await begin(keys)
        assert isinstance(first, New)
        assert await begin(keys) == InProgress()
        assert await begin(keys, OTHER) == Conflict()
        await keys.finish(first, ANSWER, 1.0)
        assert await begin(keys, now=2.0) == Replay(ANSWER)
        assert await begin(keys, OTHER, 2.0) == Conflict()
        assert isinstance(await begin(keys, now=1.0 + TTL), New)

    asyncio.run(main())


def test_what_was_not_carried_out_can_be_sent_again() -> None:
    async def main() -> None:
        keys = Idempotency()
        first = await begin(keys)
        assert isinstance(first, New)
        await keys.abandon(first)
        assert isinstance(await begin(keys, OTHER), New)

    asyncio.run(main())


def test_tenants_do_not_meet() -> None:
    async def main() -> None:
        keys = Idempotency()
        first = await begin(keys, tenant="team:red")
        assert isinstance(first, New)
        await keys.finish(first, ANSWER, 0.0)
        assert isinstance(await begin(keys, tenant="team:blue"), New)
        assert isinstance(await begin(keys, tenant="team:re", key="dk"), New)

    asyncio.run(main())


def test_whoever_took_too_long_has_lost_the_key(database: Store) -> None:
    """A request whose lease is over may be carried out anew; its late answer is not given to what came after it."""

    async def main() -> None:
        here, there = shared(database, keep_answers=True)
        slow = await begin(here, holder="slow")
        fast = await begin(there, OTHER, LEASE, holder="fast")
        assert isinstance(slow, New)
        assert isinstance(fast, New)
        await here.finish(slow, ANSWER, LEASE + 1)
        assert await begin(there, OTHER, LEASE + 2) == InProgress()
        await there.finish(fast, msgspec.structs.replace(ANSWER, body=b"fast"), LEASE + 3)
        assert await begin(there, OTHER, LEASE + 4) == Replay(msgspec.structs.replace(ANSWER, body=b"fast"))

    asyncio.run(main())


def test_a_request_under_way_keeps_its_key_however_long_it_takes(database: Store) -> None:
    """In its own process by itself, elsewhere because its lease is prolonged; afterwards and for others nothing is."""

    async def main() -> None:
        here, there = shared(database, keep_answers=True)
        alone, long = Idempotency(), await begin(here, holder="long")
        await begin(alone)
        brief = await begin(here, key="brief")
        assert isinstance(long, New)
        assert isinstance(brief, New)
        await here.finish(brief, ANSWER, 1.0)
        for now in (LEASE * step / 2 for step in range(1, 9)):
            await here.renew(now)
            await there.renew(now)
            await alone.renew(now)
            assert [await begin(one, now=now + LEASE * 0.9) for one in (here, there, alone)] == [InProgress()] * 3
        await here.finish(long, ANSWER, 5 * LEASE)
        await here.renew(6 * LEASE)
        assert await begin(there, now=7 * LEASE) == Replay(ANSWER)
        assert isinstance(await begin(there, key="brief", now=2.0 + TTL), New), "what is answered is not prolonged"
        await there.purge(6 * LEASE + 2 * TTL)

    asyncio.run(main())


def test_a_request_that_was_given_up_while_it_took_its_key_leaves_it_free(database: Store) -> None:
    async def main() -> None:
        here, there = shared(database, keep_answers=True)
        for turns in range(6):
            task = asyncio.ensure_future(begin(here, key=f"k{turns}"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if task.cancelled():
                found = await begin(there, key=f"k{turns}")
                assert isinstance(found, New), turns

    asyncio.run(main())


def test_an_answer_that_is_too_large_is_not_given_again_and_not_made_again() -> None:
    async def main() -> None:
        keys = Idempotency(largest=1000)
        first = await begin(keys)
        assert isinstance(first, New)
        await keys.finish(first, msgspec.structs.replace(ANSWER, body=b"x" * 2000), 0.0)
        assert await begin(keys) == Gone()

    asyncio.run(main())


@pytest.mark.parametrize("key", ["", " ", "a b", "ä", "x" * 256, "a\n"])
def test_keys_that_cannot_be(key: str) -> None:
    with pytest.raises(Refused) as refused:
        check_key(key)
    assert refused.value.status == 400


@pytest.mark.parametrize(("begun", "status"), [(Conflict(), 422), (InProgress(), 409), (Gone(), 409)])
def test_refusals(begun: InProgress | Conflict | Gone, status: int) -> None:
    assert refusal(begun).status == status


def shared(database: Store, *, keep_answers: bool, count: int = 2) -> list[Idempotency]:
    """The keys of several processes."""
    return [Idempotency(IdempotencyStore(database, keep_answers=keep_answers)) for _ in range(count)]


def test_processes_agree(database: Store) -> None:
    async def main() -> None:
        here, there = shared(database, keep_answers=True)
        begun = await asyncio.gather(*(begin((here, there)[n % 2], holder=f"h{n}") for n in range(40)))
        (first,) = [one for one in begun if isinstance(one, New)]
        assert [one for one in begun if one != first] == [InProgress()] * 39
        owner, other = (here, there) if int(first.holder[1:]) % 2 == 0 else (there, here)
        assert await begin(other, OTHER) == Conflict()
        await owner.finish(first, ANSWER, 1.0)
        assert await begin(owner) == await begin(other) == Replay(ANSWER)
        assert await IdempotencyStore(database).purge(2.0 + TTL) == 1

    asyncio.run(main())


def test_where_answers_may_not_lie_on_disk_another_process_knows_only_that_there_was_one(database: Store, tmp_path: Path) -> None:
    async def main() -> None:
        here, there = shared(database, keep_answers=False)
        first = await begin(here)
        assert isinstance(first, New)
        await here.finish(first, msgspec.structs.replace(ANSWER, body=b"canary-answer"), 1.0)
        assert isinstance(await begin(here), Replay)
        assert await begin(there) == Gone()

    asyncio.run(main())
    assert all(b"canary-answer" not in path.read_bytes() for path in tmp_path.iterdir())


def test_a_process_that_died_leaves_the_key_after_its_lease(database: Store) -> None:
    async def main() -> None:
        dead, alive = shared(database, keep_answers=True)
        assert isinstance(await begin(dead, holder="dead"), New)
        assert await begin(alive, now=LEASE - 1) == InProgress()
        assert isinstance(await begin(alive, now=LEASE), New)

    asyncio.run(main())


fresh = itertools.count()
steps = st.lists(
    st.tuples(st.sampled_from(["begin", "finish", "abandon", "wait", "renew"]), st.integers(0, 1), st.sampled_from([ONE, OTHER])),
    max_size=30,
)


@given(steps)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
def test_in_every_order_one_holder_at_a_time(database: Store, script: list[tuple[str, int, bytes]]) -> None:
    """Two processes, one key, any order: never two at once, and what was answered is never made again within its time."""

    key = f"k{next(fresh)}"

    async def main() -> None:
        processes = shared(database, keep_answers=True)
        now, holding, answered = 0.0, None, None
        for n, (word, slot, request) in enumerate(script):
            if word == "wait":
                now += LEASE / 4
            elif word == "renew":
                await processes[slot].renew(now)
                if holding is not None and holding[0] == slot and now < holding[2] + LEASE:
                    holding = (slot, holding[1], now, holding[3])
            elif word == "begin":
                begun = await begin(processes[slot], request, now, key=key, holder=f"h{n}")
                if isinstance(begun, New):
                    assert answered is None
                    assert holding is None or now >= holding[2] + LEASE
                    holding = (slot, begun, now, request)
                elif isinstance(begun, Replay):
                    assert answered == request
            elif holding is not None and now < holding[2] + LEASE:
                owner, begun, _, asked = holding
                await (processes[owner].finish(begun, ANSWER, now) if word == "finish" else processes[owner].abandon(begun))
                answered = asked if word == "finish" else None
                holding = None

    asyncio.run(main())
