"""Slots: never too many, first come first served, narrower after a rate limit, none lost whatever is cancelled."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.batch.control import INTERRUPTED, Control, Pausing
from headgate.batch.limiter import Limiter


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 30), st.integers(0, 2**32))
def test_never_more_than_the_ceiling_and_no_slot_is_lost(ceiling: int, tasks: int, seed: int) -> None:
    async def story() -> None:
        limiter, random, most = Limiter(ceiling, Control()), Random(seed), 0

        async def call() -> None:
            nonlocal most
            async with limiter.slot():
                most = max(most, limiter.in_flight)
                for _ in range(random.randint(0, 3)):
                    await asyncio.sleep(0)

        started = [asyncio.create_task(call()) for _ in range(tasks)]
        for task in started:
            if random.random() < 0.3:
                await asyncio.sleep(0)
                task.cancel()
        await asyncio.gather(*started, return_exceptions=True)
        assert most <= ceiling
        assert limiter.in_flight == 0
        async with limiter.slot():
            assert limiter.in_flight == 1

    asyncio.run(story())


def test_first_come_first_served() -> None:
    async def story() -> None:
        limiter, order = Limiter(1, Control()), []

        async def call(number: int) -> None:
            async with limiter.slot():
                order.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(call(number) for number in range(20)))
        assert order == list(range(20))

    asyncio.run(story())


def test_a_rate_limit_halves_the_width_and_holds_everybody() -> None:
    async def story() -> None:
        limiter = Limiter(8, Control())
        loop = asyncio.get_running_loop()
        limiter.limited(0.05)
        began = loop.time()
        async with limiter.slot():
            assert loop.time() - began >= 0.045
        assert limiter.width == 4
        for _ in range(5):
            limiter.limited(0.0)
        assert limiter.width == 1
        for _ in range(200):
            limiter.succeeded()
        assert limiter.width == 8

    asyncio.run(story())


@pytest.mark.parametrize("resting", [False, True])
def test_a_stop_wakes_everybody_who_waits(resting: bool) -> None:
    async def story() -> None:
        control = Control()
        limiter, ended = Limiter(1, control), []
        if resting:
            limiter.limited(60.0)

        async def call() -> None:
            try:
                async with limiter.slot():
                    await control.wait()
                    ended.append("worked")
            except Pausing:
                ended.append("paused")

        tasks = [asyncio.create_task(call()) for _ in range(5)]
        await asyncio.sleep(0)
        control.stop(INTERRUPTED)
        await asyncio.wait_for(asyncio.gather(*tasks), 5.0)
        assert sorted(ended) == ["paused"] * (5 if resting else 4) + ["worked"] * (not resting)
        assert limiter.in_flight == 0

    asyncio.run(story())


def test_only_calls_in_a_row_without_an_answer_count() -> None:
    async def story() -> None:
        limiter = Limiter(4, Control())
        assert [limiter.unanswered(), limiter.unanswered()] == [1, 2]
        limiter.refused()
        assert limiter.unanswered() == 1
        limiter.succeeded()
        assert limiter.unanswered() == 1

    asyncio.run(story())
