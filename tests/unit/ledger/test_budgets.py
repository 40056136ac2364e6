"""Windows against the calendar, the law of rolling spans, draws, thresholds, and what GenAI-Spine's variables mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.catalog.cards import Fee, ModelCard, Price, Rates, Tier
from headgate.catalog.prices import price
from headgate.domain.capabilities import Capabilities
from headgate.domain.usage import Usage
from headgate.errors import ConfigError
from headgate.ledger.bounds import bound_of
from headgate.ledger.budgets import Budget, Denied, check_budget, crossed, decide_draw, subject_of, window_at
from headgate.ledger.spine_budgets import budgets_from_spine

moments = st.datetimes(datetime(1970, 1, 5), datetime(2200, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))


@given(moments)
def test_calendar_windows_are_those_of_the_calendar(at: datetime) -> None:
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    monday = midnight - timedelta(days=at.weekday())
    first = midnight.replace(day=1)
    reference = {
        "day": (midnight, midnight + timedelta(days=1)),
        "week": (monday, monday + timedelta(days=7)),
        "month": (first, (first + timedelta(days=32)).replace(day=1)),
    }
    for name, (starts, ends) in reference.items():
        window = window_at(name, at.timestamp())
        assert (window.starts, window.ends, window.counts_from) == (starts.timestamp(), ends.timestamp(), starts.timestamp())
    assert window_at("total", at.timestamp()) == window_at("total", 0.0)
    assert window_at("total", 0.0).ends == inf


@given(st.integers(1, 10**7), st.floats(0, 4e9))
def test_a_window_holds_its_moment_and_begins_where_the_one_before_ended(seconds: int, at: float) -> None:
    for name in (f"rolling:{seconds}", "day", "week", "month"):
        window = window_at(name, at)
        assert window.starts <= at < window.ends
        assert window_at(name, window.ends).starts == window.ends


@given(st.integers(1, 10**6), st.lists(st.tuples(st.floats(0, 3e6), st.integers(0, 100)), max_size=40), st.integers(0, 500))
def test_no_span_of_a_rolling_budget_holds_more_than_its_limit(seconds: int, asked: list[tuple[float, int]], limit: int) -> None:
    """Requests are admitted as the ledger does it: when the buckets that count leave room."""
    name, buckets, admitted = f"rolling:{seconds}", dict[float, int](), list[tuple[float, int]]()
    for at, cost in sorted(asked):
        window = window_at(name, at)
        used = sum(spent for starts, spent in buckets.items() if window.counts_from <= starts <= window.starts)
        if decide_draw(limit, used, cost, tight=True) is not None and cost:
            buckets[window.starts] = buckets.get(window.starts, 0) + cost
            admitted.append((at, cost))
    for begin, _ in admitted:
        assert sum(cost for at, cost in admitted if begin <= at < begin + seconds) <= limit


NANOS = st.integers(0, 10**12)


@given(NANOS, NANOS, NANOS, NANOS, st.booleans(), st.booleans())
def test_a_draw_covers_the_need_and_never_more_than_there_is(
    limit: int, used: int, need: int, bound: int, tight: bool, ahead: bool
) -> None:
    amount = decide_draw(limit, used, need, bound=bound, tight=tight, ahead=ahead)
    if need == 0 and ahead:
        assert amount is not None
        assert 0 <= amount <= max(0, limit - used)
        assert not tight or amount == 0
    elif need == 0:
        assert amount == 0
    elif need > limit - used:
        assert amount is None
    else:
        assert amount is not None
        assert need <= amount <= limit - used
        assert not tight or amount == need


def test_thresholds_are_reached_in_order_and_once() -> None:
    assert crossed(1000, 749, (75, 90, 100)) == ()
    assert crossed(1000, 950, (75, 90, 100)) == (75, 90)
    assert crossed(1000, 1000, (75, 90, 100), told=90) == (100,)
    assert crossed(0, 0, (75,)) == ()
    assert crossed(0, 1, (75, 100)) == (75, 100)


def test_templates_give_every_subject_its_own_balance() -> None:
    budget = Budget(id="b", scope="key:*", limit_nanos=1, window="day")
    assert subject_of(budget, ("global", "key:a", "key:b", "team:a")) == ("key:a", "key:b")
    exact = msgspec.structs.replace(budget, scope="team:a")
    assert subject_of(exact, ("global", "team:a")) == ("team:a",)
    assert subject_of(exact, ("team:ab",)) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": "keys:*"},
        {"scope": "key:"},
        {"window": "year"},
        {"window": "rolling:0"},
        {"limit_nanos": -1},
        {"id": ""},
        {"thresholds": (90, 75)},
        {"thresholds": (0,)},
    ],
)
def test_budgets_that_mean_nothing_are_refused(changes: dict[str, object]) -> None:
    budget = Budget(id="b", scope="global", limit_nanos=1, window="day")
    assert check_budget(budget) is budget
    with pytest.raises(ConfigError):
        check_budget(msgspec.structs.replace(budget, **changes))


def test_a_denial_says_what_why_and_until_when() -> None:
    budget = Budget(id="search-day", scope="team:*", limit_nanos=5_000_000_000, window="day")
    denied = Denied(
        budget=budget,
        subject="team:search",
        reason="exceeded",
        spent_nanos=4_500_000_000,
        reserved_nanos=300_000_000,
        needed_nanos=250_000_000,
        resets_at=1_764_547_200.0,
    )
    assert denied.left_nanos == 200_000_000
    assert denied.message() == (
        "the budget search-day of team:search ($5.00 per day) has no room: $4.50 are spent and $0.30 reserved, "
        "this request can cost up to $0.25, $0.20 are left; it counts anew from 2025-12-01T00:00:00Z"
    )
    assert denied.hint == "headgate budgets set search-day --limit USD"
    unbounded = msgspec.structs.replace(denied, reason="unbounded", detail="the model is unpriced")
    assert unbounded.message().endswith("(the model is unpriced)")
    assert unbounded.hint == "headgate budgets set search-day --action warn"
    key = msgspec.structs.replace(budget, id="key:k1", scope="key:k1")
    assert msgspec.structs.replace(denied, budget=key).hint == "headgate keys limit k1 --budget USD"
    assert msgspec.structs.replace(unbounded, budget=key).hint == "headgate keys limit k1 --action warn"


CARD = ModelCard(
    id="m",
    display_name="M",
    provider="p",
    capabilities=Capabilities(context=200_000, max_output=1000),
    prices=(
        Price(
            since="2025-01-01",
            source="s",
            rates=Rates(input="1", output="4", cache_read="0.1", cache_write_1h="2"),
            tiers=(Tier(above=1000, rates=Rates(input="2", output="8", cache_write_1h="4")),),
            batch_factor="0.5",
            fees=(Fee("search", "10"),),
        ),
    ),
)
NOW = 1_764_547_200.0


@given(
    st.integers(0, 3000),
    st.dictionaries(st.sampled_from(["input_uncached", "cache_read", "cache_write_5m", "cache_write_1h"]), st.integers(0, 1500)),
    st.integers(0, 500),
    st.integers(0, 500),
    st.sampled_from(["realtime", "batch"]),
)
def test_no_usage_within_the_limits_costs_more_than_its_bound(size: int, parts: dict[str, int], text: int, thought: int, lane: str) -> None:
    usage = Usage(**parts, output_text=text, output_reasoning=thought)
    if usage.input_total <= size:
        cost = price(CARD.prices[0], usage, lane).nanos
        bound = bound_of(CARD, NOW, size, 1000, lane=lane).nanos
        assert cost is not None
        assert bound is not None
        assert cost <= bound


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"card": None}, "unpriced"),
        ({"card": msgspec.structs.replace(CARD, prices=())}, "unpriced"),
        ({"server_tools": True}, "tools"),
        ({"tier": "priority"}, "priority"),
        ({"tier": "auto"}, "auto"),
        ({"card": msgspec.structs.replace(CARD, capabilities=Capabilities()), "max_tokens": None}, "output"),
        ({"card": msgspec.structs.replace(CARD, capabilities=Capabilities(max_output=9)), "remote": True}, "files"),
        (
            {"card": msgspec.structs.replace(CARD, prices=(msgspec.structs.replace(CARD.prices[0], batch_factor=None),)), "lane": "batch"},
            "batch",
        ),
    ],
)
def test_what_cannot_be_bounded_says_why(arguments: dict[str, object], why: str) -> None:
    given_ = {"card": CARD, "at": NOW, "request_bytes": 10, "max_tokens": 5} | arguments
    bound = bound_of(given_.pop("card"), given_.pop("at"), given_.pop("request_bytes"), given_.pop("max_tokens"), **given_)
    assert bound.nanos is None
    assert why in bound.reason


def test_bounds_in_figures() -> None:
    assert bound_of(CARD, NOW, 100, 10).nanos == 100 * 2000 + 10 * 4000
    assert bound_of(CARD, NOW, 100, None).nanos == 100 * 2000 + 1000 * 4000
    assert bound_of(CARD, NOW, 100, 10, choices=3).nanos == 100 * 2000 + 30 * 4000
    assert bound_of(CARD, NOW, 100, 10, remote=True).nanos == 200_000 * 4000 + 10 * 8000


@given(st.integers(0, 10**9), st.none() | st.integers(0, 10**19), st.booleans())
def test_what_is_free_has_a_bound_however_long_it_gets(size: int, output: int | None, remote: bool) -> None:
    """Local models: no card limits what they write, and a hard budget has room for them when it has room for nothing else."""
    free = ModelCard(
        id="m", provider="ollama", display_name="M", prices=(Price(since="2025-01-01", source="s", rates=Rates(input="0", output="0")),)
    )
    assert bound_of(free, NOW, size, output, remote=remote).nanos == 0
    assert bound_of(free, NOW, size, output, server_tools=True).nanos is None


def test_the_variables_of_genai_spine() -> None:
    assert budgets_from_spine({}) == ()
    daily, monthly = budgets_from_spine({"GENAI_BUDGET_DAILY": "12.5", "GENAI_BUDGET_MONTHLY": "100", "GENAI_BUDGET_ACTION": "fallback"})
    assert (daily.limit_nanos, daily.window, daily.action, daily.thresholds) == (12_500_000_000, "day", "degrade", (80, 100))
    assert (monthly.limit_nanos, monthly.window, monthly.thresholds) == (100_000_000_000, "month", (90, 100))
    (warned,) = budgets_from_spine({"GENAI_BUDGET_DAILY": "1", "GENAI_BUDGET_WARN_DAILY": "0.5"})
    assert (warned.action, warned.thresholds) == ("warn", (50, 100))
    for wrong in (
        {"GENAI_BUDGET_DAILY": "lots"},
        {"GENAI_BUDGET_DAILY": "NaN"},
        {"GENAI_BUDGET_DAILY": "-1"},
        {"GENAI_BUDGET_DAILY": "1", "GENAI_BUDGET_ACTION": "explode"},
        {"GENAI_BUDGET_DAILY": "1", "GENAI_BUDGET_WARN_DAILY": "80"},
    ):
        with pytest.raises(ConfigError, match="GENAI_BUDGET"):
            budgets_from_spine(wrong)
