"""Money: exact, written without exponent or loss, and never zero because it is unknown."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.cost import NANO, UNPRICED, Cost, add_costs, known_money, money, usd_text

amounts = st.integers(-(10**24), 10**24)


@given(amounts)
def test_text_is_exact(nanos: int) -> None:
    text = usd_text(nanos)
    assert Decimal(text) * NANO == nanos
    assert "E" not in text.upper()
    assert 2 <= len(text.partition(".")[2]) <= 9


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0.00"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (NANO, "1.00"),
        (NANO // 2, "0.50"),
        (-3 * NANO // 2, "-1.50"),
        (123_456_789_012_345_678_901, "123456789012.345678901"),
    ],
)
def test_amounts_as_text(nanos: int, text: str) -> None:
    assert usd_text(nanos) == text
    assert str(Cost(nanos)) == f"${text}"


@given(st.lists(amounts, max_size=8))
def test_sums_are_exact(parts: list[int]) -> None:
    assert add_costs(tuple(map(Cost, parts))) == Cost(sum(parts))


@given(st.lists(amounts, max_size=5), st.lists(amounts, max_size=5))
def test_a_sum_is_unpriced_as_soon_as_a_part_is(before: list[int], after: list[int]) -> None:
    total = add_costs((*map(Cost, before), UNPRICED, *map(Cost, after)))
    assert total == UNPRICED
    assert not total.priced


def test_an_unknown_price_is_not_zero() -> None:
    assert UNPRICED.usd is None
    assert str(UNPRICED) == "unpriced"
    assert Cost(0).priced
    assert Cost(0).usd == Decimal(0)
    assert Cost(0) != UNPRICED


def test_dollars_are_decimal() -> None:
    assert Cost(1_500_000_000).usd == Decimal("1.5")


@given(st.integers(0, 10**15), st.integers(0, 5))
def test_what_is_not_known_is_never_shown_as_the_amount(nanos: int, unpriced: int) -> None:
    text = known_money(nanos, unpriced)
    assert text == (money(nanos) if not unpriced else "unknown" if not nanos else f"≥ {money(nanos)}")
