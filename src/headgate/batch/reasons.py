"""Why a unit failed, and what may be done about it: one word and one policy each (OCT-93, IMP-11)."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    """The reason of a failed attempt; stored as written here."""

    PARSE_ERROR = "parse_error"
    """The answer holds no readable JSON."""
    TRUNCATED = "truncated"
    """The answer stops before its end."""
    REFUSAL = "refusal"
    """The model declined, or a safety filter did."""
    EMPTY = "empty"
    """The answer has no text."""
    PROVIDER_ERROR = "provider_error"
    """The provider failed this request."""
    RATE_LIMIT = "rate_limit"
    """The provider asked to come back later."""
    RENDER_ERROR = "render_error"
    """The prompt could not be made from the unit."""
    EXPRESSION_ERROR = "expression_error"
    """An expression gave no value."""
    SCHEMA = "schema"
    """The answer breaks the step's JSON Schema."""
    RULE = "rule"
    """The answer breaks one of the step's rules."""
    LOST = "lost"
    """The provider finished without an outcome for this unit."""
    EXPIRED = "expired"
    """The batch ended before this unit was worked on."""
    CANCELLED = "cancelled"
    """The batch or the call was cancelled before an outcome."""
    TOO_LARGE = "too_large"
    """The request alone, or the answer, is over a limit."""


class Policy(msgspec.Struct, frozen=True):
    """What to do after a failure.

    `retry`: another try can end differently. `burns_attempt`: the try counts against the step's maximum. `tell_model`: the next prompt may
    show the errors (`_retry.errors`). `more_tokens`: the next try needs a larger output limit. `stage` is Octobatch's word (OCT-93).
    """

    retry: bool
    burns_attempt: bool = True
    tell_model: bool = False
    more_tokens: bool = False
    stage: str = "pipeline_internal"


POLICIES: dict[Reason, Policy] = {
    Reason.PARSE_ERROR: Policy(retry=True, tell_model=True),
    Reason.TRUNCATED: Policy(retry=True, more_tokens=True),
    Reason.REFUSAL: Policy(retry=True),
    Reason.EMPTY: Policy(retry=True),
    Reason.PROVIDER_ERROR: Policy(retry=True),
    Reason.RATE_LIMIT: Policy(retry=True, burns_attempt=False),
    Reason.RENDER_ERROR: Policy(retry=False),
    Reason.EXPRESSION_ERROR: Policy(retry=False),
    Reason.SCHEMA: Policy(retry=True, tell_model=True, stage="schema_validation"),
    Reason.RULE: Policy(retry=True, tell_model=True, stage="validation"),
    Reason.LOST: Policy(retry=True),
    Reason.EXPIRED: Policy(retry=True, burns_attempt=False),
    Reason.CANCELLED: Policy(retry=True, burns_attempt=False),
    Reason.TOO_LARGE: Policy(retry=False),
}
"""The whole table; a test says that no reason is missing."""


def policy(reason: Reason) -> Policy:
    """The policy of `reason`."""
    return POLICIES[reason]


def retryable(reason: Reason, *, deterministic: bool = False) -> bool:
    """True if another try may end differently. A `deterministic` step (an expression gate, OCT-77) fails the same way every time."""
    return POLICIES[reason].retry and not deterministic
