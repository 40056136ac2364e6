"""Runs the phases of chunks for the engine, and hands the chunks that come of them to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from headgate.batch.control import Pausing, Stop
from headgate.batch.engine import PHASES as LANES
from headgate.batch.pipeline import StepKind
from headgate.batch.rows import ChunkRow
from headgate.batch.run import Run
from headgate.batch.states import CLOSED_CHUNKS, OPEN_UNITS, UnitState, Verdict
from headgate.batch.steps import build, collect, expression, fan_out, realtime, submit, wait
from headgate.errors import HeadgateError

Phase = Callable[[Run, ChunkRow], Awaitable[Verdict]]

WORK: dict[str, Phase] = {"expression": expression.work, "realtime": realtime.work}
"""By lane, what answers a chunk's units."""
RESHAPE: dict[StepKind, Phase] = {StepKind.FAN_OUT: fan_out.work}
"""By kind of step, where the lane does not say enough."""
PHASES: dict[str, Phase] = {"build": build.build, "submit": submit.submit, "wait": wait.wait, "collect": collect.collect}


class Place:
    """A chunk's one place to work at, and how many want it or have it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.wanted = 0


class Runner:
    """A `PhaseRunner` over one run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.opened: asyncio.Queue[int] = asyncio.Queue()
        """Chunks that phases have opened; the driver hands them to the engine, which does not take work from inside a phase."""
        self._places: dict[int, Place] = {}
        self.begun = 0
        """How often somebody began to work on a chunk."""
        self._idle = asyncio.Event()
        self._idle.set()

    async def quiet(self, seconds: float) -> None:
        """Wait until no phase is under way, at most so long."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return

    @property
    def busy(self) -> frozenset[int]:
        """Chunks that somebody is at work on."""
        return frozenset(self._places)

    @asynccontextmanager
    async def alone(self, chunk: int) -> AsyncIterator[None]:
        """Be the only one at work on a chunk; waits for whoever is now."""
        place = self._places.setdefault(chunk, Place())
        place.wanted += 1
        self.begun += 1
        self._idle.clear()
        try:
            async with place.lock:
                yield
        finally:
            place.wanted -= 1
            if not place.wanted:
                del self._places[chunk]
            if not self._places:
                self._idle.set()

    async def phase(self, name: str, chunk: int) -> Verdict:
        """Run a phase. A failure of ours (a full disk, an unreadable file) stops the run with its reason; it never leaves the phase.

        A chunk that changed its lane may have two workflows for a while. They take turns; the one that finds the chunk in a lane which is
        not its own has come too late. In its own lane it goes on, because the other one may have ended for the same reason.
        """
        try:
            if self._too_late(name, self.run.tables.chunk(chunk)):
                return Verdict.END
            async with self.alone(chunk):
                self.run.control.check()
                row = self.run.tables.chunk(chunk)
                return Verdict.END if self._too_late(name, row) else await self._phase(name, row)
        except Pausing:
            return Verdict.PAUSED
        except HeadgateError as error:
            self.run.control.stop(Stop(error.message, 1, failed=True, hint=error.hint))
            return Verdict.PAUSED

    def _too_late(self, name: str, row: ChunkRow) -> bool:
        return row.state in CLOSED_CHUNKS or name not in LANES[row.lane]

    async def _phase(self, name: str, chunk: ChunkRow) -> Verdict:
        if name == "advance":
            return await self._advance(chunk)
        kind = self.run.steps[chunk.step].step.kind
        work = RESHAPE.get(kind) or WORK[chunk.lane] if name == "work" else PHASES[name]
        verdict = await work(self.run, chunk)
        if verdict is Verdict.END:
            for other in self.run.tables.open_chunks(self.run.row.key):
                if chunk.id in (other.id, other.parent):
                    self.opened.put_nowait(other.id)
        return verdict

    async def _advance(self, chunk: ChunkRow) -> Verdict:
        undecided = [u for u in self.run.tables.units(chunk.id) if u.state in OPEN_UNITS and u.state is not UnitState.RETRY]
        if undecided:
            raise HeadgateError(
                f"chunk {chunk.id} was to be closed with {len(undecided)} units undecided; this is a defect, please report it"
            )
        for child in await self.run.tables.advance(chunk, self.run.ways(chunk.step), self.run.clock()):
            self.opened.put_nowait(child)
        return Verdict.END

    async def parked(self) -> None:
        """Where workflows wait for the process to end."""
        await self.run.control.parked()


def workflow_id(run_id: str, chunk: ChunkRow) -> str:
    """The engine's name for a chunk's workflow."""
    return f"{run_id}:{chunk.id}:{chunk.epoch}"
