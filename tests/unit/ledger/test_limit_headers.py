"""Rate limit headers: ours as each kind of client reads them, and providers' as they write them (translation cases 89 and 90)."""

from __future__ import annotations

import pytest

from headgate.ledger.limit_headers import duration, limit_headers, refusal_headers
from headgate.ledger.limits import UNLIMITED, Full, Headroom, Room
from headgate.ledger.upstream_quota import LONGEST, quotas_of

NOW = 1_763_700_000.0
HEADROOM = Headroom(requests=Room(60, 59, 61.2), tokens=Room(40_000, 39_000, 0.25), output_tokens=Room(10_000, 500, 95.0))


def test_openais_spelling_has_the_tightest_figure_of_tokens() -> None:
    assert dict(limit_headers("openai", HEADROOM, NOW)) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1m2s",
        "x-ratelimit-limit-tokens": "10000",
        "x-ratelimit-remaining-tokens": "500",
        "x-ratelimit-reset-tokens": "1m35s",
    }


def test_anthropics_spelling_has_each_figure_and_dates() -> None:
    assert dict(limit_headers("anthropic", HEADROOM, NOW)) == {
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "59",
        "anthropic-ratelimit-requests-reset": "2025-11-21T04:41:02Z",
        "anthropic-ratelimit-tokens-limit": "40000",
        "anthropic-ratelimit-tokens-remaining": "39000",
        "anthropic-ratelimit-tokens-reset": "2025-11-21T04:40:01Z",
        "anthropic-ratelimit-output-tokens-limit": "10000",
        "anthropic-ratelimit-output-tokens-remaining": "500",
        "anthropic-ratelimit-output-tokens-reset": "2025-11-21T04:41:35Z",
    }


def test_the_plain_spelling_has_one_figure() -> None:
    requests = (("x-ratelimit-limit", "60"), ("x-ratelimit-remaining", "59"), ("x-ratelimit-reset", "62"))
    assert limit_headers("plain", HEADROOM, NOW) == requests
    assert dict(limit_headers("plain", Headroom(input_tokens=Room(9, 8, 0.0)), NOW))["x-ratelimit-limit"] == "9"


def test_what_is_not_limited_is_not_mentioned() -> None:
    for spelling in ("openai", "anthropic", "plain"):
        assert limit_headers(spelling, UNLIMITED, NOW) == ()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0ms"), (0.0061, "7ms"), (0.9999, "1000ms"), (1.5, "1.5s"), (12.0, "12s"), (60.0, "1m0s"), (90.2, "1m31s"), (7205.0, "2h0m5s")],
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_refusal_says_when_to_come_back_or_not_to() -> None:
    full = Full(subject="key:a", what="requests", limit=1, used=1, retry_after=1.2)
    assert refusal_headers(full) == (("retry-after", "2"), ("retry-after-ms", "1200"))
    assert refusal_headers(Full(subject="key:a", what="tokens", limit=1, used=1)) == (("x-should-retry", "false"),)


UPSTREAM = [
    (
        "OpenAI, Azure, xAI",
        {
            "x-ratelimit-limit-requests": "5000",
            "x-ratelimit-limit-tokens": "2000000",
            "x-ratelimit-remaining-requests": "4999",
            "x-ratelimit-remaining-tokens": "1999993",
            "x-ratelimit-reset-requests": "12ms",
            "x-ratelimit-reset-tokens": "6m0s",
        },
        [("requests", 5000, 4999, 0.012, False), ("tokens", 2_000_000, 1_999_993, LONGEST, False)],
    ),
    (
        "Groq",
        {
            "x-ratelimit-limit-tokens": "18000",
            "x-ratelimit-remaining-tokens": "1200.0",
            "x-ratelimit-reset-tokens": "2m59.56s",
        },
        [("tokens", 18_000, 1200, 179.56, True)],
    ),
    (
        "Together",
        {
            "x-ratelimit-limit": "10",
            "x-ratelimit-remaining": "3",
            "x-ratelimit-reset": "1",
            "x-tokenlimit-limit": "3000",
            "x-tokenlimit-remaining": "2900",
        },
        [("requests", 10, 3, 1.0, True), ("tokens", 3000, 2900, 1.0, False)],
    ),
    (
        "Anthropic",
        {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2025-11-21T04:40:10Z",
            "anthropic-ratelimit-input-tokens-limit": "40000",
            "anthropic-ratelimit-input-tokens-remaining": "0",
            "anthropic-ratelimit-input-tokens-reset": "2025-11-21T04:40:30Z",
            "anthropic-ratelimit-output-tokens-limit": "8000",
            "anthropic-ratelimit-output-tokens-remaining": "8000",
            "anthropic-ratelimit-output-tokens-reset": "2025-11-21T04:39:00Z",
        },
        [
            ("requests", 50, 49, 10.0, False),
            ("input tokens", 40_000, 0, 30.0, True),
            ("output tokens", 8000, 8000, 0.0, False),
        ],
    ),
    ("epoch seconds", {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": str(NOW + 7)}, [("requests", 0, 0, 7.0, True)]),
    ("no reset", {"x-ratelimit-remaining-requests": "1"}, [("requests", 0, 1, 60.0, True)]),
    (
        "garbage",
        {"x-ratelimit-remaining-requests": "many", "x-ratelimit-remaining-tokens": "-3", "anthropic-ratelimit-tokens-remaining": ""},
        [],
    ),
    (
        "garbage beside a number",
        {"x-ratelimit-remaining": "2", "x-ratelimit-limit": "∞", "x-ratelimit-reset": "soon"},
        [("requests", 0, 2, 60.0, True)],
    ),
    ("nothing", {"content-type": "application/json"}, []),
]


@pytest.mark.parametrize(("headers", "wanted"), [row[1:] for row in UPSTREAM], ids=[row[0] for row in UPSTREAM])
def test_what_providers_say_is_left(headers: dict[str, str], wanted: list[tuple[str, int, int, float, bool]]) -> None:
    found = [
        (quota.rate.field.removeprefix("upstream "), quota.limit, quota.remaining, quota.reset, quota.near)
        for quota in quotas_of(headers, NOW)
    ]
    assert found == [(name, limit, remaining, pytest.approx(reset), near) for name, limit, remaining, reset, near in wanted]
