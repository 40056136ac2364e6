from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import TRANSIENT_KINDS, ErrorKind, HeadgateError, ProviderError, TooLarge, Truncated, UsageError, WireError
from headgate.transport.retry import RetryPolicy, decide_retry

POLICY = RetryPolicy(attempts=4, base=1.0, cap=5.0, retry_after_cap=120.0)


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_only_transient_kinds_are_tried_again(kind: ErrorKind) -> None:
    assert (decide_retry(1, ProviderError(kind, "x"), POLICY, 0.5) is not None) == (kind in TRANSIENT_KINDS)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (Truncated("x"), True),
        (TooLarge("x"), False),
        (WireError("x"), False),
        (UsageError("x"), False),
        (ProviderError(ErrorKind.CONNECTION, "x", code="tls_certificate"), False),
        (ProviderError(ErrorKind.CONNECTION, "x", code="dns"), True),
    ],
)
def test_other_errors(error: HeadgateError, again: bool) -> None:
    assert (decide_retry(1, error, POLICY, 0.5) is not None) == again


def test_waits_grow_to_the_cap_and_attempts_end() -> None:
    error = ProviderError(ErrorKind.SERVER, "x", status=503)
    policy = RetryPolicy(attempts=6, base=1.0, cap=5.0)
    assert [decide_retry(attempt, error, policy, 0.999999) for attempt in range(1, 7)] == pytest.approx([1, 2, 4, 5, 5, None], abs=1e-4)
    assert decide_retry(1, error, policy, 0.0) == 0
    assert decide_retry(10_000, error, RetryPolicy(attempts=20_000), 0.5) == 15


@pytest.mark.parametrize(("hint", "wait"), [(7.0, 7.0), (0.0, 0.0), (-3.0, 0.0), (1e9, 120.0)])
def test_the_servers_hint_is_honoured_and_clamped(hint: float, wait: float) -> None:
    error = ProviderError(ErrorKind.RATE_LIMIT, "x", retry_after=hint)
    assert decide_retry(1, error, POLICY, 0.0) == wait
    assert decide_retry(1, error, POLICY, 0.5) == wait + 0.5


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True), st.none() | st.floats(-1e12, 1e12))
def test_every_wait_is_bounded(attempt: int, rand: float, hint: float | None) -> None:
    wait = decide_retry(attempt, ProviderError(ErrorKind.RATE_LIMIT, "x", retry_after=hint), RetryPolicy(attempts=1000), rand)
    assert wait is not None
    assert 0 <= wait <= 121
