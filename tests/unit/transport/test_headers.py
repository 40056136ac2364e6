from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.transport.headers import parse_reset, retry_after, should_retry

NOW = 1_790_000_000.0  # Mon, 21 Sep 2026 14:13:20 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 7.5 "}, 7.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "1000000000"}, 1e9),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "٧"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9),
        ({"retry-after": "Mon, 21 Sep 2026 14:13:50 GMT"}, 30),
        ({"retry-after": "Mon, 21 Sep 2026 14:13:10 GMT"}, 0),
        ({"retry-after": "Mon, 21 Sep 2026 15:13:50 GMT", "date": "Mon, 21 Sep 2026 15:13:20 GMT"}, 30),
        ({"retry-after": "Mon, 21 Sep 2026 14:13:50 GMT", "date": "garbage"}, 30),
        ({"retry-after": "Mon, 99 Sep 2026 14:13:50 GMT"}, None),
        ({"retry-after": "Mon, 21 Sep 9999999 14:13:50 GMT"}, None),
        ({"x-ratelimit-reset-requests": "1m30s"}, None),
        ({"x-ratelimit-reset-requests": "1m30s", "x-ratelimit-remaining-requests": "5"}, None),
        ({"x-ratelimit-reset-requests": "1m30s", "x-ratelimit-remaining-requests": "0"}, 90),
        (
            {
                "x-ratelimit-reset-requests": "2s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "6m0s",
                "x-ratelimit-remaining-tokens": "0",
            },
            360,
        ),
        ({"x-ratelimit-reset": "1790000012", "x-ratelimit-remaining": "0"}, 12),
        (
            {
                "anthropic-ratelimit-output-tokens-reset": "2026-09-21T14:13:27Z",
                "anthropic-ratelimit-output-tokens-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-09-21T14:14:20Z",
                "anthropic-ratelimit-requests-remaining": "49",
            },
            7,
        ),
        ({"retry-after": "3", "x-ratelimit-reset": "60", "x-ratelimit-remaining": "0"}, 3),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1m30s", 90),
        ("6m0s", 360),
        ("12.5s", 12.5),
        ("6ms", 0.006),
        ("1s500ms", 1.5),
        ("2h", 7200),
        ("1d1h", 90000),
        ("1h2m3.5s", 3723.5),
        ("59", 59),
        ("0", 0),
        ("1790000030", 30),
        ("1790000030500", 30.5),
        ("1700000000", 0),
        ("2026-09-21T14:13:50Z", 30),
        ("2026-09-21T16:13:50+02:00", 30),
        ("2026-09-21T14:13:50", 30),
        ("2020-01-01T00:00:00Z", 0),
        ("Mon, 21 Sep 2026 14:13:50 GMT", 30),
        ("", None),
        ("s", None),
        ("30s1m", None),
        ("-5s", None),
        ("tomorrow", None),
        ("0001-01-01T00:00:00+14:00", 0),
    ],
)
def test_reset_times(value: str, seconds: float | None) -> None:
    assert parse_reset(value, NOW) == pytest.approx(seconds)


@given(st.text(max_size=40) | st.from_regex(r"[0-9.]{1,30}[dhms]{0,4}[0-9]{0,9}", fullmatch=True), st.floats(0, 4e9))
def test_garbage_is_none_and_never_negative(value: str, now: float) -> None:
    names = ("retry-after", "retry-after-ms", "date", "x-ratelimit-reset", "x-ratelimit-remaining")
    for result in (parse_reset(value, now), retry_after(dict.fromkeys(names, value), now), retry_after({"retry-after": value}, now)):
        assert result is None or 0 <= result < float("inf")


@pytest.mark.parametrize(("value", "word"), [("true", True), ("False", False), ("", None), ("maybe", None)])
def test_the_servers_own_word(value: str, word: bool | None) -> None:
    assert should_retry({"x-should-retry": value}) is word
    assert should_retry({}) is None
