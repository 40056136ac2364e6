"""Result rows to findings: matched by custom id, never by position; nothing foreign is attached to a unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from headgate.batch.evaluate import error_reason, failed, judge
from headgate.batch.plan import parse_custom_id
from headgate.batch.reasons import Reason
from headgate.batch.rows import SubmissionRow, UnitRow
from headgate.batch.run import Run, StepPlan
from headgate.batch.states import Outcome
from headgate.batch.steps.attempts import Finding, priced
from headgate.dialects.batch import BatchRow
from headgate.domain.response import Response
from headgate.errors import ErrorKind, HeadgateError, ProviderError
from headgate.wire.json import JsonObject

GROUP = 500
FATAL = frozenset({ErrorKind.AUTH, ErrorKind.PERMISSION, ErrorKind.QUOTA})


class Tally(msgspec.Struct):
    """What the rows of one job were, beside its findings. `earlier` ones were stored before a crash.

    `fatal` is an error that every further call would meet.
    """

    ours: int = 0
    earlier: int = 0
    foreign: int = 0
    duplicate: int = 0
    unreadable: int = 0
    fatal: ProviderError | None = None


class Matcher:
    """Sorts rows into ours, foreign, duplicate and unreadable. `open_seqs` are the units that wait for a row."""

    def __init__(self, submission: SubmissionRow, open_seqs: frozenset[int]) -> None:
        self.tally = Tally()
        self._prefix = submission.prefix
        self._open = open_seqs
        self._seen: set[int] = set()

    def groups(self, rows: Iterator[BatchRow]) -> Iterator[list[tuple[int, BatchRow]]]:
        """Our rows with their unit numbers, a few hundred at a time; the first row of a unit wins."""
        group: list[tuple[int, BatchRow]] = []
        for row in rows:
            seq = self._match(row)
            if seq is not None:
                group.append((seq, row))
            if len(group) >= GROUP:
                yield group
                group = []
        if group:
            yield group

    def _match(self, row: BatchRow) -> int | None:
        if row.custom_id is None:
            self.tally.unreadable += 1
            return None
        parts = parse_custom_id(row.custom_id)
        if parts is None or row.custom_id.rpartition("-")[0] != self._prefix:
            self.tally.foreign += 1
            return None
        if parts.seq in self._seen:
            self.tally.duplicate += 1
            return None
        self._seen.add(parts.seq)
        if parts.seq not in self._open:
            self.tally.earlier += 1
            return None
        self.tally.ours += 1
        return parts.seq


def findings_of(run: Run, plan: StepPlan, units: dict[int, UnitRow], rows: Sequence[tuple[int, BatchRow]], tally: Tally) -> list[Finding]:
    """Judge some rows."""
    records = run.inputs([units[seq] for seq, _ in rows])
    return [_finding(run, plan, units[seq], records[seq], row, tally) for seq, row in rows]


def _finding(run: Run, plan: StepPlan, unit: UnitRow, record: JsonObject, row: BatchRow, tally: Tally) -> Finding:
    n = unit.attempts + 1
    if row.outcome in _ENDED:
        reason = _ENDED[row.outcome]
        message = row.error.message if row.error else f"the row came back {row.outcome}"
        return Finding(unit=unit, n=n, outcome=Outcome.ERROR, judged=failed(reason, message), upstream_id=row.request_id)
    try:
        response = _response(plan, row)
    except ProviderError as error:
        return _row_error(unit, n, row, error, tally)
    except HeadgateError as error:
        judged = failed(Reason.PARSE_ERROR, f"the row cannot be read: {error.message}")
        return Finding(unit=unit, n=n, outcome=Outcome.INVALID, judged=judged, upstream_id=row.request_id)
    return _answered(run, plan, unit, n, record, row, response)


_ENDED = {"expired": Reason.EXPIRED, "cancelled": Reason.CANCELLED}


def _response(plan: StepPlan, row: BatchRow) -> Response:
    """The row's answer. Raises `ProviderError` when it holds an error, `WireError` when it holds neither."""
    if row.outcome == "succeeded" and row.body is not None:
        assert plan.target is not None
        return plan.target.chat.parse_response(row.body)
    raise row.error or ProviderError(ErrorKind.UNKNOWN, f"the row came back {row.outcome} without a reason", status=row.status)


def _row_error(unit: UnitRow, n: int, row: BatchRow, error: ProviderError, tally: Tally) -> Finding:
    if error.kind in FATAL:
        tally.fatal = tally.fatal or error
    blameless = error.kind in FATAL
    again = error.transient or blameless
    return Finding(
        unit=unit,
        n=n,
        outcome=Outcome.ERROR if again else Outcome.INVALID,
        judged=failed(error_reason(error), error.message),
        upstream_id=row.request_id or error.request_id,
        final=not again,
        blameless=blameless,
    )


def _answered(run: Run, plan: StepPlan, unit: UnitRow, n: int, record: JsonObject, row: BatchRow, response: Response) -> Finding:
    assert plan.validator is not None
    seed = run.seed(record, plan.step.name, "rules") if plan.validator.draws else 0
    judged = judge(response, plan.validator, record, seed, plan.step.params.answer_tool)
    usage, cost, source = priced(plan, response, len(row.body or b""), "batch")
    return Finding(
        unit=unit,
        n=n,
        outcome=Outcome.VALID if judged.reason is None else Outcome.INVALID,
        judged=judged,
        response=response,
        usage=usage,
        cost=cost,
        cost_source=source,
        upstream_id=row.request_id or response.id or None,
    )
