"""Phases of one chunk take turns, whichever of its workflows asks for them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from headgate.batch import runner as module
from headgate.batch.control import Control
from headgate.batch.runner import Runner
from headgate.batch.states import ChunkState, Verdict


class Work:
    """A realtime step's work that lasts until it is let go, and counts how many are at it."""

    def __init__(self) -> None:
        self.row = SimpleNamespace(id=1, lane="realtime", state=ChunkState.OPEN, step=0)
        self.control = Control()
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self.at_once = self.most = self.calls = 0
        step = SimpleNamespace(step=SimpleNamespace(kind="chunk"))
        tables = SimpleNamespace(chunk=lambda chunk: self.row, open_chunks=lambda run: [self.row])
        self.runner = Runner(SimpleNamespace(control=self.control, tables=tables, steps=[step], row=SimpleNamespace(key=1)))

    async def __call__(self, run: object, chunk: object) -> Verdict:
        self.at_once, self.calls = self.at_once + 1, self.calls + 1
        self.most = max(self.most, self.at_once)
        self.begun.set()
        await self.go_on.wait()
        self.at_once -= 1
        return Verdict.NEXT


async def begin(work: Work, monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Task[Verdict], asyncio.Task[Verdict]]:
    """Two workflows at the same phase of the same chunk: one is at work, one waits."""
    monkeypatch.setitem(module.WORK, "realtime", work)
    tasks = tuple(asyncio.create_task(work.runner.phase("work", 1)) for _ in range(2))
    await work.begun.wait()
    assert work.runner.busy == {1}
    return tasks


def test_two_workflows_of_a_chunk_take_turns_and_both_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither ends because of the other: it might be the only one that is left."""

    async def main() -> None:
        work = Work()
        tasks = await begin(work, monkeypatch)
        work.go_on.set()
        assert await asyncio.gather(*tasks) == [Verdict.NEXT, Verdict.NEXT]
        assert (work.calls, work.most, work.runner.busy) == (2, 1, frozenset())
        await work.runner.quiet(1.0)

    asyncio.run(main())


@pytest.mark.parametrize(("lane", "state"), [("batch", ChunkState.OPEN), ("realtime", ChunkState.DONE)])
def test_a_workflow_whose_chunk_went_on_while_it_waited_has_come_too_late(
    monkeypatch: pytest.MonkeyPatch, lane: str, state: ChunkState
) -> None:
    async def main() -> None:
        work = Work()
        tasks = await begin(work, monkeypatch)
        work.row.lane, work.row.state = lane, state
        work.go_on.set()
        assert await asyncio.gather(*tasks) == [Verdict.NEXT, Verdict.END]
        assert work.calls == 1

    asyncio.run(main())


def test_a_workflow_that_waits_pauses_when_the_run_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        work = Work()
        tasks = await begin(work, monkeypatch)
        work.control.stop(module.Stop("enough", 130))
        work.go_on.set()
        assert await asyncio.gather(*tasks) == [Verdict.NEXT, Verdict.PAUSED]

    asyncio.run(main())


def test_a_chunk_that_the_driver_moves_is_left_alone_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        work = Work()
        monkeypatch.setitem(module.WORK, "realtime", work)
        work.go_on.set()
        async with work.runner.alone(1):
            task = asyncio.create_task(work.runner.phase("work", 1))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not work.calls
            work.row.lane = "batch"
        assert await task is Verdict.END
        assert not work.calls

    asyncio.run(main())
