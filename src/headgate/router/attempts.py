"""What after a failure: the same deployment again, the next one of the plan, or giving up. Pure.

One table by `ErrorKind`. Nothing is tried again once content has reached the client, no deployment is come back to after another was
tried, the number of attempts is bounded, and every wait ends before the deadline (faults A6 to A11, B20, C1 to C10, C19).
"""

from __future__ import annotations

import math
from typing import TypeAlias

import msgspec

from headgate.config.route_settings import RoutingSettings
from headgate.errors import ErrorKind, HeadgateError, ProviderError, Truncated, WireError
from headgate.router.values import Choice, Deployment, Plan

BACKOFF = 0.5
LONGEST_BACKOFF = 8.0
PATIENCE = 2.0
"""Seconds that one deployment is waited for while another could answer."""
HOPELESS = frozenset({"tls_certificate"})
"""Codes that no further try at the same place will mend."""


class Rule(msgspec.Struct, frozen=True):
    """What a kind of failure allows: the same deployment again, another one. `again_if_sent`: again although it may have been acted on."""

    again: bool
    other: bool
    again_if_sent: bool = True
    base: float = BACKOFF


RULES: dict[ErrorKind, Rule] = {
    ErrorKind.AUTH: Rule(again=False, other=True),
    ErrorKind.PERMISSION: Rule(again=False, other=True),
    ErrorKind.QUOTA: Rule(again=False, other=True),
    ErrorKind.RATE_LIMIT: Rule(again=True, other=True, base=1.0),
    ErrorKind.TIMEOUT: Rule(again=True, other=True, again_if_sent=False),
    ErrorKind.CONNECTION: Rule(again=True, other=True),
    ErrorKind.SERVER: Rule(again=True, other=True),
    ErrorKind.OVERLOADED: Rule(again=True, other=True, base=2.0),
    ErrorKind.BAD_REQUEST: Rule(again=False, other=False),
    ErrorKind.CONTEXT_LENGTH: Rule(again=False, other=False),
    ErrorKind.CONTENT_FILTER: Rule(again=False, other=False),
    ErrorKind.NOT_FOUND: Rule(again=False, other=True),
    ErrorKind.UNSUPPORTED: Rule(again=False, other=True),
    ErrorKind.CANCELLED: Rule(again=False, other=False),
    ErrorKind.UNKNOWN: Rule(again=False, other=True),
}
"""A timeout after sending may have been answered, and billed, unseen: the same place is not asked twice for it. CONTEXT_LENGTH and
CONTENT_FILTER go on to others only where the settings say so."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt failed. `retry_after` is the provider's word in seconds, `sent` False when certainly no byte reached it."""

    kind: ErrorKind
    retry_after: float | None = None
    sent: bool = True
    code: str | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a request has come. `tried` are the ids of all attempts so far, the failed one last; `content`: the client has seen some.

    `retries` are what the retry budget of the failed one has left, `ready_at` is when it may be asked again; `blocked` are ids of others
    that may not be asked now, because they have fallen ill since the plan was made.
    """

    tried: tuple[str, ...]
    content: bool = False
    retries: float = 1.0
    ready_at: float = -math.inf
    blocked: frozenset[str] = frozenset()


class Retry(msgspec.Struct, frozen=True):
    """Ask the same deployment again after so many seconds."""

    after: float


class Fallback(msgspec.Struct, frozen=True):
    """Ask another one, now."""

    choice: Choice


class GiveUp(msgspec.Struct, frozen=True):
    """Tell the client. `retry_after` goes on to it; `should_retry` False: sent as ``x-should-retry``, since ours are exhausted (C10)."""

    reason: str
    retry_after: float | None = None
    should_retry: bool | None = None


Decision: TypeAlias = Retry | Fallback | GiveUp


def failure_of(error: HeadgateError) -> Failure:
    """A failure from the error it was raised as. An answer that was cut or cannot be read is a failure of the server."""
    if isinstance(error, ProviderError):
        return Failure(kind=error.kind, retry_after=seconds(error.retry_after), sent=error.sent, code=error.code)
    if isinstance(error, Truncated) or (isinstance(error, WireError) and error.fault == "remote"):
        return Failure(kind=ErrorKind.SERVER)
    return Failure(kind=ErrorKind.BAD_REQUEST, sent=False)


def seconds(hint: float | None) -> float | None:
    """A provider's wait as a number of seconds from 0 on; None for what is none."""
    return None if hint is None or not math.isfinite(hint) else max(0.0, hint)


def decide_next(
    plan: Plan, progress: Progress, failure: Failure, settings: RoutingSettings, now: float, deadline: float, draw: float
) -> Decision:
    """What after the last attempt of `progress` ended in `failure`. `draw` is one random number in [0, 1), times are of one clock.

    Another deployment of the same model goes first: it answers at once. Then the same deployment after a short wait, then other models
    of the plan, then the same after a long wait.
    """
    if progress.content:
        return GiveUp("content has reached the client: no other answer can be put in its place")
    rule = rule_for(failure, settings)
    if not rule.again and not rule.other:
        return GiveUp(f"{failure.kind.value} is not mended by trying again")
    if len(progress.tried) >= settings.attempts:
        return GiveUp(f"{len(progress.tried)} attempts were made", failure.retry_after, should_retry=False)
    if now >= deadline:
        return GiveUp("the deadline has passed", failure.retry_after, should_retry=False)
    others = further(plan, progress, failure) if rule.other else []
    wait = math.inf
    if may_repeat(rule, progress, failure):
        wait = max(waiting(rule, progress, failure, draw), progress.ready_at - now)
    if now + wait >= deadline:
        wait = math.inf
    failed = current(plan, progress)
    twin = next((choice for choice in others if failed is not None and choice.deployment.family == failed.family), None)
    if twin is not None:
        return Fallback(twin)
    if wait <= PATIENCE and not (others and repeated(progress)):
        return Retry(wait)
    if others:
        return Fallback(others[0])
    return Retry(wait) if wait < math.inf else _exhausted(rule, failure)


def _exhausted(rule: Rule, failure: Failure) -> GiveUp:
    """Nothing is left to try. A client that was told when to come back may do so; any other would only add to the load."""
    told = failure.retry_after is not None
    return GiveUp("nothing else can be tried in time", failure.retry_after, should_retry=None if told or not rule.again else False)


def rule_for(failure: Failure, settings: RoutingSettings) -> Rule:
    """The row of the table, as the settings change it."""
    rule = RULES[failure.kind]
    if failure.kind is ErrorKind.CONTEXT_LENGTH and settings.on_context_length == "larger":
        return msgspec.structs.replace(rule, other=True)
    if failure.kind is ErrorKind.CONTENT_FILTER and settings.on_content_filter == "fallback":
        return msgspec.structs.replace(rule, other=True)
    return rule


def may_repeat(rule: Rule, progress: Progress, failure: Failure) -> bool:
    """Whether the same deployment may be asked again at all."""
    return rule.again and (rule.again_if_sent or not failure.sent) and failure.code not in HOPELESS and progress.retries >= 1.0


def waiting(rule: Rule, progress: Progress, failure: Failure, draw: float) -> float:
    """Seconds before the same deployment is asked again: its provider's word and a little by lot, else a full-jitter backoff."""
    if failure.retry_after is not None:
        return failure.retry_after + draw * rule.base
    times = sum(id == progress.tried[-1] for id in progress.tried)
    return draw * min(LONGEST_BACKOFF, rule.base * 2.0 ** (times - 1))


def repeated(progress: Progress) -> bool:
    """Whether the failed deployment has been asked more than once."""
    return progress.tried.count(progress.tried[-1]) > 1


def current(plan: Plan, progress: Progress) -> Deployment | None:
    """The deployment that failed."""
    return next((choice.deployment for choice in plan.order if choice.deployment.id == progress.tried[-1]), None)


def further(plan: Plan, progress: Progress, failure: Failure) -> list[Choice]:
    """The choices that are left: not tried, not blocked, able to do better, and of the same model for embeddings."""
    failed = current(plan, progress)
    return [
        choice
        for choice in plan.order
        if choice.deployment.id not in progress.tried
        and choice.deployment.id not in progress.blocked
        and (failed is None or _helps(choice.deployment, failed, failure, plan))
    ]


def _helps(other: Deployment, failed: Deployment, failure: Failure, plan: Plan) -> bool:
    if plan.operation == "embed" and other.family != failed.family:
        return False
    if failure.kind is ErrorKind.CONTEXT_LENGTH:
        return _larger(other.capabilities.context, failed.capabilities.context)
    return failure.kind not in (ErrorKind.AUTH, ErrorKind.QUOTA) or other.credential != failed.credential


def _larger(other: int | None, failed: int | None) -> bool:
    return other is None or (failed is not None and other > failed)


def decide_hedge(plan: Plan, progress: Progress, waited: float) -> Choice | None:
    """Whom to ask as well when the first has been silent for `waited` seconds; None for nobody. It takes one retry of the budget.

    A hedge is only another deployment of the same model, so that whoever answers first has answered the same question.
    """
    if plan.hedge is None or waited < plan.hedge or progress.content or progress.retries < 1.0 or len(progress.tried) != 1:
        return None
    failed = current(plan, progress)
    left = further(plan, progress, Failure(kind=ErrorKind.TIMEOUT))
    return next((choice for choice in left if failed is not None and choice.deployment.family == failed.family), None)
