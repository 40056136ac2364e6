"""Money set aside under a cap: spent + held never passes it, and whoever waits for what others hold gets it or learns that it is gone."""

from __future__ import annotations

import asyncio
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.batch.control import INTERRUPTED, Control, Pausing
from headgate.batch.run import CAP_REACHED, UNBOUNDED, Run, RunOptions


class NoTables:
    """A run that has spent nothing and holds nothing."""

    folder = None

    def totals(self, run: int) -> list[object]:
        return []

    def reserved(self, run: int) -> int:
        return 0


def run_under(cap: int | None) -> Run:
    row = SimpleNamespace(key=1, mark="abc123abc123", cost_cap_nanos=cap, mode="realtime")
    return Run(row, None, (), NoTables(), None, None, Control(), RunOptions(), lambda: 0.0, Random(1))  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(cap=st.integers(1, 100), calls=st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1)), min_size=1, max_size=30))
def test_the_cap_holds_and_nothing_that_would_fit_is_refused(cap: int, calls: list[tuple[int, float]]) -> None:
    async def story() -> None:
        run, paused = run_under(cap), 0

        async def call(bound: int, share: float) -> None:
            nonlocal paused
            try:
                await run.reserve(bound)
            except Pausing:
                paused += 1
                return
            assert run.spent + run.held <= cap
            await asyncio.sleep(0)
            run.book(bound, int(bound * share))
            assert run.spent + run.held <= cap

        await asyncio.wait_for(asyncio.gather(*(call(*one) for one in calls)), 10)
        assert run.held == 0
        if paused:
            assert run.control.stopped is CAP_REACHED
            assert run.spent + max(bound for bound, _ in calls) > cap
        else:
            assert run.control.stopped is None

    asyncio.run(story())


def test_without_a_cap_everything_is_held_and_nothing_waits() -> None:
    async def story() -> None:
        run = run_under(None)
        await run.reserve(10**15)
        await run.reserve(None)
        assert run.held == 10**15

    asyncio.run(story())


def test_what_has_no_bound_is_refused_under_a_cap() -> None:
    async def story() -> None:
        run = run_under(100)
        with pytest.raises(Pausing):
            await run.reserve(None)
        assert run.control.stopped is UNBOUNDED

    asyncio.run(story())


def test_a_stop_wakes_those_who_wait_for_money() -> None:
    async def story() -> None:
        run = run_under(10)
        await run.reserve(10)
        waiting = asyncio.create_task(run.reserve(5))
        await asyncio.sleep(0)
        run.control.stop(INTERRUPTED)
        with pytest.raises(Pausing):
            await waiting

    asyncio.run(story())


def test_request_ids_are_never_used_twice() -> None:
    async def story() -> None:
        runs = [run_under(None) for _ in range(2)]
        runs[1]._boot = "another boot"
        ids = [run.new_request_id() for run in runs for _ in range(100)]
        assert len(set(ids)) == 200 and all(id.startswith("abc123abc123-") for id in ids)

    asyncio.run(story())
