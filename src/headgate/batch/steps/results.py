"""Storing findings: payload frame first, then one transaction for attempts, units, counters and the ledger's posting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from headgate.batch.rows import ChunkRow, SegmentRow
from headgate.batch.run import Run, StepPlan
from headgate.batch.segments import SegmentWriter
from headgate.batch.states import ChunkState
from headgate.batch.steps.attempts import Finding, line_numbers, lines_of, posting, to_attempt

FRAME_ROWS = 1000


class ResultStore:
    """Appends the findings of one chunk (and one `submission`, with what it set aside). An async context manager; one writer per chunk."""

    def __init__(self, run: Run, plan: StepPlan, chunk: ChunkRow, submission: str | None = None, reserved: int = 0) -> None:
        self.submission = submission
        self.reserved = reserved
        self.run = run
        self.plan = plan
        self.chunk = chunk
        self._row: SegmentRow | None = None
        self._writer: SegmentWriter | None = None

    async def __aenter__(self) -> ResultStore:
        name = f"segments/{self.chunk.step:02d}-{self.chunk.id:06d}.jsonl.zst"
        self._row = await self.run.tables.segment(self.run.row.key, name)
        self._writer = self.run.tables.writer(self._row)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    async def store(self, findings: Sequence[Finding], *, released: int = 0, closes: ChunkState | None = None) -> None:
        """Store findings in frames of at most a thousand; with `closes` the last one ends the submission and sets the chunk's state.

        What they cost is taken out of what the submission had set aside; `released` gives back what single calls had.
        """
        groups = [findings[i : i + FRAME_ROWS] for i in range(0, len(findings), FRAME_ROWS)] or [findings]
        for group in groups:
            await self._store_group(group, closes if group is groups[-1] else None)
            spent = sum(f.cost.nanos or 0 for f in group)
            used = min(spent, self.reserved)
            self.reserved -= used
            self.run.book(used, spent)
        if closes is not None:
            released, self.reserved = released + self.reserved, 0
        self.run.book(released, 0)

    async def _store_group(self, findings: Sequence[Finding], closes: ChunkState | None) -> None:
        assert self._row is not None and self._writer is not None
        run, chunk, writer = self.run, self.chunk, self._writer
        before = writer.offset, writer.rows
        frame = await asyncio.to_thread(writer.append, lines_of(chunk, findings)) if findings else None
        places = zip(findings, line_numbers(findings), strict=True)
        attempts = [to_attempt(run, self.plan, chunk, finding, line, self.submission) for finding, line in places]
        try:
            await run.tables.commit(
                run.row.key,
                chunk.id,
                attempts,
                at=run.clock(),
                segment=self._row.id,
                frame=frame,
                posting=posting(run, self.plan, chunk, f"{run.mark}/{chunk.id}/{before[1]}", findings),
                submission=self.submission,
                closes=closes,
            )
        except BaseException:
            writer.offset, writer.rows = before
            raise
