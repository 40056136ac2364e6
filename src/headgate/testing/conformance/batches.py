"""The life of a batch at the simulator: created, watched, collected, cancelled, found again. For simulated providers only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from headgate.client import BatchClient, ChatClient, Target
from headgate.client.chat import prepare
from headgate.dialects.batch import (
    TERMINAL,
    BatchDialect,
    BatchHandle,
    BatchRequestRow,
    BatchRow,
    BatchRows,
    BatchState,
    BatchStatus,
    BatchTag,
    ResultFile,
)
from headgate.domain.request import Request, user_message
from headgate.errors import ErrorKind, ProviderError
from headgate.sim.faults import Action, BatchEnd, Rows, Status
from headgate.sim.server import Simulator
from headgate.testing import samples
from headgate.testing.conformance.case import Entry, Subject, batch, expect, expect_equal, fail, simulated
from headgate.testing.essence import answer
from headgate.testing.simulators import END_OF_BATCH, fault, running_simulator, simulated_target, with_batches, with_chat

ROWS = 7
"""Questions in a batch, unless the wire wants more."""
SPLIT = 7
"""Bytes at a time in which a result file is read: every line is torn."""


class Job(msgspec.Struct, frozen=True):
    """One simulated provider with a target, and the batch of `count` questions that is sent to it."""

    simulator: Simulator
    target: Target

    @property
    def dialect(self) -> BatchDialect:
        """The provider's batch envelope."""
        assert self.target.provider.batch is not None
        return self.target.provider.batch

    @property
    def count(self) -> int:
        """How many questions: a few, or as many as the wire wants at least."""
        return max(ROWS, self.dialect.limits.min_rows)

    def tag(self, key: str = "conformance-1") -> BatchTag:
        """Our mark."""
        model = self.target.model
        endpoint = self.target.provider.batch_endpoint.format(model=model)
        return BatchTag(key, "c1", model, endpoint, "conformance-boundary-7f3a", variables=self.target.variables)

    def rows(self, order: Callable[[list[int]], list[int]] = list) -> BatchRows:
        """The questions, in some order."""
        endpoint = self.tag().endpoint
        made = (BatchRequestRow(f"c1-{n}", endpoint, prepare(self.target, question(n)).body) for n in order(list(range(self.count))))
        return BatchRows(tuple(made))


def question(number: int) -> Request:
    """A question of its own for each row."""
    return msgspec.structs.replace(samples.PLAIN, messages=(user_message(f"Name colour number {number}."),))


class Scene:
    """A simulator with a target, as a context manager."""

    def __init__(self, subject: Subject, *script: tuple[str, Action]) -> None:
        self._subject = subject
        self._script = script
        self._context = running_simulator()

    def __enter__(self) -> Job:
        simulator = self._context.__enter__()
        simulator.set_faults(tuple(rule for operation, action in self._script for rule in fault(operation, action)))
        return Job(simulator, simulated_target(self._subject.provider, simulator))

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(None, None, None)


async def finish(job: Job, client: BatchClient, handle: BatchHandle) -> BatchState:
    """The state once the job is over and its results are there."""
    job.simulator.advance(END_OF_BATCH)
    for _ in range(20):
        state = await client.status(handle)
        if state.status in TERMINAL and not state.lagging:
            return state
    fail(f"the job never ended: {state.raw_status!r}")


def read(dialect: BatchDialect, files: list[ResultFile], step: int = SPLIT) -> Iterator[BatchRow]:
    """The rows of some files, read `step` bytes at a time."""
    for file in files:
        decoder = dialect.row_decoder(file.kind)
        data = Path(file.path).read_bytes()
        for start in range(0, len(data), step):
            yield from decoder.feed(data[start : start + step])
        yield from decoder.close()


async def _collected(job: Job, client: BatchClient, handle: BatchHandle) -> tuple[BatchState, dict[str, BatchRow]]:
    state = await finish(job, client, handle)
    rows = list(read(job.dialect, await client.results(handle, state)))
    ids = [row.custom_id for row in rows if row.custom_id is not None]
    expect_equal(len(ids), len(set(ids)), "custom ids that differ")
    return state, {row.custom_id: row for row in rows if row.custom_id is not None}


def _life_cycle(subject: Subject) -> None:
    """Submitted, seen running, seen over; every row comes back once, with the answer a direct call gets."""
    with Scene(subject) as job:

        async def live(client: BatchClient) -> dict[str, BatchRow]:
            handle = await client.submit(job.tag(), job.rows())
            expect(bool(handle.id), "the handle has no id")
            early = await client.status(handle)
            expect(early.status not in TERMINAL, f"the job is {early.status} at once")
            expect(bool(early.raw_status), "the provider's own word is lost")
            state, rows = await _collected(job, client, handle)
            expect_equal(state.status, BatchStatus.COMPLETED, "status")
            return rows

        rows = with_batches(job.target, live)
        expect_equal(sorted(rows), sorted(f"c1-{n}" for n in range(job.count)), "custom ids")
        for n in range(job.count):
            row = rows[f"c1-{n}"]
            if row.outcome != "succeeded" or row.body is None:
                fail(f"row {n} came back {row.outcome}: {row.error}")
            whole = with_chat(partial(_ask, job.target, n))
            expect_equal(answer(subject.chat.parse_response(row.body)), whole, f"row {n} beside a direct call")


async def _ask(target: Target, number: int, chat: ChatClient) -> object:
    return answer((await chat.complete(target, question(number))).response)


def _order(subject: Subject) -> None:
    """The order of rows means nothing: each id keeps its answer, and any split of the file gives the same rows."""
    found: list[dict[str, object]] = []
    for order in (list, lambda numbers: numbers[::-1]):
        with Scene(subject) as job:
            found.append(with_batches(job.target, partial(_texts, job, order)))
    expect_equal(found[1], found[0], "answers of rows sent in reverse")


async def _texts(job: Job, order: Callable[[list[int]], list[int]], client: BatchClient) -> dict[str, object]:
    handle = await client.submit(job.tag(), job.rows(order))
    state = await finish(job, client, handle)
    files = await client.results(handle, state)
    torn = list(read(job.dialect, files))
    expect_equal([row.custom_id for row in torn], [row.custom_id for row in read(job.dialect, files, 1 << 20)], "rows of a torn file")
    chat = job.target.chat
    return {row.custom_id or "": chat.parse_response(row.body).text if row.body else row.outcome for row in torn}


def _found(subject: Subject) -> None:
    """A job is found again by its tag, or among those of its time window; then never one from before the window."""
    with Scene(subject) as job:

        async def search(client: BatchClient) -> None:
            before = job.simulator.clock.now()
            handle = await client.submit(job.tag(), job.rows())
            job.simulator.advance(1.0)
            other = await client.submit(job.tag("conformance-2"), job.rows())
            found = {candidate.handle.id: candidate for candidate in await client.find(job.tag(), before - 60.0)}
            ours = found.get(handle.id)
            if ours is None:
                fail(f"the job was not found; found were {sorted(found)}")
            expect(ours.matched_by == "window" or other.id not in found, "a job with another tag was matched by tag")
            expect(ours.total in (None, job.count), f"the candidate has {ours.total} rows")
            state = await client.status(ours.handle)
            expect(bool(state.raw_status), "the handle that was found cannot be asked")
            late = await client.find(job.tag(), job.simulator.clock.now() + 3600.0)
            expect(all(candidate.matched_by == "tag" for candidate in late), f"jobs from before the window were found: {late}")

        with_batches(job.target, search)


def _adopted(subject: Subject) -> None:
    """A handle that was found is as good as the one that was given: its results are ours, told by the prefix of the custom ids."""
    with Scene(subject) as job:

        async def adopt(client: BatchClient) -> list[str]:
            before = job.simulator.clock.now()
            await client.submit(job.tag(), job.rows())
            (candidate,) = await client.find(job.tag(), before - 60.0)
            _, rows = await _collected(job, client, candidate.handle)
            return sorted(rows)

        expect_equal(with_batches(job.target, adopt), sorted(f"c1-{n}" for n in range(job.count)), "custom ids of the adopted job")


def _cancelled(subject: Subject) -> None:
    """A running job can be cancelled; once it is over, cancelling changes nothing and does not raise."""
    with Scene(subject) as job:

        async def cancel(client: BatchClient) -> None:
            handle = await client.submit(job.tag(), job.rows())
            await client.status(handle)
            job.simulator.advance(6.0)
            expect_equal(await client.cancel(handle), True, "cancelling a running job")
            state = await finish(job, client, handle)
            expect(state.status in (BatchStatus.CANCELLED, BatchStatus.PARTIAL), f"the cancelled job is {state.status}")
            for row in read(job.dialect, await client.results(handle, state)):
                expect(row.outcome in ("succeeded", "cancelled"), f"a row of a cancelled job is {row.outcome}")
            await client.cancel(handle)
            expect_equal((await client.status(handle)).status, state.status, "the status after cancelling a job that was over")

        with_batches(job.target, cancel)


def _expired(subject: Subject) -> None:
    """What was done before a job expired is kept; the rest says that it expired or may be tried again, or does not come back."""
    with Scene(subject, ("batch_create", BatchEnd("expired", share=0.5))) as job:

        async def expire(client: BatchClient) -> tuple[BatchState, dict[str, BatchRow]]:
            return await _collected(job, client, await client.submit(job.tag(), job.rows()))

        state, rows = with_batches(job.target, expire)
        expect(state.status in (BatchStatus.EXPIRED, BatchStatus.PARTIAL), f"the expired job is {state.status}")
        for row in rows.values():
            again = row.outcome == "errored" and row.error is not None and row.error.transient
            expect(again or row.outcome in ("succeeded", "expired"), f"row {row.custom_id} of an expired job is {row.outcome}: {row.error}")


def _failed_rows(subject: Subject) -> None:
    """A row that failed says why, and spoils no other."""
    with Scene(subject, ("batch_create", Rows("error", share=0.5, error="server"))) as job:
        _, rows = with_batches(job.target, partial(_run, job))
        outcomes = [row.outcome for row in rows.values()]
        expect_equal(len(outcomes), job.count, "rows")
        expect(set(outcomes) <= {"succeeded", "errored"} and "errored" in outcomes, f"outcomes {outcomes}")
        for row in rows.values():
            if row.outcome == "errored":
                expect(row.error is not None and bool(row.error.message), f"row {row.custom_id} failed without a reason")
                expect_equal(row.body, None, f"the body of the failed row {row.custom_id}")


async def _run(job: Job, client: BatchClient) -> tuple[BatchState, dict[str, BatchRow]]:
    return await _collected(job, client, await client.submit(job.tag(), job.rows()))


def _torn_rows(subject: Subject) -> None:
    """A line that cannot be read becomes a row without id and spoils nothing else."""
    with Scene(subject, ("batch_create", Rows("bad_json", share=0.4))) as job:
        _, rows = with_batches(job.target, partial(_run, job))
        expect(0 < len(rows) < job.count, f"{len(rows)} of {job.count} rows could be read")
        expect(all(row.outcome == "succeeded" for row in rows.values()), "a torn line spoilt another row")


def _lagging(subject: Subject) -> None:
    """A job that is over before its results are there is looked at again, not collected empty."""
    with Scene(subject, ("batch_create", BatchEnd("output_lag", polls=3))) as job:
        _, rows = with_batches(job.target, partial(_run, job))
        expect_equal(len(rows), job.count, "rows")


def _unknown(subject: Subject) -> None:
    """A job the provider does not know is `not_found`."""
    with Scene(subject) as job:

        async def look(client: BatchClient) -> None:
            given = await client.submit(job.tag(), job.rows())
            gone = msgspec.structs.replace(given, id=given.id[:-4] + "none")
            try:
                await client.status(gone)
            except ProviderError as error:
                expect_equal(error.kind, ErrorKind.NOT_FOUND, "kind")
                expect_equal(error.provider, subject.provider.name, "the provider named by the error")
                return
            fail("a job nobody knows has a status")

        with_batches(job.target, look)


def _refused(subject: Subject) -> None:
    """A refused submission raises, names the provider, and leaves no job behind."""
    with Scene(subject, ("batch_create", Status("rate_limit", retry_after=4.0))) as job:

        async def refuse(client: BatchClient) -> None:
            try:
                await client.submit(job.tag(), job.rows())
            except ProviderError as error:
                expect_equal((error.kind, error.provider), (ErrorKind.RATE_LIMIT, subject.provider.name), "kind and provider")
                expect_equal(error.status, 429, "status")
            else:
                fail("the submission was not refused")
            expect_equal(await client.find(job.tag(), 0.0), [], "jobs left behind")

        with_batches(job.target, refuse)


ENTRIES = tuple(
    Entry(f"batch-{name}", check, (batch, simulated))
    for name, check in (
        ("life-cycle", _life_cycle),
        ("row-order", _order),
        ("found", _found),
        ("adopted", _adopted),
        ("cancelled", _cancelled),
        ("expired", _expired),
        ("failed-rows", _failed_rows),
        ("torn-rows", _torn_rows),
        ("output-lags", _lagging),
        ("unknown-job", _unknown),
        ("refused", _refused),
    )
)
