"""Whether and when to try again: pure, the caller sleeps."""

from __future__ import annotations

import msgspec

from headgate.errors import HeadgateError, ProviderError, Truncated
from headgate.transport.faults import PERMANENT_CODES


class RetryPolicy(msgspec.Struct, frozen=True):
    """`attempts` counts the first try. Without a hint from the server the n-th wait is random in [0, base·2ⁿ⁻¹], at most `cap` seconds;
    a server's retry-after is honoured up to `retry_after_cap` seconds, plus a jitter of at most `base`.
    """

    attempts: int = 3
    base: float = 0.5
    cap: float = 30.0
    retry_after_cap: float = 120.0


DEFAULT_POLICY = RetryPolicy()


def decide_retry(attempt: int, error: HeadgateError, policy: RetryPolicy, rand: float) -> float | None:
    """Seconds to wait after try number `attempt` (from 1) failed with `error`, or None to give up.

    Only transient failures are tried again: a `ProviderError` of a transient kind, unless its code says that no try will mend it (a bad
    certificate), and a response that was cut (`Truncated`). `rand` is one random number in [0, 1).
    """
    if attempt >= policy.attempts or not _transient(error):
        return None
    hint = error.retry_after if isinstance(error, ProviderError) else None
    if hint is not None:
        return min(max(hint, 0.0), policy.retry_after_cap) + rand * policy.base
    return rand * min(policy.cap, policy.base * 2.0 ** min(attempt - 1, 62))


def _transient(error: HeadgateError) -> bool:
    if isinstance(error, ProviderError):
        return error.transient and error.code not in PERMANENT_CODES
    return isinstance(error, Truncated)
