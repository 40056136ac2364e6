"""What people read of a receipt: its bill, its story; and what estimates and budgets say."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.catalog.cards import ModelCard, Price, Rates, sealed
from headgate.dialects.base import Note
from headgate.domain.capabilities import Capabilities
from headgate.domain.cost import NANO
from headgate.domain.usage import Usage
from headgate.errors import UsageError
from headgate.ledger import Attempt, Receipt
from headgate.ledger.bill import bill_json, bill_of, cache_saving
from headgate.ledger.budget_book import BudgetStanding
from headgate.ledger.labels import agent_of, agent_tag, read_label, run_scope
from headgate.ledger.principal import CALLER, Principal
from headgate.ledger.quote import Question, question_of_bytes, quote
from headgate.ledger.standing import can_proceed, level, standing_json, tightest
from headgate.ledger.story import tell
from headgate.testing.receipts import PRICE, START, USAGE, priced_receipt


def attempt(provider: str, at: float, status: int | None, kind: str | None = None, **more: object) -> Attempt:
    return Attempt(provider=provider, model="gpt-5", status=status, kind=kind, started=START + at, duration=0.2, **more)


STORIES: dict[str, tuple[Receipt, str]] = {
    "plain": (
        priced_receipt(0),
        "At 2026-11-30T12:00:00.000Z the gateway asked for openai/gpt-5 (chat). openai/gpt-5 answered 200 after 1.50 s. "
        "It ended well (stop) after 1.50 s. 2,000 tokens went in (800 from the provider's cache), 300 came out: $0.0046.",
    ),
    "fallback": (
        priced_receipt(
            0,
            key="k1",
            team="red",
            stream=True,
            explanation="openai is cheapest.",
            notes=(Note("seed", "dropped", "there is none"),),
            attempts=(
                attempt("openai", 0, 429, "rate_limit", account="eu"),
                attempt("openai", 7.2, 429, "rate_limit", account="eu"),
                attempt("azure_openai", 7.4, 200, first_byte=0.1),
            ),
            duration=7.6,
        ),
        "At 2026-11-30T12:00:00.000Z key k1, team red asked for openai/gpt-5 (chat, streamed). openai/gpt-5 (account eu) answered 429 "
        "(rate_limit) twice after 0.40 s; it fell back to azure_openai/gpt-5, which answered 200 after 0.20 s, its first byte after "
        "0.10 s. Route: openai is cheapest. It ended well (stop) after 7.60 s. 2,000 tokens went in (800 from the provider's cache), 300 "
        "came out: $0.0046. Not as asked: seed was dropped (there is none).",
    ),
    "hedged": (
        priced_receipt(
            0, attempts=(attempt("azure_openai", 0.15, 200), attempt("openai", 0, None)), explanation="openai is first.", duration=0.35
        ),
        "At 2026-11-30T12:00:00.000Z the gateway asked for openai/gpt-5 (chat). openai/gpt-5 had not answered after 0.20 s; meanwhile "
        "azure_openai/gpt-5 was asked as well, and answered 200 after 0.20 s. Route: openai is first. It ended well (stop) after 0.35 s. "
        "2,000 tokens went in (800 from the provider's cache), 300 came out: $0.0046.",
    ),
    "left": (
        priced_receipt(0, Usage(), None, status="cancelled", finish=None, attempts=(attempt("openai", 0, None),), cost_nanos=0),
        "At 2026-11-30T12:00:00.000Z the gateway asked for openai/gpt-5 (chat). openai/gpt-5 had not answered after 0.20 s. "
        "The client left before the end after 1.50 s. 0 tokens went in, 0 came out: $0.00.",
    ),
    "waited": (
        priced_receipt(0, Usage(), None, attempts=(attempt("a", 0, None, "connection"), attempt("a", 3.2, 503, "overloaded"))),
        "At 2026-11-30T12:00:00.000Z the gateway asked for a/gpt-5 (chat). a/gpt-5 gave no answer (connection) after 0.20 s; "
        "after a wait of 3.0 s again a/gpt-5 answered 503 (overloaded) after 0.20 s. It ended well (stop) after 1.50 s. "
        "0 tokens went in, 0 came out: its price is unknown.",
    ),
    "never sent": (
        priced_receipt(
            0, Usage(), None, status="error", error="quota", finish=None, attempts=(), cost_nanos=0, lane="batch", face="library", key="k"
        ),
        "At 2026-11-30T12:00:00.000Z key k asked for openai/gpt-5 through the library (chat, in a batch). No provider was called. "
        "It failed (quota) after 1.50 s. 0 tokens went in, 0 came out: $0.00.",
    ),
}


STORIES["lost"] = (
    priced_receipt(
        0,
        Usage(input_uncached=5, source="estimated"),
        None,
        status="cancelled",
        error="lost",
        attempts=(Attempt(provider="openai", model="gpt-5", kind="lost", started=START, cost_nanos=7),),
        cost_nanos=7,
        bound_nanos=7,
    ),
    "At 2026-11-30T12:00:00.000Z the gateway asked for openai/gpt-5 (chat). openai/gpt-5 gave no answer (lost). Nobody saw its end: it is "
    "booked at the most it can have cost. 5 tokens went in, 0 came out, estimated: $0.000000007.",
)


@pytest.mark.parametrize("name", STORIES)
def test_stories(name: str) -> None:
    receipt, story = STORIES[name]
    assert tell(receipt) == story


def test_the_bill_of_a_receipt() -> None:
    usage = Usage(input_uncached=1200, cache_read=800, output_text=300)
    assert bill_json(bill_of(priced_receipt(1, usage))) == {
        "lines": [
            {"name": "input_uncached", "count": 1200, "price": "1.25", "unit": "M tokens", "usd": "0.0015"},
            {"name": "cache_read", "count": 800, "price": "0.125", "unit": "M tokens", "usd": "0.0001"},
            {"name": "output_text", "count": 300, "price": "10", "unit": "M tokens", "usd": "0.003"},
        ],
        "exact_usd": "0.0046",
        "charged_usd": "0.0046",
        "cache_saved_usd": "0.0009",
    }


def test_what_is_unpriced_is_said_so() -> None:
    bill = bill_of(priced_receipt(1, USAGE, None))
    assert (bill.exact, bill.charged_nanos, bill.cache_saved) == (None, None, None)
    assert {line.text for line in bill.lines} == {"unpriced"}


def test_the_cache_saving_without_uncached_tokens_needs_the_record() -> None:
    receipt = priced_receipt(1, Usage(cache_read=1000))
    assert cache_saving(receipt, None) is None
    assert cache_saving(receipt, PRICE) == Fraction(1125, 1_000_000)
    assert cache_saving(priced_receipt(1, Usage(output_text=1)), None) == 0


@given(st.builds(Usage, **{name: st.integers(0, 10**6) for name in ("input_uncached", "cache_read", "output_text", "output_reasoning")}))
def test_the_lines_add_up_to_what_is_charged(usage: Usage) -> None:
    bill = bill_of(priced_receipt(1, usage))
    assert bill.exact is not None and bill.charged_nanos is not None
    assert abs(bill.exact * NANO - bill.charged_nanos) <= Fraction(1, 2)


CARD = ModelCard(id="gpt-5", display_name="GPT-5", provider="openai", capabilities=Capabilities(max_output=4000), prices=(PRICE,))


def test_an_estimate_is_a_range() -> None:
    found = quote(CARD, Question(input_tokens=1000, most_input=1000, output_tokens=200), "2026-11-30")
    lane = found.lanes["realtime"]
    assert (lane.cached.nanos, lane.likely.nanos, lane.upper_bound.nanos) == (2_125_000, 3_250_000, 41_250_000)
    batch = found.lanes["batch"]
    assert (batch.cached.nanos, batch.likely.nanos, batch.upper_bound.nanos) == (1_062_500, 1_625_000, 20_625_000)


@given(st.integers(0, 10**6), st.none() | st.integers(0, 10**5), st.none() | st.integers(0, 10**5))
def test_the_range_is_in_order(size: int, output: int | None, most: int | None) -> None:
    found = quote(CARD, question_of_bytes(size, output, most), "2026-11-30")
    for lane in found.lanes.values():
        assert lane.cached.nanos is not None and lane.likely.nanos is not None and lane.upper_bound.nanos is not None
        assert lane.cached.nanos <= lane.likely.nanos <= lane.upper_bound.nanos


def test_estimates_say_what_they_do_not_know() -> None:
    question = Question(input_tokens=10, most_input=10)
    nothing = quote(None, question, "2026-11-30")
    assert all(not cost.priced for lane in nothing.lanes.values() for cost in (lane.cached, lane.likely, lane.upper_bound))
    assert (nothing.output_tokens, nothing.output_basis, nothing.most_output) == (500, "assumed", None)
    plain = sealed("x/y", Price(since="2026-01-01", source="a test", rates=Rates(input="1", output="1")))
    unbounded = ModelCard(id="y", display_name="y", provider="x", prices=(plain,))
    found = quote(unbounded, question, "2026-11-30")
    assert found.lanes["realtime"].likely.priced and not found.lanes["realtime"].upper_bound.priced
    assert not found.lanes["batch"].likely.priced


def standing(spent: int, limit: int = 1000, **more: object) -> BudgetStanding:
    base = BudgetStanding(
        budget="b",
        subject="global",
        scope="global",
        window="day",
        action="block",
        limit_nanos=limit,
        spent_nanos=spent,
        reserved_nanos=0,
        starts=START,
        ends=None,
    )
    return msgspec.structs.replace(base, **more)


@pytest.mark.parametrize(
    ("spent", "reserved", "word", "percentage", "can"),
    [
        (0, 0, "ok", 0.0, True),
        (749, 0, "ok", 74.9, True),
        (700, 50, "caution", 75.0, True),
        (899, 0, "caution", 89.9, True),
        (900, 0, "warning", 90.0, True),
        (999, 0, "warning", 99.9, True),
        (1000, 0, "critical", 100.0, False),
        (1500, 0, "critical", 150.0, False),
    ],
)
def test_levels(spent: int, reserved: int, word: str, percentage: float, can: bool) -> None:
    document = standing_json(standing(spent, reserved_nanos=reserved))
    assert (document["alert_level"], document["percentage"], document["can_proceed"]) == (word, percentage, can)


def test_nearly_all_is_not_all() -> None:
    assert standing_json(standing(999_999_999, 10**9))["percentage"] == 99.99
    assert level(standing(999_999_999, 10**9)) == "warning"


def test_a_budget_that_warns_stops_nothing_and_one_of_nothing_everything() -> None:
    assert can_proceed(standing(2000, action="warn"))
    assert (level(standing(0, 0)), can_proceed(standing(0, 0))) == ("critical", False)


def test_the_tightest_budget_of_a_window() -> None:
    budgets = (standing(1), standing(5), standing(900, window="month"))
    assert tightest(budgets, "day") == budgets[1]
    assert tightest(budgets, "week") is None


@pytest.mark.parametrize("text", ["run-1", "A.b_c:d-9", "x" * 64])
def test_labels(text: str) -> None:
    assert read_label(text, "x-headgate-run") == text


@pytest.mark.parametrize("text", ["", "-a", "a/b", "a b", "ä", "a\n", "x" * 65, "../x", "a\0"])
def test_what_is_no_label(text: str) -> None:
    with pytest.raises(UsageError, match="x-headgate-run must be"):
        read_label(text, "x-headgate-run")


def test_agents_are_tags() -> None:
    assert agent_of(("a", agent_tag("planner"))) == "planner"
    assert agent_of(("a",)) is None


def test_runs_of_two_tenants_are_two_runs() -> None:
    scopes = {run_scope(who, "r") for who in (CALLER, Principal(key_id="a"), Principal(key_id="b"), Principal(key_id="a", team="red"))}
    assert scopes == {"run:r", "run:key:a/r", "run:key:b/r", "run:team:red/r"}
