"""From a judged answer to the rows that are stored."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headgate.batch.answer_cache import CACHED
from headgate.batch.decide import SENDS_BACK, decide_unit
from headgate.batch.evaluate import Judged, failed
from headgate.batch.reasons import Reason, policy
from headgate.batch.rows import Attempt, ChunkRow, Posting, UnitRow
from headgate.batch.run import Run, StepPlan
from headgate.batch.states import Outcome, UnitState
from headgate.catalog.cards import Lane
from headgate.catalog.prices import price
from headgate.domain.cost import Cost
from headgate.domain.estimate import estimate_usage
from headgate.domain.response import Response
from headgate.domain.usage import BUCKETS, Usage, sum_usage
from headgate.wire.json import Json, JsonObject, encode_text


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One finished attempt before it is stored: the unit, its attempt number, the judgement, and what is known of the call."""

    unit: UnitRow
    n: int
    outcome: Outcome
    judged: Judged
    response: Response | None = None
    usage: Usage | None = None
    cost: Cost = Cost(0)
    cost_source: str = "none"
    request_id: str | None = None
    upstream_id: str | None = None
    duration: float | None = None
    children: tuple[JsonObject, ...] | None = None
    """The records of the units a valid one becomes at the next step; None: it goes on as it is."""
    final: bool = False
    """No other try can end differently, whatever the reason says."""
    blameless: bool = False
    """The run was stopped or killed, or no call at all can succeed (a wrong key): this counts neither as a try nor as an error."""


def lost_answer(unit: UnitRow, n: int, request_id: str, bound: int | None, message: str, *, blameless: bool = False) -> Finding:
    """A call whose answer is gone, booked at the most it can have cost (nano-dollars; None is unpriced).

    `blameless`: it was lost because this program ended, not because the call failed.
    """
    return Finding(
        unit=unit,
        n=n,
        outcome=Outcome.UNKNOWN,
        judged=failed(Reason.LOST, message),
        request_id=request_id,
        cost=Cost(bound),
        cost_source="bound",
        blameless=blameless,
    )


def without_call(unit: UnitRow, verdict: Judged | None) -> Finding:
    """A unit for which there is no request: it passes the step by, or cannot be asked about."""
    judged = verdict or failed(Reason.RENDER_ERROR, "no request")
    outcome = Outcome.VALID if judged.reason is None else Outcome.INVALID
    return Finding(unit=unit, n=unit.attempts + 1, outcome=outcome, judged=judged, final=True)


def priced(plan: StepPlan, response: Response, request_bytes: int, lane: Lane) -> tuple[Usage, Cost, str]:
    """Usage, cost and the source of the cost for an answer; estimated when the provider did not count."""
    if response.usage is not None:
        return response.usage, price(plan.price, response.usage, lane), "usage"
    usage = estimate_usage(request_bytes, response)
    return usage, price(plan.price, usage, lane), "estimate"


def to_attempt(run: Run, plan: StepPlan, chunk: ChunkRow, finding: Finding, line: int | None, submission: str | None) -> Attempt:
    """The row of one attempt, with the unit's next state."""
    unit, reason = finding.unit, finding.judged.reason
    counted = finding.outcome is Outcome.VALID or (finding.outcome is Outcome.INVALID and (reason is None or policy(reason).burns_attempt))
    tries, errors = unit.tries + counted, unit.errors + (not counted and not finding.blameless)
    most_tries, most_errors = (0, 0) if finding.final else (plan.max_tries, run.options.max_errors)
    back = plan.step.retry_from is not None and reason in SENDS_BACK.get(plan.step.kind, frozenset())
    if finding.blameless:
        state = UnitState.RETRY
    else:
        state = decide_unit(finding.outcome, reason, tries, most_tries, errors, most_errors, back=back)
    return Attempt(
        step=chunk.step,
        seq=unit.seq,
        n=finding.n,
        chunk=chunk.id,
        lane=chunk.lane,
        outcome=finding.outcome,
        state=state,
        tries=tries,
        errors=errors,
        at=run.clock(),
        reason=None if reason is None else reason.value,
        duration=finding.duration,
        request_id=finding.request_id,
        upstream_id=finding.upstream_id,
        model=finding.response.model if finding.response is not None else None,
        usage=None if finding.usage is None else encode_text(usage_json(finding.usage)),
        cost_nanos=finding.cost.nanos,
        cost_source=finding.cost_source,
        price_rule=finding.cost.rule or None,
        submission=submission,
        line=line,
        children=None if finding.children is None else len(finding.children),
    )


def to_line(chunk: ChunkRow, finding: Finding) -> JsonObject:
    """The payload of one attempt as it is kept in the segment."""
    judged = finding.judged
    line: JsonObject = {"seq": finding.unit.seq, "n": finding.n, "step": chunk.step, "raw": judged.raw}
    if judged.record is not None:
        line["record"] = judged.record
    if judged.reason is not None:
        line["reason"] = judged.reason.value
        line["errors"] = [msgspec.to_builtins(problem) for problem in judged.problems]
    if judged.notes:
        line["notes"] = list(judged.notes)
    return line


def usage_json(usage: Usage) -> JsonObject:
    """Usage as stored: the buckets in use, the sums, and the source."""
    kept: JsonObject = {bucket: count for bucket in BUCKETS if (count := getattr(usage, bucket))}
    kept.update(input_total=usage.input_total, output_total=usage.output_total, source=usage.source)
    if usage.fees:
        kept["fees"] = usage.fees
    return kept


def posting(run: Run, plan: StepPlan, chunk: ChunkRow, key: str, findings: Sequence[Finding]) -> Posting | None:
    """What these attempts cost together, for the ledger; None when nothing was called."""
    called = [f for f in findings if f.usage is not None or f.cost_source not in ("none", CACHED) or f.cost.nanos is None]
    target = plan.target
    if not called or target is None:
        return None
    unknown = Usage(source="estimated")
    total = sum_usage(finding.usage or unknown for finding in called)
    return Posting(
        key=key,
        run=run.row.key,
        chunk=chunk.id,
        lane=chunk.lane,
        provider=target.provider.name,
        account=target.credential.account,
        model=target.model,
        calls=len(called),
        usage=encode_text(usage_json(total)),
        cost_nanos=sum(f.cost.nanos or 0 for f in called),
        unpriced=sum(f.cost.nanos is None for f in called),
        at=run.clock(),
    )


def lines_of(chunk: ChunkRow, findings: Sequence[Finding]) -> list[Json]:
    """The payload lines of some attempts, in order, each followed by those of the units it became."""
    lines: list[Json] = []
    for finding in findings:
        lines.append(to_line(chunk, finding))
        lines += [{"record": child} for child in finding.children or ()]
    return lines


def line_numbers(findings: Sequence[Finding]) -> list[int]:
    """Where each attempt's line stands among `lines_of`."""
    numbers, following = [], 0
    for finding in findings:
        numbers.append(following)
        following += 1 + len(finding.children or ())
    return numbers
