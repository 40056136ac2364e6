"""Limits as values: which figure applies, and what refusals say."""

from __future__ import annotations

import pytest

from headgate.ledger.limits import Full, Limit, limit_of, retry_seconds

LIMITS = (
    Limit(subject="*", concurrency=100),
    Limit(subject="key:*", rpm=60, tpm=40_000, queue=5),
    Limit(subject="key:team-*", rpm=600),
    Limit(subject="key:team-a", concurrency=7),
    Limit(subject="model:openai/*", rpm=10),
)


@pytest.mark.parametrize(
    ("subject", "wanted"),
    [
        ("key:x", Limit(subject="key:x", rpm=60, tpm=40_000, queue=5, concurrency=100)),
        ("key:team-b", Limit(subject="key:team-b", rpm=600, tpm=40_000, queue=5, concurrency=100)),
        ("key:team-a", Limit(subject="key:team-a", rpm=600, tpm=40_000, queue=5, concurrency=7)),
        ("model:openai/gpt-5", Limit(subject="model:openai/gpt-5", rpm=10, concurrency=100)),
        ("global", Limit(subject="global", concurrency=100)),
    ],
)
def test_each_figure_comes_from_the_most_specific_limit(subject: str, wanted: Limit) -> None:
    assert limit_of(subject, LIMITS) == wanted
    assert limit_of(subject, reversed(LIMITS)) == wanted


def test_of_equal_patterns_the_last_one_counts() -> None:
    assert limit_of("key:a", (Limit(subject="key:a", rpm=1), Limit(subject="key:a", rpm=2))).rpm == 2


def test_what_nothing_limits_is_open() -> None:
    assert limit_of("team:a", LIMITS[1:]).open
    assert limit_of("key:a", (Limit(subject="key:a", queue=3),)).open
    assert not limit_of("key:a", LIMITS).open


@pytest.mark.parametrize(
    "wrong", [{"subject": ""}, {"subject": "key:*x"}, {"subject": "a", "rpm": -1}, {"subject": "a", "queue": float("inf")}]
)
def test_a_wrong_limit_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Limit(**wrong)


@pytest.mark.parametrize(
    ("full", "status", "code", "message"),
    [
        (
            Full(subject="key:a", what="requests", limit=60, used=60, retry_after=11.2, per="requests per minute", field="rpm"),
            429,
            "rate_limit_exceeded",
            "key:a has used 60 of 60 requests per minute, this request may take 1; try again in 12 s",
        ),
        (
            Full(subject="key:a", what="tokens", limit=100, used=0, needed=150, per="tokens per minute", field="tpm"),
            429,
            "rate_limit_exceeded",
            "key:a is limited to 100 tokens per minute, this request may take 150; lower max_tokens or the input, or raise tpm",
        ),
        (
            Full(subject="provider:x", what="concurrency", limit=5, used=5, retry_after=1.0, field="concurrency"),
            429,
            "rate_limit_exceeded",
            "provider:x has 5 requests under way of the 5 it may have at a time; try again in 1 s",
        ),
        (
            Full(subject="key:a", what="queue", limit=3, used=3, field="queue_length"),
            429,
            "rate_limit_exceeded",
            "3 requests wait for key:a already, of at most 3; raise queue_length",
        ),
        (
            Full(subject="gateway", what="overload", limit=512, used=490, retry_after=1.0, per="MiB of memory"),
            503,
            "overloaded",
            "the gateway is at 490 of 512 MiB of memory; try again in 1 s",
        ),
        (
            Full(subject="key:a", what="store", limit=60, used=60, retry_after=1.0, per="requests per minute"),
            503,
            "store_unavailable",
            "how much is left of the 60 requests per minute of key:a cannot be told: the database does not answer; try again in 1 s",
        ),
    ],
)
def test_a_refusal_says_its_numbers(full: Full, status: int, code: str, message: str) -> None:
    assert (full.status, full.code, full.message) == (status, code, message)


@pytest.mark.parametrize(("seconds", "told"), [(0.0, 1), (0.2, 1), (1.0, 1), (1.01, 2), (59.5, 60)])
def test_nobody_is_told_to_come_back_too_early(seconds: float, told: int) -> None:
    assert retry_seconds(seconds) == told
