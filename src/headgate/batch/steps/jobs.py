"""What the batch phases share: the client, the tag, careful looks at a job, and the rows as they were built."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from headgate.batch.control import Stop
from headgate.batch.rows import SubmissionRow
from headgate.batch.run import Run, StepPlan
from headgate.batch.states import SubmissionState
from headgate.client import BatchClient
from headgate.dialects.batch import BatchDialect, BatchHandle, BatchRequestRow, BatchRow, BatchState, BatchTag, ResultFile
from headgate.errors import ErrorKind, ProviderError, WireError

T = TypeVar("T")
READ = 1 << 18


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
    boundary = f"headgate-{secrets.token_hex(16)}"
    return BatchTag(submission.key, submission.prefix, model, endpoint, boundary, variables=plan.target.variables)


def stop_if_fatal(run: Run, error: ProviderError) -> None:
    """Stop the run for what every further call would meet as well."""
    if error.kind in (ErrorKind.AUTH, ErrorKind.PERMISSION, ErrorKind.QUOTA):
        run.control.stop(Stop(error.message, 1, failed=True, hint=error.hint))


async def patiently(run: Run, what: str, call: Callable[[], Coroutine[object, object, T]]) -> T:
    """Make a call that is safe to repeat until it is answered; the first failure is noted as the event `what`.

    What may pass is waited out. Raises what does not pass after a few tries, `ProviderError` of kind not_found at once, and `Pausing`.
    """
    failures = lasting = 0
    while True:
        run.control.check()
        try:
            return await run.control.finish(call(), run.options.stop_grace)
        except (ProviderError, WireError) as error:
            failures, lasting = failures + 1, lasting + _lasts(error)
            if lasting >= run.options.refusals or (isinstance(error, ProviderError) and error.kind is ErrorKind.NOT_FOUND):
                raise
            await _bear(run, what, error, failures)


def _lasts(error: ProviderError | WireError) -> bool:
    return not (isinstance(error, ProviderError) and error.transient)


async def _bear(run: Run, what: str, error: ProviderError | WireError, failures: int) -> None:
    asked = None
    if isinstance(error, ProviderError):
        stop_if_fatal(run, error)
        asked = error.retry_after
    if failures == 1:
        await run.tables.event(run.row.key, "warning", what, {"error": error.message}, run.clock())
    await run.control.sleep(asked or min(60.0, run.options.backoff * run.options.multiplier ** min(failures, 16)))


async def look(run: Run, client: BatchClient, submission: SubmissionRow) -> BatchState | None:
    """One poll; None when the provider no longer knows the job."""
    try:
        return await patiently(run, "poll_failed", lambda: client.status(handle_of(submission)))
    except ProviderError as error:
        if error.kind is not ErrorKind.NOT_FOUND:
            raise
        await run.tables.set_submission(run.row.key, submission.key, SubmissionState.LOST, error.message, run.clock())
        return None


async def cancel(run: Run, client: BatchClient, submission: SubmissionRow) -> None:
    """Ask the provider to stop a job; when it does not take that, the job is merely watched on."""
    try:
        await run.control.finish(client.cancel(handle_of(submission)), run.options.stop_grace)
    except (ProviderError, WireError) as error:
        await run.tables.event(run.row.key, "warning", "cancel_failed", {"error": error.message}, run.clock())


async def fetch(run: Run, client: BatchClient, handle: BatchHandle, state: BatchState) -> list[ResultFile]:
    """Download every result file of a job that is over; none, with an event, when the provider has them no longer."""
    try:
        return await patiently(run, "download_failed", lambda: client.results(handle, state))
    except ProviderError as error:
        if error.kind is not ErrorKind.NOT_FOUND:
            raise
        await run.tables.event(run.row.key, "warning", "results_gone", {"batch": handle.id, "error": error.message}, run.clock())
        return []


async def owns(run: Run, client: BatchClient, handle: BatchHandle, prefix: str) -> bool | None:
    """Whether the custom ids of a job that is over begin with `prefix`, by the first row that has one; None when no row has."""
    state = await patiently(run, "poll_failed", lambda: client.status(handle))
    files = await fetch(run, client, handle, state)
    first = next((row.custom_id for row in read_rows(client.dialect, files) if row.custom_id is not None), None)
    await asyncio.to_thread(remove, files)
    return None if first is None else first.rpartition("-")[0] == prefix


def read_rows(dialect: BatchDialect, files: Sequence[ResultFile]) -> Iterator[BatchRow]:
    """Every row of every file, output before errors."""
    for file in sorted(files, key=lambda f: f.kind != "output"):
        decoder = dialect.row_decoder(file.kind)
        with Path(file.path).open("rb") as handle:
            while data := handle.read(READ):
                yield from decoder.feed(data)
        yield from decoder.close()


def remove(files: Sequence[ResultFile]) -> None:
    """Delete downloads whose rows are stored."""
    for file in files:
        Path(file.path).unlink(missing_ok=True)


def row_bounds(run: Run, plan: StepPlan, segment: int, seqs: Collection[int]) -> dict[int, int | None]:
    """The most each of some built rows can cost in a batch, in nano-dollars, by unit number; None where that cannot be told."""
    return {seq: plan.bound(run, body, "batch") for seq, body in run.tables.requests(segment) if seq in seqs}


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
        for seq, body in self._run.tables.requests(self._segment):
            if seq in self._seqs:
                yield BatchRequestRow(f"{self._prefix}-{seq}", self._endpoint, body)
