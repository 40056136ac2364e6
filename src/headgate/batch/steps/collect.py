"""The collect phase: every row that exists is kept, every unit is decided, in any end of the job."""

from __future__ import annotations

import asyncio

from headgate.batch.control import Stop
from headgate.batch.evaluate import failed
from headgate.batch.reasons import Reason
from headgate.batch.rows import ChunkRow, SubmissionRow
from headgate.batch.run import Run
from headgate.batch.states import ChunkState, Outcome, SubmissionState, UnitState, Verdict
from headgate.batch.steps import room
from headgate.batch.steps.attempts import Finding, lost_answer
from headgate.batch.steps.cached import built_keys, remember
from headgate.batch.steps.jobs import batch_client, fetch, handle_of, look, read_rows, remove, row_bounds
from headgate.batch.steps.results import ResultStore
from headgate.batch.steps.rows import Matcher, Tally, findings_of
from headgate.batch.steps.submit import submit
from headgate.batch.steps.wait import wait
from headgate.dialects.batch import TERMINAL, BatchState, BatchStatus


async def collect(run: Run, chunk: ChunkRow) -> Verdict:
    """Take every row that exists, whatever the job's end was, and decide every unit of it."""
    submission = run.tables.last_submission(chunk.id)
    if submission is None or submission.state is SubmissionState.COLLECTED:
        return Verdict.NEXT
    if submission.state in (SubmissionState.INTENT, SubmissionState.SUBMITTED, SubmissionState.REFUSED):
        done = await submit(run, chunk)
        if done is Verdict.NEXT:
            await wait(run, chunk)
        return done if done is Verdict.END else Verdict.AGAIN
    return await Collector(run, chunk, submission).collect()


class Collector:
    """Collects one job that is over."""

    def __init__(self, run: Run, chunk: ChunkRow, submission: SubmissionRow) -> None:
        self.run = run
        self.chunk = chunk
        self.submission = submission
        self.plan = run.steps[chunk.step]
        self.client = batch_client(run, self.plan)
        self.units = {u.seq: u for u in run.tables.units(chunk.id) if u.state is UnitState.SENT}
        self.matcher = Matcher(submission, frozenset(self.units))

    async def collect(self) -> Verdict:
        """Store what came, then what did not. A job for which there was no room has neither: its units wait again."""
        run, submission = self.run, self.submission
        state = BatchState(status=BatchStatus.FAILED, raw_status="lost")
        if submission.state is SubmissionState.ENDED:
            state = await look(run, self.client, submission) or state
        if state.crowded:
            return await room.queue_again(run, self.plan, self.chunk, submission, state)
        async with ResultStore(run, self.plan, self.chunk, submission.key, submission.reserved_nanos or 0) as store:
            if submission.state is SubmissionState.ENDED:
                await self._store_rows(store, state)
            if self._foreign():
                await run.tables.disown(run.row.key, submission.key, "its rows belong to another job", run.clock())
                return Verdict.AGAIN
            received = self.matcher.tally.ours + self.matcher.tally.earlier
            missing = missing_rows(run, self.chunk, submission, state, received)
            await store.store(missing, closes=ChunkState.COLLECTED)
        await self._remark(state, len(missing))
        return Verdict.NEXT

    async def _store_rows(self, store: ResultStore, state: BatchState) -> None:
        if state.status not in TERMINAL:
            return
        files = await fetch(self.run, self.client, handle_of(self.submission), state)
        keys = await asyncio.to_thread(built_keys, self.run, self.plan, self.chunk)
        for group in self.matcher.groups(read_rows(self.client.dialect, files)):
            findings = await asyncio.to_thread(findings_of, self.run, self.plan, self.units, group, self.matcher.tally)
            await store.store(findings)
            await remember(self.run, findings, keys)
        await asyncio.to_thread(remove, files)

    def _foreign(self) -> bool:
        """A job adopted by guess whose rows are all somebody else's."""
        tally = self.matcher.tally
        return self.submission.matched_by == "window" and tally.ours + tally.earlier == 0 and tally.foreign > 0

    async def _remark(self, state: BatchState, missing: int) -> None:
        """Say what was odd about the rows, and stop the run when going on would be pointless."""
        run, tally = self.run, self.matcher.tally
        odd = {"foreign": tally.foreign, "duplicate": tally.duplicate, "unreadable": tally.unreadable, "missing": missing}
        if any(odd.values()):
            data = {"submission": self.submission.key, **odd}
            await run.tables.event(run.row.key, "warning", "odd_rows", data, run.clock())
        if tally.fatal is not None:
            run.control.stop(Stop(tally.fatal.message, 1, failed=True, hint=tally.fatal.hint))
        why = pointless(state, tally, self.chunk.round)
        if why is not None:
            run.control.stop(Stop(why, 1, failed=True))


def pointless(state: BatchState, tally: Tally, round_: int) -> str | None:
    """Why sending the same units again would only cost money; None when it may help."""
    if tally.ours + tally.earlier:
        return None
    if tally.unreadable:
        return f"none of the batch's {tally.unreadable} result rows could be read"
    if state.status is BatchStatus.FAILED and round_ >= 2:
        said = state.errors[0].get("message") if state.errors else state.raw_status
        return f"the provider failed the same units as a batch three times: {said}"
    return None


_MISSING: dict[BatchStatus, Reason] = {
    BatchStatus.EXPIRED: Reason.EXPIRED,
    BatchStatus.CANCELLED: Reason.CANCELLED,
    BatchStatus.FAILED: Reason.PROVIDER_ERROR,
}
"""Ends after which a unit without a row was not worked on, so that nothing is owed for it."""


def all_there(state: BatchState, received: int) -> bool:
    """Whether a job that ended early counts exactly the rows that were read, so that nothing was done beside them."""
    known = state.status is BatchStatus.PARTIAL and state.succeeded is not None and state.failed is not None
    return known and (state.succeeded or 0) + (state.failed or 0) == received


def missing_rows(run: Run, chunk: ChunkRow, submission: SubmissionRow, state: BatchState, received: int) -> list[Finding]:
    """Findings for units the job said nothing about, when `received` rows of others were read.

    A row that is missing although its job was finished, or whose job is gone, may have been answered and paid for: it is booked at its
    bound under its custom id, until an invoice says what it cost.
    """
    message = f"the batch ended as {state.raw_status!r} without this unit"
    if state.errors:
        message = f"{message}: {state.errors[0].get('message') or state.errors[0]}"
    left = [u for u in run.tables.units(chunk.id) if u.state is UnitState.SENT]
    reason = None if submission.state is SubmissionState.LOST else _MISSING.get(state.status)
    if all_there(state, received):
        reason = Reason.EXPIRED
    if reason is not None:
        judged = failed(reason, message)
        return [Finding(unit=u, n=u.attempts + 1, outcome=Outcome.ERROR, judged=judged) for u in left]
    segment = run.tables.chunk(chunk.id).request_segment
    assert segment is not None
    bounds = row_bounds(run, run.steps[chunk.step], segment, {u.seq for u in left}) if left else {}
    return [lost_answer(u, u.attempts + 1, f"{submission.prefix}-{u.seq}", bounds[u.seq], message) for u in left]
