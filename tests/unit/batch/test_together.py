"""Many small things at once: every item is written once before its giver goes on, and never more tasks are begun than there is room for."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.batch.control import Pausing
from headgate.batch.together import Crowd, Together
from headgate.errors import StoreError


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**32))
def test_whoever_adds_goes_on_only_when_the_item_is_written_and_each_is_written_once(items: int, seed: int) -> None:
    async def story() -> None:
        random = Random(seed)
        written: list[int] = []
        under_way = 0

        async def write(group: list[int]) -> None:
            nonlocal under_way
            under_way += 1
            assert under_way == 1
            for _ in range(random.randint(0, 3)):
                await asyncio.sleep(0)
            under_way -= 1
            if 13 in group:
                raise StoreError("the disk is full")
            written.extend(group)

        together = Together(write)

        async def add(item: int) -> None:
            for _ in range(random.randint(0, 5)):
                await asyncio.sleep(0)
            try:
                await together.add(item)
            except StoreError:
                assert item not in written
            else:
                assert item in written

        tasks = [asyncio.create_task(add(item)) for item in range(items)]
        for task in tasks:
            if random.random() < 0.2:
                await asyncio.sleep(0)
                task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        await together.close()
        assert not [outcome for outcome in outcomes if outcome is not None and not isinstance(outcome, asyncio.CancelledError)]
        assert len(set(written)) == len(written)

    asyncio.run(story())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(0, 40), st.integers(0, 2**32))
def test_a_crowd_keeps_to_its_room_and_ends_with_its_last_task(most: int, count: int, seed: int) -> None:
    async def story() -> None:
        random, under_way, ended, highest = Random(seed), 0, 0, 0

        async def work() -> None:
            nonlocal under_way, ended, highest
            under_way += 1
            highest = max(highest, under_way)
            for _ in range(random.randint(0, 4)):
                await asyncio.sleep(0)
            under_way -= 1
            ended += 1

        async with Crowd(most) as crowd:
            for _ in range(count):
                await crowd.room()
                crowd.start(work())
        assert (ended, under_way) == (count, 0)
        assert highest <= most

    asyncio.run(story())


@pytest.mark.parametrize(("faults", "raised"), [([Pausing()], Pausing), ([Pausing(), StoreError("full")], StoreError)])
def test_the_worst_of_a_crowd_is_raised_after_the_others_have_ended(faults: list[Exception], raised: type[Exception]) -> None:
    async def story() -> None:
        ended = []

        async def fail(fault: Exception) -> None:
            raise fault

        async def last() -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            ended.append(True)

        with pytest.raises(raised):
            async with Crowd(10) as crowd:
                for fault in faults:
                    crowd.start(fail(fault))
                crowd.start(last())
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert crowd.failed
                await crowd.room()
        assert ended == [True]

    asyncio.run(story())


def test_a_crowd_that_is_left_by_an_exception_is_cancelled() -> None:
    async def story() -> None:
        cancelled = []

        async def forever() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        with pytest.raises(KeyError):
            async with Crowd(2) as crowd:
                crowd.start(forever())
                crowd.start(forever())
                await asyncio.sleep(0)
                raise KeyError
        assert cancelled == [True, True]

    asyncio.run(story())
