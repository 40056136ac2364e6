"""The submit phase: intent first, one submission for each intent, and what a crash left is adopted."""

from __future__ import annotations

from headgate.batch.control import Stop
from headgate.batch.decide import Action, SubmissionView, decide_submission, submit_delay
from headgate.batch.plan import custom_id
from headgate.batch.rows import ChunkRow, SubmissionRow
from headgate.batch.run import Run
from headgate.batch.states import ChunkState, Verdict
from headgate.batch.steps import room
from headgate.batch.steps.jobs import StoredRows, batch_client, make_tag, owns, patiently, row_bounds
from headgate.batch.steps.lanes import moved
from headgate.batch.steps.wait import polling_of
from headgate.dialects.batch import TERMINAL, Candidate
from headgate.errors import RUN_FATAL_KINDS, ConfigError, ErrorKind, HeadgateError, ProviderError, UsageError, WireError
from headgate.wire.json import JsonObject

CLOCK_SKEW = 900.0
"""Seconds by which our clock may be ahead of the provider's: how long before its intent a job may seem to have been created."""


class Submitter:
    """Brings a chunk to the provider exactly once."""

    def __init__(self, run: Run, chunk: ChunkRow) -> None:
        self.run = run
        self.chunk = chunk
        self.plan = run.steps[chunk.step]
        self.client = batch_client(run, self.plan)
        self._fresh: str | None = None
        self._found: tuple[Candidate, ...] | None = None
        self._looked_from: float | None = None
        self._foreign: set[str] = set()
        self._refusals = self._delays = 0
        self._ambiguous = False

    async def submit(self) -> Verdict:
        """Go on until a job is known (or there is nothing to submit)."""
        assert self.plan.target is not None
        while True:
            self.run.control.check()
            last = self.run.tables.last_submission(self.chunk.id)
            if not self._seqs():
                return Verdict.NEXT
            if self.run.tables.chunk(self.chunk.id).state is ChunkState.OPEN:
                return Verdict.END  # it was in another lane meanwhile: the workflow that it came back with builds it anew
            provider, account = self.plan.target.provider.name, self.plan.target.credential.account
            claimed = frozenset[str]() if self._found is None else self.run.tables.claimed_batches(provider, account) | self._foreign
            action, candidate = decide_submission(self._view(last), self.run.clock(), self.run.options.grace, self._found, claimed)
            if action is Action.PROCEED:
                return Verdict.NEXT
            if action is Action.INTEND and await moved(self.run, self.run.tables.chunk(self.chunk.id)):
                return Verdict.END
            await self._act(action, last, candidate)

    def _view(self, last: SubmissionRow | None) -> SubmissionView | None:
        """What is known. The time in which an absent job may turn up begins with our first look: only then is no call of ours under way."""
        if last is None:
            return None
        since = max(last.intent_at, self._looked_from or 0.0)
        return SubmissionView(last.state, last.rows, since, last.batch_id, self._fresh == last.key)

    def _seqs(self) -> frozenset[int]:
        return self.run.tables.unanswered(self.chunk.id)

    async def _act(self, action: Action, last: SubmissionRow | None, candidate: Candidate | None) -> None:
        if action is Action.INTEND:
            await self._intend(last)
            return
        assert last is not None
        if action is Action.SUBMIT:
            await self._create(last)
        elif action is Action.FIND:
            await self._find(last)
        elif action is Action.ADOPT and candidate is not None:
            await self.run.tables.submitted(self.chunk, last.key, candidate.handle, candidate.matched_by, self.run.clock())
        elif action is Action.ABANDON:
            await self._refused(last, "not found at the provider")
            self._count_refusal("not one of them was found there afterwards")
        else:
            await self._wait(last)

    async def _wait(self, last: SubmissionRow) -> None:
        """Look again soon; say so when that is because several jobs could be ours."""
        likely = [c.handle.id for c in self._found or () if c.handle.id not in self._foreign and c.total in (None, last.rows)]
        if len(likely) > 1 and not self._ambiguous:
            self._ambiguous = True
            data: JsonObject = {"submission": last.key, "candidates": likely}
            await self.run.tables.event(self.run.row.key, "warning", "ambiguous", data, self.run.clock())
        self._found = None
        await self.run.control.sleep(min(60.0, max(0.2, self.run.options.grace / 5)))

    async def _intend(self, last: SubmissionRow | None) -> None:
        """Write an intent, unless the provider's limit on enqueued tokens leaves no room yet: then wait a moment instead."""
        if not room.limited(self.client):
            await self._write_intent(last)
            return
        async with self.run.intending:
            fits = room.has_room(self.run, self.client, self.plan, self.chunk)
            if fits:
                await self._write_intent(last)
        if not fits:
            assert self.plan.target is not None
            await self.run.control.sleep(polling_of(self.run, self.plan.target.provider).first)

    async def _write_intent(self, last: SubmissionRow | None) -> None:
        run, chunk = self.run, self.chunk
        n = 1 if last is None else last.n + 1
        seqs = self._seqs()
        reserved = self._reservation(seqs)
        await run.reserve(reserved)
        key = f"{run.mark}-{chunk.step}-{chunk.id}-{n}"
        assert self.plan.target is not None
        fields = {
            "key": key,
            "run": run.row.key,
            "chunk": chunk.id,
            "n": n,
            "provider": self.plan.target.provider.name,
            "account": self.plan.target.credential.account,
            "prefix": custom_id(run.mark, chunk.id, n, 0).rpartition("-")[0],
            "rows": len(seqs),
            "reserved_nanos": reserved,
            "intent_at": run.clock(),
        }
        await run.tables.intend(fields, run.clock())
        self._fresh, self._found, self._looked_from = key, None, None

    def _reservation(self, seqs: frozenset[int]) -> int | None:
        """The most the chunk can cost, in nano-dollars."""
        assert self.chunk_segment is not None
        bounds = row_bounds(self.run, self.plan, self.chunk_segment, seqs).values()
        return None if None in bounds else sum(bound or 0 for bound in bounds)

    @property
    def chunk_segment(self) -> int | None:
        """Where the chunk's requests lie."""
        return self.run.tables.chunk(self.chunk.id).request_segment

    async def _create(self, last: SubmissionRow) -> None:
        """The one call that must not be made twice for one intent."""
        assert self.chunk_segment is not None
        self._fresh = None
        tag = make_tag(self.run, self.plan, last)
        body = StoredRows(self.run, self.chunk_segment, last.prefix, tag.endpoint, self._seqs())
        try:
            handle = await self.run.control.finish(self.client.submit(tag, body), self.run.options.stop_grace)
        except ProviderError as error:
            await self._create_failed(last, error)
            return
        except (ConfigError, UsageError) as error:
            await self._refused(last, error.message)
            raise
        except WireError as error:
            if error.fault == "local":
                raise
            await self._unclear(error)
            return
        self._refusals = self._delays = 0
        await self.run.tables.submitted(self.chunk, last.key, handle, "create", self.run.clock())

    async def _create_failed(self, last: SubmissionRow, error: ProviderError) -> None:
        """A refusal is final for this intent; anything unclear is looked up at the provider.

        Refusals end the run after a few in a row, except for a queue that is full while other jobs of the run are in it.
        """
        refused = not error.sent or (error.status is not None and 400 <= error.status < 500 and error.status != 408)
        if not refused:
            await self._unclear(error)
            return
        await self._refused(last, error.message)
        if error.kind in RUN_FATAL_KINDS or not error.transient:
            self.run.control.stop(Stop(f"the provider refused the batch: {error.message}", 1, failed=True, hint=error.hint))
        if error.kind is not ErrorKind.RATE_LIMIT or not room.under_way(self.run, self.plan, self.chunk):
            self._count_refusal(error.message)
        self._delays += 1
        await self.run.control.sleep(submit_delay(self._delays, error.retry_after, room.ladder(self.run)))

    async def _unclear(self, error: HeadgateError) -> None:
        """The job may exist: it is looked for from now on."""
        await self.run.tables.event(self.run.row.key, "warning", "submit_unclear", {"error": error.message}, self.run.clock())

    def _count_refusal(self, why: str) -> None:
        self._refusals += 1
        if self._refusals >= self.run.options.refusals:
            self.run.control.stop(Stop(f"the provider refused {self._refusals} submissions in a row: {why}", 1))

    async def _refused(self, last: SubmissionRow, error: str) -> None:
        await self.run.tables.refused(self.chunk, last.key, error, self.run.clock())
        self.run.book(last.reserved_nanos or 0, 0)
        self._fresh, self._found = None, None

    async def _find(self, last: SubmissionRow) -> None:
        tag = make_tag(self.run, self.plan, last)
        if self._looked_from is None:
            self._looked_from = self.run.clock()
        found = await patiently(self.run, "find_failed", lambda: self.client.find(tag, last.intent_at - CLOCK_SKEW))
        proven = [candidate for candidate in found if await self._proven(candidate, last)]
        self._found = tuple(proven or found)

    async def _proven(self, candidate: Candidate, last: SubmissionRow) -> bool:
        """Whether the results of a job without our tag show that it is ours; one that they show to be somebody else's is ruled out."""
        readable = candidate.matched_by == "window" and candidate.status in TERMINAL and candidate.total in (None, last.rows)
        if not readable or candidate.handle.id in self._foreign:
            return False
        ours = await owns(self.run, self.client, candidate.handle, last.prefix)
        if ours is False:
            self._foreign.add(candidate.handle.id)
        return ours is True


async def submit(run: Run, chunk: ChunkRow) -> Verdict:
    """The submit phase."""
    return await Submitter(run, chunk).submit()
