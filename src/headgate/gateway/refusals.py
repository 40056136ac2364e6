"""What the gate refuses, in words and numbers a client can act on."""

from __future__ import annotations

from headgate.ledger.budgets import Denied
from headgate.ledger.limits import Full
from headgate.router import GiveUp
from headgate.serving.envelopes import Refused
from headgate.wire.http import Headers

NOT_AGAIN: Headers = (("x-should-retry", "false"),)
"""Official clients repeat what fails with 402, 429 or 5xx, unless they are told not to."""


def denied(found: Denied) -> Refused:
    """A budget says no (faults E5): 402, with what it has, what was asked for and when it begins anew."""
    if found.reason == "unbounded":
        return Refused(402, found.message(), code="cost_unbounded", headers=NOT_AGAIN, hint=found.hint)
    return Refused(402, found.message(), code="budget_exceeded", headers=NOT_AGAIN, hint=found.hint)


def full(found: Full) -> Refused:
    """A limit says no: 429 with the numbers, 503 when the fault is ours."""
    return Refused(found.status, found.message, code=found.code, headers=wait(found.retry_after))


def wait(seconds: float | None) -> Headers:
    """When to come back, in the two ways clients read."""
    if seconds is None:
        return ()
    return (("retry-after", str(max(0, -int(-seconds // 1)))), ("retry-after-ms", str(max(0, int(seconds * 1000)))))


def given_up(decision: GiveUp) -> Headers:
    """What a client is told beside an error that the gate has done with."""
    again = () if decision.should_retry is None else (("x-should-retry", "true" if decision.should_retry else "false"),)
    return (*again, *wait(decision.retry_after))
