"""The realtime lane: a window of calls, each written down before it is made and stored when it is answered."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from headgate.batch.control import Pausing, Stop
from headgate.batch.evaluate import Judged, error_reason, failed, judge
from headgate.batch.quota import end
from headgate.batch.reasons import Reason
from headgate.batch.rows import ChunkRow, Claim, UnitRow
from headgate.batch.run import Run, StepPlan
from headgate.batch.states import OPEN_UNITS, Outcome, UnitState, Verdict
from headgate.batch.steps.attempts import Finding, lost_answer, priced, to_attempt, without_call
from headgate.batch.steps.cached import key_of, recall, remember
from headgate.batch.steps.lanes import leaves, moved
from headgate.batch.steps.prompts import Ready, group_size, render_units
from headgate.batch.steps.results import ResultStore
from headgate.batch.together import Crowd, Together
from headgate.client.chat import Exchange
from headgate.domain.estimate import estimate_tokens
from headgate.domain.usage import Usage
from headgate.errors import RUN_FATAL_KINDS, HeadgateError, ProviderError
from headgate.ledger.limits import Full
from headgate.transport.retry import RetryPolicy, decide_retry

GROUP = 256


async def work(run: Run, chunk: ChunkRow) -> Verdict:
    """Answer every pending unit of the chunk. Units whose answer was not good are tried again here, one by one.

    AGAIN when some were left to another lane, and the run's mode has changed back meanwhile.
    """
    plan = run.steps[chunk.step]
    units = [unit for unit in run.tables.units(chunk.id) if unit.state in OPEN_UNITS]
    async with ResultStore(run, plan, chunk) as store, Committer(run, store) as committer:
        await _answer(UnitCalls(run, plan, chunk, committer), units)
    if not run.tables.unanswered(chunk.id):
        return Verdict.NEXT
    return Verdict.END if await moved(run, chunk) else Verdict.AGAIN


async def _answer(calls: UnitCalls, units: Sequence[UnitRow]) -> None:
    """Answer units, rendering ahead of as many calls as may be under way; whatever happens to one, the others end in order first.

    Units that are not begun with when the chunk is to change its lane are left.
    """
    run, plan = calls.run, calls.plan
    size = group_size(plan, GROUP)
    async with Crowd(run.options.concurrency) as crowd:
        for start in range(0, len(units), size):
            await crowd.room()
            if crowd.failed or run.control.stopping or leaves(run, calls.chunk):
                break
            ready = await render_units(run, plan, units[start : start + size])
            known = await recall(run, plan, ready)
            for item in ready:
                crowd.start(calls.finish(item, known.get(item.unit.seq)))
    run.control.check()


class Pending(msgspec.Struct, frozen=True):
    """A finding on its way to the disk, with the nano-dollars that its call had set aside."""

    finding: Finding
    released: int
    key: bytes | None = None


class Committer:
    """Stores findings as they come, those of a few milliseconds together. Use as an async context manager."""

    def __init__(self, run: Run, store: ResultStore) -> None:
        self._run = run
        self._store = store
        self._together: Together[Pending] = Together(self._write)
        self._claims: Together[Claim] = Together(run.tables.claim)

    async def __aenter__(self) -> Committer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._claims.close()
        await self._together.close()

    async def claim(self, claim: Claim) -> None:
        """Return when the claim is durable. Raises `StoreError`."""
        await self._claims.add(claim)

    async def store(self, finding: Finding, released: int, key: bytes | None = None) -> None:
        """Return when the finding is durable; `key` stands for its request. Raises `StoreError`."""
        await self._together.add(Pending(finding, released, key))

    async def _write(self, group: list[Pending]) -> None:
        await self._store.store([pending.finding for pending in group], released=sum(pending.released for pending in group))
        keys = {pending.finding.unit.seq: pending.key for pending in group if pending.key is not None}
        await remember(self._run, [pending.finding for pending in group], keys)


class UnitCalls:
    """The calls of a chunk's units, each until it is decided."""

    def __init__(self, run: Run, plan: StepPlan, chunk: ChunkRow, committer: Committer) -> None:
        self.run = run
        self.plan = plan
        self.chunk = chunk
        self.committer = committer

    async def finish(self, ready: Ready, known: Finding | None = None) -> None:
        """Call until the unit is valid or failed. Raises `Pausing` when the run stops first. A `known` answer needs no call."""
        while True:
            finding, released, error = (known, 0, None) if known is not None else await self._attempt(ready)
            await self.committer.store(finding, released, self._key(ready))
            if error is not None and error.kind in RUN_FATAL_KINDS:
                raise Pausing
            if finding.outcome is Outcome.VALID:
                return
            attempt = to_attempt(self.run, self.plan, self.chunk, finding, None, None)
            if attempt.state not in OPEN_UNITS:
                return
            await self._pause_before_retry(attempt.errors, error)
            kept = {"tries": attempt.tries, "errors": attempt.errors, "attempts": attempt.n}
            unit = msgspec.structs.replace(ready.unit, state=UnitState.RETRY, **kept)
            ready = await self._again(ready, unit, finding.judged)

    def _key(self, ready: Ready) -> bytes | None:
        if self.run.answers is None or ready.prepared is None:
            return None
        return key_of(self.plan, ready.record, ready.prepared.body)

    async def _attempt(self, ready: Ready) -> tuple[Finding, int, ProviderError | None]:
        """One call, or the reason why there is none: the finding, the nano-dollars it had set aside, and a provider's error."""
        unit, n = ready.unit, ready.unit.attempts + 1
        if ready.prepared is None:
            return without_call(unit, ready.fault), 0, None
        assert self.plan.limiter is not None
        async with self.plan.limiter.slot():
            reserved = estimate_tokens(len(ready.prepared.body)), ready.prepared.request.max_tokens or 0
            permit = None if self.plan.quota is None else await self.plan.quota.admit(*reserved)
            if isinstance(permit, Full):
                return without_call(unit, failed(Reason.TOO_LARGE, permit.message)), 0, None
            used: Usage | None = Usage()
            try:
                bound = self._bound(ready)
                await self.run.reserve(bound)
                request_id = self.run.new_request_id()
                claim = Claim(self.run.row.key, self.chunk.step, unit.seq, n, self.chunk.id, request_id, bound, self.run.clock())
                await self.committer.claim(claim)
                finding, error = await self._call(ready, n, request_id, bound)
                used = finding.usage if finding.cost_source != "none" else Usage()
            finally:
                if permit is not None:
                    end(permit, used, reserved)
        return finding, bound or 0, error

    async def _call(self, ready: Ready, n: int, request_id: str, bound: int | None) -> tuple[Finding, ProviderError | None]:
        assert self.plan.target is not None and ready.prepared is not None
        started = time.monotonic()
        call = self.run.chat.complete_prepared(self.plan.target, ready.prepared, request_id=request_id, once=True)
        try:
            exchange = await self.run.control.finish(call, self.run.options.stop_grace)
        except Pausing:
            return self._lost(ready, n, request_id, bound, "the run was stopped during the call", blameless=True), None
        except ProviderError as error:
            self._consider(error)
            return self._error(ready, n, request_id, bound, error, time.monotonic() - started), error
        except HeadgateError as error:
            return self._lost(ready, n, request_id, bound, error.message), None
        return self._answer(ready, n, request_id, exchange), None

    def _answer(self, ready: Ready, n: int, request_id: str, exchange: Exchange) -> Finding:
        plan = self.plan
        assert plan.validator is not None and plan.limiter is not None
        plan.limiter.succeeded()
        if plan.quota is not None:
            plan.quota.heard(exchange.headers)
        self.run.took(exchange.duration)
        seed = self.run.seed(ready.record, plan.step.name, "rules") if plan.validator.draws else 0
        judged = judge(exchange.response, plan.validator, ready.record, seed, plan.step.params.answer_tool)
        usage, cost, source = priced(plan, exchange.response, exchange.request_bytes, "realtime")
        return Finding(
            unit=ready.unit,
            n=n,
            outcome=Outcome.VALID if judged.reason is None else Outcome.INVALID,
            judged=judged,
            response=exchange.response,
            usage=usage,
            cost=cost,
            cost_source=source,
            request_id=request_id,
            upstream_id=exchange.upstream_id,
            duration=exchange.duration,
        )

    def _error(self, ready: Ready, n: int, request_id: str, bound: int | None, error: ProviderError, duration: float) -> Finding:
        """A refusal or failure. Without a status, after the request was sent, it may have been billed: it is booked at its bound."""
        if error.status is None and error.sent:
            return self._lost(ready, n, request_id, bound, error.message)
        blameless = error.kind in RUN_FATAL_KINDS or self.run.control.stopping
        again = error.transient or blameless
        return Finding(
            unit=ready.unit,
            n=n,
            outcome=Outcome.ERROR if again else Outcome.INVALID,
            judged=failed(error_reason(error), error.message),
            request_id=request_id,
            upstream_id=error.request_id,
            duration=duration,
            final=not again,
            blameless=blameless,
        )

    def _lost(self, ready: Ready, n: int, request_id: str, bound: int | None, message: str, *, blameless: bool = False) -> Finding:
        """The request may have been worked on, and the answer is gone."""
        return lost_answer(ready.unit, n, request_id, bound, message, blameless=blameless)

    def _consider(self, error: ProviderError) -> None:
        """Stop the run for errors that every other call would meet as well, and hold back the others after a rate limit: at once."""
        limiter = self.plan.limiter
        assert limiter is not None
        if error.status is not None:
            limiter.refused()
        if error.kind in RUN_FATAL_KINDS:
            self.run.control.stop(Stop(error.message, 1, failed=True, hint=error.hint))
        elif error.status is None and limiter.unanswered() >= self.run.options.unreachable:
            why = f"{limiter.silent} calls in a row had no answer: {error.message}"
            self.run.control.stop(Stop(why, 1, failed=True, hint=error.hint or "headgate doctor; the same command goes on"))
        elif error.kind == "rate_limit":
            limiter.limited(error.retry_after or self.run.options.backoff)

    async def _pause_before_retry(self, errors: int, error: ProviderError | None) -> None:
        options = self.run.options
        retry = RetryPolicy(attempts=options.max_errors + 1, base=options.backoff)
        delay = None if error is None else decide_retry(max(1, min(errors, options.max_errors)), error, retry, self.run.random.random())
        await self.run.control.sleep(delay or 0.0)

    async def _again(self, ready: Ready, unit: UnitRow, judged: Judged) -> Ready:
        """The request for another try; complaints are offered to the template."""
        if not judged.problems or judged.reason in (Reason.LOST, Reason.RATE_LIMIT, Reason.PROVIDER_ERROR):
            return msgspec.structs.replace(ready, unit=unit)
        stored = self.run.tables.unit(self.run.row.key, self.chunk.step, unit.seq)
        return (await render_units(self.run, self.plan, [stored]))[0]

    def _bound(self, ready: Ready) -> int | None:
        """The most this call can cost, in nano-dollars."""
        assert ready.prepared is not None
        return self.plan.bound(self.run, ready.prepared.body, "realtime")


async def settle_orphans(run: Run) -> int:
    """Close the calls whose answers were lost with an earlier process: booked at their bound, their units tried again.

    They were calls of the realtime lane, also where they stood in for a batch that would have been too small.
    """
    claims = run.tables.orphan_claims(run.row.key)
    by_chunk: dict[int, list[Claim]] = {}
    for claim in claims:
        by_chunk.setdefault(claim.chunk, []).append(claim)
    for chunk_id, lost in by_chunk.items():
        chunk = msgspec.structs.replace(run.tables.chunk(chunk_id), lane="realtime")
        findings = [_orphan(run, claim) for claim in lost]
        async with ResultStore(run, run.steps[chunk.step], chunk) as store:
            await store.store(findings, released=sum(claim.bound_nanos or 0 for claim in lost))
    return len(claims)


def _orphan(run: Run, claim: Claim) -> Finding:
    unit = run.tables.unit(run.row.key, claim.step, claim.seq)
    message = "the process ended before the answer was stored"
    return lost_answer(unit, claim.n, claim.request_id, claim.bound_nanos, message, blameless=True)
