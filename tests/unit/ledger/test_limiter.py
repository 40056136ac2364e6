"""Admission: all subjects or none, exact returns, nothing lost to cancelling, and a fair queue."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.ledger.limit_gates import FREE, Permit
from headgate.ledger.limiter import Limiter
from headgate.ledger.limits import UNLIMITED, Full, Limit, Room
from headgate.ledger.upstream_quota import quotas_of

Run = Callable[[Callable[[], Awaitable[None]]], None]
BIG = 10**9


def admitted(outcome: Permit | Full) -> Permit:
    """The permit of an admission."""
    assert isinstance(outcome, Permit), outcome
    return outcome


def refused(outcome: Permit | Full) -> Full:
    """The refusal."""
    assert isinstance(outcome, Full)
    return outcome


def test_what_nothing_limits_is_admitted_without_a_trace() -> None:
    limiter = Limiter([Limit(subject="key:b", rpm=1)])
    for _ in range(3):
        permit = limiter.admit(("global", "key:a"), 1, BIG, BIG, 0.0)
        assert permit is FREE
        permit.settle(1, 1)
        permit.release()
        permit.undo()
    assert limiter.headroom("key:a", 0.0) is UNLIMITED


def test_every_subject_must_have_room_and_a_refusal_takes_nothing() -> None:
    limiter = Limiter([Limit(subject="key:*", rpm=3), Limit(subject="provider:x", tpm=100)])
    admitted(limiter.admit(("key:a", "provider:x"), 1, 40, 40, 0.0))
    full = refused(limiter.admit(("key:b", "provider:x"), 1, 10, 20, 0.0))
    assert (full.subject, full.what, full.limit, full.used, full.needed, full.waits) == ("provider:x", "tokens", 100, 80, 30, False)
    assert full.retry_after == 62.0
    assert limiter.headroom("key:b", 0.0).requests == Room(3, 3, 0.0)
    assert limiter.headroom("key:a", 0.0).requests == Room(3, 2, 62.0)
    admitted(limiter.admit(("key:b", "provider:x"), 1, 10, 20, 62.0))


def test_settling_returns_what_was_not_used_and_counts_what_was_used_beyond() -> None:
    limiter = Limiter([Limit(subject="key:a", tpm=1000, input_tpm=500, output_tpm=800)])
    one = admitted(limiter.admit(("key:a",), 1, 100, 700, 0.0))
    for _ in range(2):
        one.settle(150, 50)
    room = limiter.headroom("key:a", 0.0)
    assert room.tokens is not None and room.input_tokens is not None and room.output_tokens is not None
    assert (room.tokens.remaining, room.input_tokens.remaining, room.output_tokens.remaining) == (800, 350, 750)


def test_undoing_takes_back_the_request_as_well() -> None:
    limiter = Limiter([Limit(subject="key:a", rpm=1, tpm=10, concurrency=1)])
    before = limiter.headroom("key:a", 0.0)
    permit = admitted(limiter.admit(("key:a",), 1, 5, 5, 0.0))
    for _ in range(2):
        permit.undo()
        permit.settle(9, 9)
        permit.release()
    assert limiter.headroom("key:a", 0.0) == before


def test_places_at_a_time_are_free_when_released_once() -> None:
    limiter = Limiter([Limit(subject="key:a", concurrency=2)])
    one, _ = (admitted(limiter.admit(("key:a",), 1, 0, 0, 0.0)) for _ in range(2))
    full = refused(limiter.admit(("key:a",), 1, 0, 0, 0.0))
    assert (full.what, full.limit, full.used, full.status) == ("concurrency", 2, 2, 429)
    one.release()
    one.release()
    admitted(limiter.admit(("key:a",), 1, 0, 0, 0.0))
    assert refused(limiter.admit(("key:a",), 1, 0, 0, 0.0)).what == "concurrency"


def test_a_request_larger_than_the_limit_is_told_so() -> None:
    limiter = Limiter([Limit(subject="key:a", tpm=100, queue=10)])
    full = refused(limiter.admit(("key:a",), 1, 50, 60, 0.0))
    assert full.retry_after is None
    assert not full.waits


def test_a_key_with_a_limit_of_its_own_and_a_new_configuration() -> None:
    now = 50.0
    limiter = Limiter([Limit(subject="key:*", rpm=5)], clock=lambda: now)
    for _ in range(3):
        admitted(limiter.admit(("key:a",), 1, 0, 0, now))
    limiter.assign("key:a", Limit(subject="key:a", rpm=3, tpm=7))
    assert refused(limiter.admit(("key:a",), 1, 0, 0, now)).limit == 3
    limiter.assign("key:a", None)
    admitted(limiter.admit(("key:a",), 1, 99, 99, now))
    limiter.replace([])
    permit = admitted(limiter.admit(("key:a",), 1, 0, 0, now))
    limiter.replace([Limit(subject="key:*", rpm=4)])
    admitted(limiter.admit(("key:b",), 1, 0, 0, now))
    permit.release()


def test_limits_that_shrink_keep_what_was_used() -> None:
    limiter = Limiter([Limit(subject="key:*", rpm=5, concurrency=5)], clock=lambda: 0.0)
    permits = [admitted(limiter.admit(("key:a",), 1, 0, 0, 0.0)) for _ in range(4)]
    limiter.replace([Limit(subject="key:*", rpm=5, concurrency=3)])
    assert refused(limiter.admit(("key:a",), 1, 0, 0, 0.0)).what == "concurrency"
    for permit in permits:
        permit.release()
    admitted(limiter.admit(("key:a",), 1, 0, 0, 0.0))
    assert refused(limiter.admit(("key:a",), 1, 0, 0, 0.0)).what == "requests"


def test_what_a_provider_says_is_left_is_a_ceiling_while_it_is_near() -> None:
    limiter = Limiter([Limit(subject="deployment:d", rpm=1000)])
    subjects = ("deployment:d",)
    head = {"x-ratelimit-limit-requests": "500", "x-ratelimit-remaining-requests": "2", "x-ratelimit-reset-requests": "20s"}
    limiter.heard("deployment:d", quotas_of(head, 0.0), 0.0)
    assert limiter.headroom("deployment:d", 0.0).requests == Room(500, 2, 20.0)
    for _ in range(2):
        admitted(limiter.admit(subjects, 1, 1, 1, 1.0)).release()
    full = refused(limiter.admit(subjects, 1, 1, 1, 5.0))
    assert (full.what, full.limit, full.used, full.retry_after) == ("requests", 500, 500, 15.0)
    assert "of the provider's own limit" in full.message
    limiter.heard("deployment:d", quotas_of({**head, "x-ratelimit-remaining-requests": "400"}, 0.0), 6.0)
    admitted(limiter.admit(subjects, 1, 1, 1, 6.0))
    limiter.heard("deployment:d", quotas_of({**head, "x-ratelimit-remaining-requests": "0"}, 0.0), 7.0)
    refused(limiter.admit(subjects, 1, 1, 1, 26.9))
    admitted(limiter.admit(subjects, 1, 1, 1, 27.0))


def test_requests_under_way_count_against_what_a_provider_says_is_left() -> None:
    limiter = Limiter([Limit(subject="deployment:d", rpm=1000)])
    for _ in range(4):
        admitted(limiter.admit(("deployment:d",), 1, 1, 1, 0.0))
    limiter.heard("deployment:d", quotas_of({"x-ratelimit-remaining-requests": "5"}, 0.0), 0.0)
    assert limiter.headroom("deployment:d", 0.0).requests == Room(0, 2, 60.0)


def test_subjects_that_use_nothing_are_forgotten_and_those_that_do_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.ledger.limiter.GATES", 50)
    limiter = Limiter([Limit(subject="key:*", rpm=1)])
    admitted(limiter.admit(("key:kept",), 1, 0, 0, 0.0))
    for number in range(500):
        limiter.headroom(f"key:{number}", 0.0)
    assert len(limiter._gates) <= 50
    refused(limiter.admit(("key:kept",), 1, 0, 0, 0.0))


@given(st.data())
def test_fits_says_what_admit_does(data: st.DataObject) -> None:
    limiter = Limiter([Limit(subject="key:*", rpm=6, tpm=50, concurrency=3), Limit(subject="provider:x", output_tpm=60)])
    now = 0.0
    permits: list[Permit] = []
    for _ in range(data.draw(st.integers(1, 30))):
        now += data.draw(st.floats(0, 20))
        subjects = (data.draw(st.sampled_from(["key:a", "key:b"])), "provider:x")
        ask = (1, data.draw(st.integers(0, 20)), data.draw(st.integers(0, 20)))
        fits = limiter.fits(subjects, *ask, now)
        outcome = limiter.admit(subjects, *ask, now)
        assert fits == isinstance(outcome, Permit)
        if isinstance(outcome, Permit):
            permits.append(outcome)
        if permits and data.draw(st.booleans()):
            permit = permits.pop()
            permit.settle(data.draw(st.integers(0, 25)), data.draw(st.integers(0, 20)))
            permit.release()


@given(st.data())
def test_an_end_is_a_settlement_and_a_release(data: st.DataObject) -> None:
    """Whatever was called before."""
    limits = [Limit(subject="key:*", rpm=60, tpm=900, concurrency=9), Limit(subject="deployment:d", output_tpm=600)]
    one, other = Limiter(limits), Limiter(limits)
    subjects, now = ("key:a", "deployment:d"), 0.0
    for _ in range(data.draw(st.integers(1, 12))):
        now += data.draw(st.floats(0, 20))
        ask = (1, data.draw(st.integers(0, 20)), data.draw(st.integers(0, 20)))
        pair = one.admit(subjects, *ask, now), other.admit(subjects, *ask, now)
        if not isinstance(pair[0], Permit) or not isinstance(pair[1], Permit):
            assert pair[0] == pair[1]
            continue
        used = data.draw(st.integers(0, 25)), data.draw(st.integers(0, 20))
        early = data.draw(st.sampled_from(["", "settle", "release", "both"]))
        for permit in pair:
            if early in ("settle", "both"):
                permit.settle(*used)
            if early in ("release", "both"):
                permit.release()
        pair[0].end(*used)
        pair[1].settle(*used)
        pair[1].release()
        for subject in subjects:
            assert one.headroom(subject, now) == other.headroom(subject, now)


def virtual_limiter(*limits: Limit) -> Limiter:
    """A limiter in the running loop's time."""
    return Limiter(limits, clock=asyncio.get_running_loop().time)


def test_a_request_waits_for_its_turn_within_its_time(virtual: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        limiter = virtual_limiter(Limit(subject="key:a", rpm=1, queue=100))
        began = loop.time()
        admitted(await limiter.admit_within(("key:a",), 1, 0, 0, began + 200)).release()
        admitted(await limiter.admit_within(("key:a",), 1, 0, 0, began + 200)).release()
        assert 60 <= loop.time() - began <= 62.1
        late = loop.time()
        full = refused(await limiter.admit_within(("key:a",), 1, 0, 0, late + 5))
        assert (full.what, full.limit, full.used, full.waits) == ("requests", 1, 1, False)
        assert loop.time() - late == pytest.approx(5)
        assert limiter.waiting == 0

    virtual(main)


def test_only_so_many_wait_and_not_longer_than_the_limit_says(virtual: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        limiter = virtual_limiter(Limit(subject="key:a", concurrency=1, queue=3, queue_length=2))
        holder = admitted(limiter.admit(("key:a",), 1, 0, 0, loop.time()))
        began = loop.time()
        tasks = [loop.create_task(limiter.admit_within(("key:a",), 1, 0, 0, began + 60)) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert limiter.waiting == 2
        assert refused(limiter.admit(("key:a",), 1, 0, 0, loop.time())).what == "concurrency"
        outcomes = [refused(await task) for task in tasks]
        assert Counter(full.what for full in outcomes) == {"concurrency": 2, "queue": 1}
        assert loop.time() - began == pytest.approx(3)
        holder.release()
        assert limiter.fits(("key:a",), 1, 0, 0, loop.time())

    virtual(main)


def test_nobody_overtakes_those_who_wait(virtual: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        limiter = virtual_limiter(Limit(subject="key:a", tpm=100, queue=200))
        admitted(limiter.admit(("key:a",), 1, 60, 0, loop.time())).release()
        large = loop.create_task(limiter.admit_within(("key:a",), 1, 90, 0, loop.time() + 200))
        await asyncio.sleep(1)
        full = refused(limiter.admit(("key:a",), 1, 1, 0, loop.time()))
        assert full.what == "queue" and full.waits
        small = loop.create_task(limiter.admit_within(("key:a",), 1, 1, 0, loop.time() + 200))
        admitted(await large).release()
        assert not small.done() or small.result()
        admitted(await small).release()

    virtual(main)


def test_keys_take_turns(virtual: Run) -> None:
    """A tenant with a hundred waiting holds up a tenant with one by one request, not by a hundred."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        limiter = virtual_limiter(Limit(subject="deployment:d", concurrency=2, queue=1000))
        order: list[str] = []

        async def ask(key: str) -> None:
            permit = admitted(await limiter.admit_within((key, "deployment:d"), 1, 0, 0, loop.time() + 1000))
            order.append(key)
            await asyncio.sleep(1)
            permit.release()

        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(ask("key:greedy"))
            await asyncio.sleep(0.5)
            for _ in range(5):
                group.create_task(ask("key:modest"))
                group.create_task(ask("key:other"))
        assert order.index("key:modest") <= 4
        last = max(place for place, key in enumerate(order) if key != "key:greedy")
        assert last <= 2 + 3 * 5 + 2
        assert len(order) == 110

    virtual(main)


def test_a_waiter_that_cannot_have_one_thing_holds_up_none_who_want_another(virtual: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        limiter = virtual_limiter(Limit(subject="key:a", rpm=1, queue=500), Limit(subject="deployment:d", concurrency=1, queue=500))
        held = admitted(limiter.admit(("key:a", "deployment:d"), 1, 0, 0, loop.time()))
        slow = loop.create_task(limiter.admit_within(("key:a", "deployment:d"), 1, 0, 0, loop.time() + 500))
        quick = loop.create_task(limiter.admit_within(("key:b", "deployment:d"), 1, 0, 0, loop.time() + 500))
        await asyncio.sleep(1)
        began = loop.time()
        held.release()
        admitted(await quick).release()
        assert loop.time() == began
        admitted(await slow).release()
        assert limiter.waiting == 0

    virtual(main)


@pytest.mark.parametrize("seed", range(8))
def test_whoever_is_cancelled_takes_nothing_along(seed: int, virtual: Run) -> None:
    """Random waits, cancels and refunds: afterwards every place and every token is back."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        rand = random.Random(seed)
        limiter = virtual_limiter(
            Limit(subject="key:*", rpm=40, concurrency=3, queue=20),
            Limit(subject="deployment:d", tpm=2000, concurrency=4, queue=20, queue_length=30),
        )
        subjects = [(f"key:{number}", "deployment:d") for number in range(4)]
        most = 0

        async def one() -> None:
            nonlocal most
            outcome = await limiter.admit_within(rand.choice(subjects), 1, 100, 200, loop.time() + rand.uniform(0, 30))
            if isinstance(outcome, Permit):
                try:
                    most = max(most, sum(gate.active for gate in limiter._gates.values() if gate.subject == "deployment:d"))
                    await asyncio.sleep(rand.uniform(0, 3))
                    used = rand.randint(0, 100), rand.randint(0, 200)
                    outcome.end(*used) if rand.random() < 0.5 else outcome.settle(*used)
                finally:
                    outcome.release()

        tasks: list[asyncio.Task[None]] = []
        for _ in range(300):
            tasks.append(loop.create_task(one()))
            if rand.random() < 0.4:
                rand.choice(tasks).cancel()
            if rand.random() < 0.5:
                await asyncio.sleep(rand.uniform(0, 1))
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not [task for task in tasks if not task.cancelled() and task.exception()]
        assert most <= 4
        assert limiter.waiting == 0
        assert [gate.active for gate in limiter._gates.values()] == [0] * len(limiter._gates)
        later = loop.time() + 100
        for subject in ("key:0", "deployment:d"):
            room = limiter.headroom(subject, later)
            for one_room in (room.requests, room.tokens, room.concurrency):
                assert one_room is None or one_room.remaining == one_room.limit

    virtual(main)


def test_a_permit_that_nobody_takes_goes_back(virtual: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        limiter = virtual_limiter(Limit(subject="key:a", concurrency=1, rpm=2, queue=10))
        held = admitted(limiter.admit(("key:a",), 1, 0, 0, loop.time()))
        task = loop.create_task(limiter.admit_within(("key:a",), 1, 0, 0, loop.time() + 10))
        await asyncio.sleep(0.1)
        held.release()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        room = limiter.headroom("key:a", loop.time())
        assert room.concurrency is not None and room.concurrency.remaining == 1
        assert room.requests is not None and room.requests.remaining == 1

    virtual(main)
