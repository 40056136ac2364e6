"""From a provider's answer to a verdict on the unit. Both lanes come through here, so that the same answer is judged the same way."""

from __future__ import annotations

import msgspec

from headgate.batch.answers import AnswerFault, extract_json
from headgate.batch.reasons import Reason
from headgate.batch.validate import Invalid, Problem, StepValidator
from headgate.domain.content import Refusal
from headgate.domain.response import Finish, Response
from headgate.errors import ErrorKind, ProviderError
from headgate.wire.json import JsonObject


class Judged(msgspec.Struct, frozen=True):
    """What an answer is worth. `record` is set when `reason` is None; `raw` is the text exactly as returned."""

    reason: Reason | None
    record: JsonObject | None
    raw: str
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def judge(response: Response, validator: StepValidator, fields: JsonObject, seed: int, tool: str | None = None) -> Judged:
    """Judge a whole answer of a unit with `fields`. The arguments of the first call of `tool` are the answer, where there is one."""
    raw = next((call.arguments for call in response.tool_calls if call.name == tool), response.text)
    fault = _finish_fault(response, raw)
    if fault is not None:
        return Judged(fault[0], None, raw, (Problem("$", fault[0].value, fault[1]),))
    return judge_text(raw, validator, fields, seed, cut=response.finish is Finish.LENGTH)


def judge_text(raw: str, validator: StepValidator, fields: JsonObject, seed: int, *, cut: bool) -> Judged:
    """Judge the text of an answer of a unit with `fields`; `cut`: it was stopped at its limit of tokens."""
    extracted = extract_json(raw, cut=cut)
    if isinstance(extracted, AnswerFault):
        return Judged(extracted.reason, None, raw, (Problem("$", extracted.reason.value, extracted.message),))
    verdict = validator.validate(extracted.value, fields, seed=seed)
    notes = (*extracted.repairs, *verdict.coercions)
    if isinstance(verdict, Invalid):
        return Judged(verdict.reason, None, raw, verdict.problems, notes)
    return Judged(None, verdict.record, raw, (), (*notes, *verdict.warnings))


_FINISH_FAULTS = {
    Finish.CONTENT_FILTER: (Reason.REFUSAL, "the provider's filter stopped the answer"),
    Finish.ERROR: (Reason.PROVIDER_ERROR, "the provider could not finish the answer"),
}


def _finish_fault(response: Response, raw: str) -> tuple[Reason, str] | None:
    if not response.choices:
        return Reason.EMPTY, "the answer has no choices"
    fault = _FINISH_FAULTS.get(response.choices[0].finish or Finish.STOP)
    if fault is not None:
        return fault
    refusals = [b.text for b in response.choices[0].content if isinstance(b, Refusal)]
    if refusals:
        return Reason.REFUSAL, refusals[0][:500]
    if raw.strip():
        return None
    called = ", ".join(sorted({call.name for call in response.tool_calls}))
    return Reason.EMPTY, f"the answer has no text, but a call of {called}" if called else "the answer has no text"


ERROR_REASONS: dict[ErrorKind, Reason] = {
    ErrorKind.RATE_LIMIT: Reason.RATE_LIMIT,
    ErrorKind.CONTENT_FILTER: Reason.REFUSAL,
    ErrorKind.CONTEXT_LENGTH: Reason.TOO_LARGE,
    ErrorKind.CANCELLED: Reason.CANCELLED,
}
"""The reason a provider's error stands for, where it is not simply `provider_error`."""


def error_reason(error: ProviderError) -> Reason:
    """Why the unit's attempt failed."""
    return ERROR_REASONS.get(error.kind, Reason.PROVIDER_ERROR)


def failed(reason: Reason, message: str, raw: str = "") -> Judged:
    """A judgement without an answer."""
    return Judged(reason, None, raw, (Problem("$", reason.value, message),))
