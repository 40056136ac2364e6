"""The submit phase: intent first, one submission for each intent, and what a crash left is adopted."""

from __future__ import annotations

from headgate.batch.control import Stop
from headgate.batch.decide import Action, SubmissionView, decide_submission, submit_delay
from headgate.batch.plan import custom_id
from headgate.batch.request import input_bound
from headgate.batch.rows import ChunkRow, SubmissionRow
from headgate.batch.run import Run
from headgate.batch.states import UnitState, Verdict
from headgate.batch.steps.jobs import StoredRows, batch_client, make_tag, stop_if_fatal
from headgate.catalog.cards import day_of
from headgate.catalog.prices import upper_bound
from headgate.dialects.batch import Candidate
from headgate.errors import RUN_FATAL_KINDS, HeadgateError, ProviderError
from headgate.wire.json import encode


class Submitter:
    """Brings a chunk to the provider exactly once."""

    def __init__(self, run: Run, chunk: ChunkRow) -> None:
        self.run = run
        self.chunk = chunk
        self.plan = run.steps[chunk.step]
        self.client = batch_client(run, self.plan)
        self._fresh: str | None = None
        self._found: tuple[Candidate, ...] | None = None
        self._refusals = 0

    async def submit(self) -> Verdict:
        """Go on until a job is known (or there is nothing to submit)."""
        assert self.plan.target is not None
        while True:
            self.run.control.check()
            last = self.run.tables.last_submission(self.chunk.id)
            if not self._seqs():
                return Verdict.NEXT
            provider, account = self.plan.target.provider.name, self.plan.target.credential.account
            claimed = self.run.tables.claimed_batches(provider, account)
            view = _view(last, self._fresh)
            action, candidate = decide_submission(view, self.run.clock(), self.run.options.grace, self._found, claimed)
            if action is Action.PROCEED:
                return Verdict.NEXT
            await self._act(action, last, candidate)

    def _seqs(self) -> frozenset[int]:
        return frozenset(u.seq for u in self.run.tables.units(self.chunk.id) if u.state in (UnitState.TODO, UnitState.SENT))

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
        else:
            self._found = None
            await self.run.control.sleep(max(0.2, self.run.options.grace / 5))

    async def _intend(self, last: SubmissionRow | None) -> None:
        run, chunk = self.run, self.chunk
        n = 1 if last is None else last.n + 1
        seqs = self._seqs()
        reserved = self._reservation(seqs)
        if not run.affords(reserved):
            run.control.check()
        key = f"{run.row.id}:{chunk.step}:{chunk.id}:{n}"
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
        self._fresh, self._found = key, None

    def _reservation(self, seqs: frozenset[int]) -> int | None:
        """The most the chunk can cost, in nano-dollars."""
        assert self.plan.target is not None and self.chunk_segment is not None
        limit = self.plan.step.params.max_tokens or self.run.pipeline.api.max_tokens
        day, card = day_of(self.run.row.created_at), self.plan.target.card
        total = 0
        for line in self.run.tables.scan(self.chunk_segment):
            if line["seq"] in seqs:
                bound = upper_bound(card, day, input_bound(encode(line["body"])), limit, "batch").nanos
                if bound is None:
                    return None
                total += bound
        return total

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
        except HeadgateError as error:
            await self.run.tables.event(self.run.row.key, "warning", "submit_unclear", {"error": error.message}, self.run.clock())
            return
        self._refusals = 0
        await self.run.tables.submitted(self.chunk, last.key, handle, "create", self.run.clock())

    async def _create_failed(self, last: SubmissionRow, error: ProviderError) -> None:
        """A refusal is final for this intent; anything unclear is looked up at the provider."""
        refused = not error.sent or (error.status is not None and 400 <= error.status < 500 and error.status != 408)
        if not refused:
            await self.run.tables.event(self.run.row.key, "warning", "submit_unclear", {"error": error.message}, self.run.clock())
            return
        await self._refused(last, error.message)
        if error.kind in RUN_FATAL_KINDS or not error.transient:
            self.run.control.stop(Stop(f"the provider refused the batch: {error.message}", 1, failed=True, hint=error.hint))
        self._refusals += 1
        if self._refusals >= self.run.options.refusals:
            self.run.control.stop(Stop(f"the provider refused {self._refusals} submissions in a row: {error.message}", 1))
        retry = self.run.pipeline.api.retry
        ladder = tuple(min(300.0, retry.initial_delay * retry.multiplier**k) for k in range(4))
        await self.run.control.sleep(submit_delay(self._refusals, error.retry_after, ladder))

    async def _refused(self, last: SubmissionRow, error: str) -> None:
        await self.run.tables.refused(self.chunk, last.key, error, self.run.clock())
        self.run.book(last.reserved_nanos or 0, 0)
        self._fresh, self._found = None, None

    async def _find(self, last: SubmissionRow) -> None:
        tag = make_tag(self.run, self.plan, last)
        try:
            self._found = tuple(await self.client.find(tag, last.intent_at - 60.0))
        except ProviderError as error:
            stop_if_fatal(self.run, error)
            await self.run.control.sleep(error.retry_after or 1.0)


def _view(last: SubmissionRow | None, fresh: str | None) -> SubmissionView | None:
    if last is None:
        return None
    return SubmissionView(last.state, last.rows, last.intent_at, last.batch_id, fresh == last.key)


async def submit(run: Run, chunk: ChunkRow) -> Verdict:
    """The submit phase."""
    return await Submitter(run, chunk).submit()
