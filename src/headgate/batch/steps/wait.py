"""The wait phase: one look after another, slower and slower, until the job is over."""

from __future__ import annotations

from math import inf

from headgate.batch.decide import Poll, decide_poll, next_delay
from headgate.batch.lanes import OnStuck, Why
from headgate.batch.rows import ChunkRow, SubmissionRow
from headgate.batch.run import Run
from headgate.batch.states import SubmissionState, Verdict
from headgate.batch.steps.jobs import batch_client, cancel, look
from headgate.batch.steps.lanes import given_up
from headgate.providers import Polling, Provider


def polling_of(run: Run, provider: Provider) -> Polling:
    """The provider's rhythm, begun with the pipeline's `api.poll_interval_seconds`; a simulated provider keeps its own, quicker one."""
    first = min(run.pipeline.api.poll_interval, provider.polling.longest)
    return provider.polling if provider.simulated else Polling(first, provider.polling.longest)


async def wait(run: Run, chunk: ChunkRow) -> Verdict:
    """Watch the chunk's job for a while: NEXT when it is over, AGAIN when it is not."""
    submission = run.tables.last_submission(chunk.id)
    if submission is None or submission.state is not SubmissionState.SUBMITTED or submission.batch_id is None:
        return Verdict.NEXT
    plan = run.steps[chunk.step]
    assert plan.target is not None
    client, polling = batch_client(run, plan), polling_of(run, plan.target.provider)
    max_age = inf if run.options.on_stuck is OnStuck.WAIT else run.options.max_age or plan.target.provider.max_age
    until, delay, before, cancelled = run.clock() + run.options.wait_slice, None, submission.raw_status, False
    while run.clock() < until:
        state = await look(run, client, submission)
        if state is None:
            return Verdict.NEXT
        await run.tables.polled(run.row.key, submission.key, state, before, run.clock())
        before = state.raw_status
        age, urgent = run.clock() - (submission.submitted_at or submission.intent_at), given_up(run)
        what = decide_poll(state, age, max_age, cancelled, urgent=urgent)
        if what is Poll.COLLECT:
            await run.tables.set_submission(run.row.key, submission.key, SubmissionState.ENDED, None, run.clock())
            return Verdict.NEXT
        if what is Poll.CANCEL:
            cancelled = True
            await _say_why(run, chunk, submission, urgent)
            await cancel(run, client, submission)
        delay = next_delay(delay, polling.first, polling.longest, run.random.random())
        await run.control.sleep(delay)
    return Verdict.AGAIN


async def _say_why(run: Run, chunk: ChunkRow, submission: SubmissionRow, urgent: bool) -> None:
    """A job is given up: for the deadline, or because it is too old."""
    what = "batch_given_up" if urgent else "batch_too_old"
    await run.tables.event(run.row.key, "warning", what, {"submission": submission.key}, run.clock())
    if not urgent and run.options.on_stuck is OnStuck.SWITCH_TO_REALTIME:
        await run.tables.set_chunk_why(chunk.id, Why.STUCK)
