"""What the gate refuses, in words and numbers a client can act on."""

from __future__ import annotations

import msgspec

from headgate.errors import ErrorKind
from headgate.gateway.outline import UNREADABLE
from headgate.ledger.budgets import Denied
from headgate.ledger.limit_headers import refusal_headers
from headgate.ledger.limits import Full
from headgate.router import GiveUp
from headgate.serving.envelopes import Refused
from headgate.serving.response import Response
from headgate.wire.http import Headers

OURS = frozenset({ErrorKind.AUTH, ErrorKind.QUOTA})
"""What a provider refuses our own key. In the provider's words a client would take it for its own (translation case 85)."""
NOT_AGAIN: Headers = (("x-should-retry", "false"),)
"""Official clients repeat what fails with 402, 429 or 5xx, unless they are told not to."""


def denied(found: Denied) -> Refused:
    """A budget says no (faults E5): 402, with what it has, what was asked for and when it begins anew.

    What could not be read has no bound either, but that is the request's own fault: 400.
    """
    if found.reason == "unbounded" and found.detail == UNREADABLE:
        return Refused(400, f"the request is not as this endpoint takes it: {found.detail}", code="invalid_request", headers=NOT_AGAIN)
    if found.reason == "unbounded":
        return Refused(402, found.message(), code="cost_unbounded", headers=NOT_AGAIN, hint=found.hint)
    return Refused(402, found.message(), code="budget_exceeded", headers=NOT_AGAIN, hint=found.hint)


def full(found: Full, marks: Headers = ()) -> Refused:
    """A limit says no: 429 with the numbers, 503 when the fault is ours. `marks` are the headers that tell what is left."""
    return Refused(found.status, found.message, code=found.code, headers=(*refusal_headers(found), *marks))


def wait(seconds: float | None) -> Headers:
    """When to come back, in the two ways clients read."""
    if seconds is None:
        return ()
    return (("retry-after", str(max(0, -int(-seconds // 1)))), ("retry-after-ms", str(max(0, int(seconds * 1000)))))


def given_up(decision: GiveUp) -> Headers:
    """What a client is told beside an error that the gate has done with."""
    again = () if decision.should_retry is None else (("x-should-retry", "true" if decision.should_retry else "false"),)
    return (*again, *wait(decision.retry_after))


def advised(answer: Response, marks: Headers, decision: GiveUp) -> Response:
    """The answer for an error that the gate has done with. What the gate says of coming back stands in the place of the provider's word."""
    own = given_up(decision)
    names = {name for name, _ in own}
    kept = (pair for pair in answer.headers if pair[0] not in names)
    return msgspec.structs.replace(answer, headers=(*kept, *marks, *own))
