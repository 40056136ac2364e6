"""Stopping: the first word wins, waits end at once, work under way gets its grace and no more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine

import pytest

from headgate.batch.control import INTERRUPTED, Control, Pausing, Stop


def run(work: Coroutine[object, object, object]) -> None:
    asyncio.run(work)


def test_the_first_reason_stays_and_listeners_hear_it_once() -> None:
    async def story() -> None:
        control, heard = Control(), []
        control.on_stop(lambda: heard.append(control.stopped))
        control.check()
        control.stop(INTERRUPTED)
        control.stop(Stop("later", 1))
        assert (control.stopped, heard, await control.wait()) == (INTERRUPTED, [INTERRUPTED], INTERRUPTED)
        with pytest.raises(Pausing):
            control.check()

    run(story())


def test_whoever_goes_through_items_is_met_between_two_of_them() -> None:
    async def story() -> None:
        control = Control()
        items = control.heeded(range(3))
        assert next(items) == 0
        control.stop(INTERRUPTED)
        with pytest.raises(Pausing):
            next(items)

    run(story())


def test_a_sleep_ends_with_the_stop() -> None:
    async def story() -> None:
        control = Control()
        await control.sleep(0.001)
        asyncio.get_running_loop().call_later(0.01, control.stop, INTERRUPTED)
        began = time.monotonic()
        with pytest.raises(Pausing):
            await control.sleep(60.0)
        assert time.monotonic() - began < 5.0

    run(story())


@pytest.mark.parametrize("stop_first", [True, False])
def test_work_that_ends_within_its_grace_counts(stop_first: bool) -> None:
    async def story() -> None:
        control, gate = Control(), asyncio.Event()

        async def work() -> str:
            await gate.wait()
            return "done"

        loop = asyncio.get_running_loop()
        if stop_first:
            control.stop(INTERRUPTED)
        else:
            loop.call_soon(control.stop, INTERRUPTED)
        loop.call_later(0.01, gate.set)
        assert await control.finish(work(), 30.0) == "done"

    run(story())


@pytest.mark.parametrize("stop_first", [True, False])
def test_work_beyond_its_grace_is_cancelled(stop_first: bool) -> None:
    async def story() -> None:
        control, ended = Control(), []

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        if stop_first:
            control.stop(INTERRUPTED)
        else:
            asyncio.get_running_loop().call_soon(control.stop, INTERRUPTED)
        with pytest.raises(Pausing):
            await control.finish(work(), 0.01)
        assert ended == [True]

    run(story())


def test_what_work_raises_is_raised_and_cancellation_from_outside_reaches_it() -> None:
    async def story() -> None:
        control, ended = Control(), []

        async def fails() -> None:
            raise ValueError("mine")

        async def waits() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        with pytest.raises(ValueError, match="mine"):
            await control.finish(fails(), 1.0)
        task = asyncio.create_task(control.finish(waits(), 1.0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [True]

    run(story())


def test_parked_returns_only_while_the_run_goes_on() -> None:
    async def story() -> None:
        control = Control()
        await control.parked()
        control.stop(INTERRUPTED)
        parked = asyncio.create_task(control.parked())
        done, _ = await asyncio.wait({parked}, timeout=0.01)
        assert not done
        parked.cancel()
        await asyncio.gather(parked, return_exceptions=True)

    run(story())
