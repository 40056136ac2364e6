"""What goes wrong with batches at every provider, played by the simulator: lost replies, spoilt rows, jobs that end oddly.

Each check is one of the edge cases of batch work; what a wire cannot express (a job that fails as a whole, say) passes as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from headgate.client import BatchClient
from headgate.dialects.batch import TERMINAL, BatchHandle, BatchRow, BatchState, BatchStatus
from headgate.errors import ErrorKind, ProviderError
from headgate.sim.faults import Action, BatchEnd, DropReply, RowName, Rows, Status
from headgate.testing.conformance.batches import Job, Scene, finish, read
from headgate.testing.conformance.case import Entry, Subject, batch, expect, expect_equal, fail, simulated
from headgate.testing.simulators import END_OF_BATCH, with_batches

DAY = 24 * 3600.0
TWISTS: tuple[RowName, ...] = ("empty", "refusal", "length", "fenced", "invalid", "separators")


class Played(msgspec.Struct, frozen=True):
    """How a job went: its last state, its rows in order, and how many of them were charged."""

    job: Job
    state: BatchState
    rows: list[BatchRow]
    charged: int

    @property
    def ids(self) -> list[str]:
        """The custom ids that came back, in order."""
        return [row.custom_id for row in self.rows if row.custom_id is not None]

    @property
    def sent(self) -> list[str]:
        """The custom ids that were sent."""
        return [row.custom_id for row in self.job.rows()]


async def _collect(job: Job, client: BatchClient, handle: BatchHandle) -> Played:
    state = await finish(job, client, handle)
    rows = list(read(job.dialect, await client.results(handle, state)))
    return Played(job, state, rows, len(job.simulator.bill))


async def _live(job: Job, client: BatchClient) -> Played:
    return await _collect(job, client, await client.submit(job.tag(), job.rows()))


def _play(subject: Subject, *script: Action) -> Played:
    """A job from its beginning to its end, under a script that begins with its creation."""
    with Scene(subject, *(("batch_create", action) for action in script)) as job:
        return with_batches(job.target, partial(_live, job))


def _missing(subject: Subject) -> None:
    """Rows that are in no file do not come back, and spoil no other (case 7)."""
    played = _play(subject, Rows("missing", share=0.4))
    expect(0 < len(played.ids) < played.job.count, f"{len(played.ids)} of {played.job.count} rows came back")
    expect(set(played.ids) < set(played.sent), "ids that were not sent")
    expect(all(row.outcome == "succeeded" for row in played.rows), "a missing row spoilt another one")


def _duplicate(subject: Subject) -> None:
    """A row that comes twice is handed on twice, so that the first can win (case 8)."""
    played = _play(subject, Rows("duplicate", share=0.4))
    expect(len(played.ids) > played.job.count and set(played.ids) == set(played.sent), f"ids {played.ids}")
    bodies = {(row.custom_id, row.body) for row in played.rows}
    expect_equal(len(bodies), played.job.count, "different answers")


def _foreign(subject: Subject) -> None:
    """Rows with ids nobody sent stand beside ours (case 9)."""
    played = _play(subject, Rows("foreign", share=0.4))
    expect(set(played.sent) < set(played.ids), f"ids {played.ids}")


def _all_errors(subject: Subject) -> None:
    """A job all of whose rows failed is over, and every row says why (case 1)."""
    played = _play(subject, BatchEnd("all_errors"))
    expect_equal(sorted(played.ids), sorted(played.sent), "custom ids")
    for row in played.rows:
        if row.outcome != "errored" or row.error is None:
            fail(f"row {row.custom_id} is {row.outcome}: {row.error}")
        expect(row.error.transient, f"row {row.custom_id} failed for good: {row.error.kind}")
    expect_equal(played.charged, 0, "charged rows")


def _throttled(subject: Subject) -> None:
    """A rate limit met inside a batch can be tried again (case 13)."""
    played = _play(subject, Rows("error", share=0.5, error="rate_limit"))
    refused = [row.error for row in played.rows if row.outcome == "errored"]
    expect(bool(refused) and len(refused) < played.job.count, f"{len(refused)} of {played.job.count} rows failed")
    expect({error.kind for error in refused if error is not None} == {ErrorKind.RATE_LIMIT}, f"kinds {refused}")


def _credit(subject: Subject) -> None:
    """Credit that runs out in mid-batch fails the rest of the rows with a reason (case 17)."""
    played = _play(subject, Rows("error", share=0.5, error="quota"))
    refused = [row for row in played.rows if row.outcome == "errored"]
    expect(bool(refused) and all(row.error is not None and row.error.message for row in refused), "rows without a reason")
    expect_equal(played.charged, played.job.count - len(refused), "charged rows")


def _odd_answers(name: RowName, subject: Subject) -> None:
    """An answer that is useless, or hard to cut out of its file, is one row all the same (cases 11, 12, 22 and 23)."""
    played = _play(subject, Rows(name))
    expect_equal(sorted(played.ids), sorted(played.sent), "custom ids")
    expect_equal({row.outcome for row in played.rows}, {"succeeded"}, "outcomes")
    if name == "separators":
        texts = [subject.provider.chat.parse_response(row.body).text for row in played.rows if row.body is not None]
        expect(all("\u2028" in text for text in texts), f"answers lost their separators: {texts[:1]}")


def _invalid(subject: Subject) -> None:
    """A job that fails while it is validated says why and has no answers (case 5). A wire that looks at each row by itself never does."""
    played = _play(subject, BatchEnd("failed"))
    if played.state.status is BatchStatus.FAILED:
        expect(bool(played.state.errors), "the job failed without a reason")
        expect_equal((played.rows, played.charged), ([], 0), "rows and charges of a job that failed")
    else:
        expect_equal(sorted(played.ids), sorted(played.sent), "custom ids")


def _scripted_cancellation(subject: Subject) -> None:
    """Answers of a job that somebody else cancelled are kept (case 4)."""
    played = _play(subject, BatchEnd("cancelled", share=0.5))
    done = [row for row in played.rows if row.outcome == "succeeded"]
    expect(played.state.status in (BatchStatus.CANCELLED, BatchStatus.PARTIAL), f"the job is {played.state.status}")
    expect_equal(len(done), played.charged, "answers that were paid for")
    expect(0 < len(done) < played.job.count, f"{len(done)} of {played.job.count} rows were answered")


def _empty_error_file(subject: Subject) -> None:
    """An error file without a name is no file (case 3)."""
    played = _play(subject, BatchEnd("empty_error_file_id"))
    expect_equal(sorted(played.ids), sorted(played.sent), "custom ids")


def _stuck(subject: Subject) -> None:
    """A job that never ends is seen to run on, and can be cancelled at last (case 15)."""
    with Scene(subject, ("batch_create", BatchEnd("stuck"))) as job:

        async def wait(client: BatchClient) -> BatchState:
            handle = await client.submit(job.tag(), job.rows())
            job.simulator.advance(20 * DAY)
            state = await client.status(handle)
            expect(state.status not in TERMINAL, f"the stuck job is {state.status}")
            expect_equal(await client.cancel(handle), True, "cancelling a stuck job")
            return await finish(job, client, handle)

        state = with_batches(job.target, wait)
        expect(state.status in (BatchStatus.CANCELLED, BatchStatus.PARTIAL), f"the cancelled job is {state.status}")


def _cancel_comes_late(subject: Subject) -> None:
    """A cancellation that loses its race takes no answer away (case 19)."""
    with Scene(subject, ("batch_create", BatchEnd("cancel_lost"))) as job:

        async def race(client: BatchClient) -> Played:
            handle = await client.submit(job.tag(), job.rows())
            job.simulator.advance(30.0)
            await client.cancel(handle)
            return await _collect(job, client, handle)

        played = with_batches(job.target, race)
        expect_equal(sorted(played.ids), sorted(played.sent), "custom ids")
        expect_equal(len([row for row in played.rows if row.outcome == "succeeded"]), played.charged, "answers that were paid for")


def _reply_lost(operation: str, subject: Subject) -> None:
    """A job whose making was not confirmed is found and collected, or was never charged (case 18)."""
    with Scene(subject, (operation, DropReply())) as job:

        async def lose(client: BatchClient) -> tuple[list[str], int]:
            before = job.simulator.clock.now()
            try:
                await client.submit(job.tag(), job.rows())
            except ProviderError as error:
                expect_equal((error.kind, error.sent), (ErrorKind.CONNECTION, True), "kind, and whether anything was sent")
                job.simulator.set_faults(())
            found = await client.find(job.tag(), before - 60.0)
            expect(len(found) <= 1, f"{len(found)} jobs were found")
            if not found:
                job.simulator.advance(END_OF_BATCH)
                return [], len(job.simulator.bill)
            played = await _collect(job, client, found[0].handle)
            return played.ids, played.charged

        ids, charged = with_batches(job.target, lose)
        expect_equal(len(ids), charged, "answers that were paid for")


def _results_gone(subject: Subject) -> None:
    """Results that the provider has no longer are `not_found`, which is no reason to wait (case 16)."""
    with Scene(subject, ("results", Status("not_found"))) as job:

        async def collect(client: BatchClient) -> None:
            handle = await client.submit(job.tag(), job.rows())
            state = await finish(job, client, handle)
            try:
                rows = list(read(job.dialect, await client.results(handle, state)))
            except ProviderError as error:
                expect_equal(error.kind, ErrorKind.NOT_FOUND, "kind")
            else:
                expect_equal(len(rows), job.count, "rows of results that are part of the job")

        with_batches(job.target, collect)


def _progress(subject: Subject) -> None:
    """Counts of a running job are unknown or true, and never go back (case 21)."""
    with Scene(subject) as job:

        async def watch(client: BatchClient) -> list[BatchState]:
            handle = await client.submit(job.tag(), job.rows())
            seen = []
            for _ in range(12):
                job.simulator.advance(6.0)
                seen.append(await client.status(handle))
            return seen

        states = with_batches(job.target, watch)
        for state in states:
            expect(state.total in (None, job.count), f"a job of {job.count} rows has {state.total}")
            expect(state.status is not BatchStatus.UNKNOWN, f"the word {state.raw_status!r} is not known")
        done = [state.succeeded for state in states if state.succeeded is not None]
        expect(done == sorted(done) and all(count <= job.count for count in done), f"rows done over time: {done}")


def _reversed(subject: Subject) -> None:
    """Results in no order of their own: every id comes back once (case 6)."""
    played = _play(subject)
    expect_equal(sorted(played.ids), sorted(played.sent), "custom ids")
    expect_equal(played.charged, played.job.count, "charged rows")


_CHECKS: tuple[tuple[str, Callable[[Subject], None]], ...] = (
    ("every-row-once", _reversed),
    ("progress", _progress),
    ("rows-missing", _missing),
    ("rows-twice", _duplicate),
    ("rows-foreign", _foreign),
    ("rows-all-failed", _all_errors),
    ("rows-throttled", _throttled),
    ("rows-out-of-credit", _credit),
    *((f"rows-{name}", partial(_odd_answers, name)) for name in TWISTS),
    ("invalid", _invalid),
    ("cancelled-by-another", _scripted_cancellation),
    ("error-file-unnamed", _empty_error_file),
    ("stuck", _stuck),
    ("cancelled-late", _cancel_comes_late),
    ("reply-lost", partial(_reply_lost, "batch_create")),
    ("reply-to-rows-lost", partial(_reply_lost, "batch_add")),
    ("results-gone", _results_gone),
)

ENTRIES = tuple(Entry(f"batch-{name}", check, (batch, simulated)) for name, check in _CHECKS)
