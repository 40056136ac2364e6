"""How a run stands as plain JSON (OCT-46); amounts are decimal strings of dollars, an amount that is not known is null."""

from __future__ import annotations

from headgate.assembly.status import RunStatus
from headgate.batch.progress import duration_text
from headgate.batch.rows import StepRow, StepTotals, SubmissionRow
from headgate.batch.signals import by_reason
from headgate.batch.states import RUN_SCOPE, RunState
from headgate.batch.tally import Tally, total
from headgate.domain.cost import usd_text
from headgate.wire.json import JsonObject


def usd(nanos: int | None) -> str | None:
    """Dollars as exact text; None where they are not known."""
    return None if nanos is None else usd_text(nanos)


def status_json(status: RunStatus) -> JsonObject:
    """The status as plain JSON. `cost_usd` is null where there are `unpriced_calls`; `priced_cost_usd` leaves them out."""
    row = status.run
    return {
        "run": row.id,
        "folder": status.folder,
        "pipeline": row.pipeline,
        "mode": row.mode,
        "state": row.state.value,
        "driven": status.driven,
        "pid": status.pid,
        "reason": row.reason,
        "timestamp": status.times.now,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
        "units": row.total,
        "planned": row.planned,
        **_cost(status.spent, status.unpriced),
        "held_usd": usd_text(status.held),
        "cap_usd": usd(row.cost_cap_nanos),
        "overridden": list(status.overridden),
        "summary": _summary(status),
        "throughput": _throughput(status),
        "timing": _timing(status),
        "tokens": tokens_json(status.tallies),
        "steps": [step_json(status, step, target) for step, target in zip(status.steps, status.targets, strict=True)],
        "batches": [_batch(submission) for submission in status.submissions],
        "batch_counts": {state.value: count for state, (count, _) in status.batches.items()},
        "failures": by_reason(status.failed),
        "warnings": [{"code": found.code, "message": found.message, "count": found.count} for found in status.signals],
        "problems": list(status.problems),
        "notices": list(status.notices),
    }


def _cost(nanos: int, unpriced: int) -> JsonObject:
    return {"cost_usd": None if unpriced else usd_text(nanos), "priced_cost_usd": usd_text(nanos), "unpriced_calls": unpriced}


def _summary(status: RunStatus) -> JsonObject:
    return {
        "total_units": status.units,
        "valid": status.valid,
        "failed": status.failures,
        "pending": status.pending,
        "inflight": status.in_flight,
        "progress": round(status.done, 4),
    }


def _throughput(status: RunStatus) -> JsonObject:
    per_hour = status.per_hour
    return {
        "completed_units": status.valid + status.failures,
        "items_per_hour": None if per_hour is None else round(per_hour, 1),
        "estimated_remaining_seconds": None if status.remaining is None else round(status.remaining, 1),
        "estimated_remaining_human": duration_text(status.remaining),
    }


def _timing(status: RunStatus) -> JsonObject:
    times = status.times
    return {
        "run_started": times.started,
        "elapsed_seconds": round(times.elapsed, 3),
        "elapsed_human": duration_text(times.elapsed),
        "driven_seconds": round(times.driven, 3),
    }


def tokens_json(tallies: tuple[Tally, ...]) -> JsonObject:
    """Tokens and cost of first tries, of retries and of both together."""
    kinds = {"initial": False, "retry": True, "total": None}
    return {name: _tally(total(tallies, retry=kind)) for name, kind in kinds.items()}


def _tally(tally: Tally) -> JsonObject:
    return {
        "calls": tally.calls,
        "input": tally.input_tokens,
        "output": tally.output_tokens,
        **_cost(tally.cost_nanos, tally.unpriced),
    }


def step_json(status: RunStatus, step: StepTotals, target: StepRow) -> JsonObject:
    """One step in numbers."""
    return {
        "name": step.name,
        "kind": step.kind,
        "lane": step.lane,
        "provider": step.provider,
        "model": step.model,
        "overridden": target.overridden,
        "started": step.started,
        "valid": step.valid,
        "failed": step.failed,
        "pending": step.pending,
        "state": step_state(status, step),
        **_cost(step.cost_nanos, step.unpriced),
        "failures": by_reason(found for found in status.failed if found[0] == step.idx),
    }


def step_state(status: RunStatus, step: StepTotals) -> str:
    """``done``, ``running``, ``pending`` (nothing came to it yet) or ``waiting`` (for units of earlier steps)."""
    if step.kind == RUN_SCOPE:
        return "done" if status.run.state is RunState.COMPLETE else "pending"
    before = status.steps[: step.idx]
    more = any(earlier.pending for earlier in before) or status.run.total is None
    if step.pending:
        return "running"
    if not more and (step.started or status.run.total is not None):
        return "done"
    return "waiting" if step.started else "pending"


def _batch(submission: SubmissionRow) -> JsonObject:
    return {
        "key": submission.key,
        "provider": submission.provider,
        "batch_id": submission.batch_id,
        "state": submission.state.value,
        "status": submission.status,
        "raw_status": submission.raw_status,
        "rows": submission.rows,
        "polls": submission.polls,
        "matched_by": submission.matched_by,
    }
