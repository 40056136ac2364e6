"""The durable engine's promises, which everything else relies on, tried against the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from headgate.batch.engine import Engine, QueueSettings
from headgate.batch.states import Verdict


class Script:
    """A `PhaseRunner` that answers as told and notes what it was asked."""

    def __init__(self, answer: Callable[[str, int], Verdict | BaseException]) -> None:
        self.asked: list[tuple[str, int]] = []
        self.pausing = False
        self._answer = answer
        self._news = asyncio.Event()

    async def phase(self, name: str, chunk: int) -> Verdict:
        self.asked.append((name, chunk))
        self._news.set()
        answer = self._answer(name, chunk)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def parked(self) -> None:
        if self.pausing:
            await asyncio.Event().wait()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                self._news.clear()
                await self._news.wait()


async def ended(engine: Engine, workflow: str) -> str:
    for _ in range(1000):
        status = await engine.status(workflow)
        if status in ("SUCCESS", "ERROR"):
            return status
        await asyncio.sleep(0.02)
    raise AssertionError(f"{workflow} is still {status}")


def engine_with(folder: Path, script: Script, limit: int = 2) -> Engine:
    return Engine(folder, "home-test", script, QueueSettings(expression=limit, realtime=limit, batch=limit, poll=0.02))


def test_phases_run_in_order_once_and_an_id_only_once(tmp_path: Path) -> None:
    async def story() -> None:
        script = Script(lambda name, chunk: Verdict.NEXT)
        engine = engine_with(tmp_path, script)
        await engine.start()
        for _ in range(3):
            await engine.enqueue("w1", "batch", 1)
        assert await ended(engine, "w1") == "SUCCESS"
        assert await engine.status("never") is None
        assert await engine.failures() == []
        await engine.stop()
        assert script.asked == [(name, 1) for name in ("build", "submit", "wait", "collect", "advance")]

    asyncio.run(story())


def test_a_paused_phase_is_asked_again_after_the_next_start_and_finished_ones_are_not(tmp_path: Path) -> None:
    async def first() -> None:
        script = Script(lambda name, chunk: Verdict.PAUSED if name == "wait" else Verdict.NEXT)
        script.pausing = True
        engine = engine_with(tmp_path, script)
        await engine.start()
        await engine.enqueue("w", "batch", 7)
        await script.until(lambda: ("wait", 7) in script.asked)
        await engine.stop()
        assert [name for name, _ in script.asked] == ["build", "submit", "wait"]

    async def second() -> None:
        script = Script(lambda name, chunk: Verdict.NEXT)
        engine = engine_with(tmp_path, script)
        await engine.start()
        assert await ended(engine, "w") == "SUCCESS"
        assert await engine.failures() == []
        await engine.stop()
        assert [name for name, _ in script.asked if name != "wait"] == ["collect", "advance"]

    asyncio.run(first())
    asyncio.run(second())


def test_again_repeats_end_ends_and_an_exception_is_a_failure(tmp_path: Path) -> None:
    async def story() -> None:
        answers = {("work", 1): [Verdict.AGAIN, Verdict.AGAIN, Verdict.NEXT], ("work", 2): [Verdict.END], ("work", 3): [ValueError("bug")]}
        script = Script(lambda name, chunk: answers.get((name, chunk), [Verdict.NEXT]).pop(0))
        engine = engine_with(tmp_path, script)
        await engine.start()
        for chunk in (1, 2, 3):
            await engine.enqueue(f"w{chunk}", "realtime", chunk)
        assert [await ended(engine, f"w{chunk}") for chunk in (1, 2, 3)] == ["SUCCESS", "SUCCESS", "ERROR"]
        assert [(name, "bug" in error) for name, error in await engine.failures()] == [("w3", True)]
        await engine.stop()
        assert script.asked.count(("work", 1)) == 3
        assert ("advance", 2) not in script.asked

    asyncio.run(story())


def test_no_more_chunks_of_a_lane_at_once_than_its_queue_allows(tmp_path: Path) -> None:
    async def story() -> None:
        gate, under_way, most = asyncio.Event(), 0, 0

        class Counting(Script):
            async def phase(self, name: str, chunk: int) -> Verdict:
                nonlocal under_way, most
                under_way += 1
                most = max(most, under_way)
                self.asked.append((name, chunk))
                self._news.set()
                await gate.wait()
                under_way -= 1
                return Verdict.END

        script = Counting(lambda name, chunk: Verdict.END)
        engine = engine_with(tmp_path, script, limit=2)
        await engine.start()
        for chunk in range(6):
            await engine.enqueue(f"w{chunk}", "realtime", chunk)
        await script.until(lambda: under_way == 2)
        gate.set()
        for chunk in range(6):
            assert await ended(engine, f"w{chunk}") == "SUCCESS"
        await engine.stop()
        assert most == 2

    asyncio.run(story())
