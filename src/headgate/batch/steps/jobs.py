"""What the batch phases share: the client, the tag, careful looks at a job, and the rows as they were built."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from headgate.batch.control import Stop
from headgate.batch.rows import SubmissionRow
from headgate.batch.run import Run, StepPlan
from headgate.batch.states import SubmissionState
from headgate.client import BatchClient
from headgate.dialects.batch import BatchHandle, BatchRequestRow, BatchState, BatchTag
from headgate.errors import ErrorKind, HeadgateError, ProviderError
from headgate.wire.json import encode


def batch_client(run: Run, plan: StepPlan) -> BatchClient:
    """The batch calls of a step's target."""
    assert plan.target is not None
    folder = run.folder / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    return BatchClient(run.http, plan.target, folder)


def make_tag(run: Run, plan: StepPlan, submission: SubmissionRow) -> BatchTag:
    """Our mark on a job."""
    assert plan.target is not None
    model = plan.target.model
    endpoint = plan.target.provider.batch_endpoint.replace("{model}", model)
    return BatchTag(submission.key, submission.prefix, model, endpoint, f"headgate-{secrets.token_hex(16)}")


def stop_if_fatal(run: Run, error: ProviderError) -> None:
    if error.kind in (ErrorKind.AUTH, ErrorKind.PERMISSION, ErrorKind.QUOTA):
        run.control.stop(Stop(error.message, 1, failed=True, hint=error.hint))


async def look(run: Run, client: BatchClient, submission: SubmissionRow) -> BatchState | None:
    """One poll that bears transient failures; None when the provider no longer knows the job."""
    failures = 0
    while True:
        run.control.check()
        try:
            return await run.control.finish(client.status(handle_of(submission)), run.options.stop_grace)
        except ProviderError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                await run.tables.set_submission(run.row.key, submission.key, SubmissionState.LOST, error.message, run.clock())
                return None
            stop_if_fatal(run, error)
            failures += 1
            await run.control.sleep(error.retry_after or min(60.0, run.options.backoff * run.options.multiplier**failures))
        except HeadgateError as error:
            failures += 1
            await run.tables.event(run.row.key, "warning", "poll_failed", {"error": error.message}, run.clock())
            await run.control.sleep(min(60.0, run.options.backoff * run.options.multiplier**failures))


async def cancel(run: Run, client: BatchClient, submission: SubmissionRow) -> None:
    try:
        await client.cancel(handle_of(submission))
    except ProviderError as error:
        await run.tables.event(run.row.key, "warning", "cancel_failed", {"error": error.message}, run.clock())


def handle_of(submission: SubmissionRow) -> BatchHandle:
    """The job of a submission."""
    assert submission.batch_id is not None
    return BatchHandle(submission.batch_id, submission.input_file, submission.submitted_at)


class StoredRows:
    """A `BatchBody` read from the request segment, as often as needed, a frame at a time."""

    def __init__(self, run: Run, segment: int, prefix: str, endpoint: str, seqs: frozenset[int]) -> None:
        self._run = run
        self._segment = segment
        self._prefix = prefix
        self._endpoint = endpoint
        self._seqs = seqs

    @property
    def count(self) -> int:
        """Rows in total."""
        return len(self._seqs)

    def __iter__(self) -> Iterator[BatchRequestRow]:
        for line in self._run.tables.scan(self._segment):
            if line["seq"] in self._seqs:
                yield BatchRequestRow(f"{self._prefix}-{line['seq']}", self._endpoint, encode(line["body"]))
