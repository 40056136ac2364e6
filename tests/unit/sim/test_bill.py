"""The simulator's invoice is exact."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.sim.bill import BATCH, PRICES, REALTIME, Bill, Tokens, charge, rounded

counts = st.integers(0, 10**9)
usages = st.builds(Tokens, counts, counts, counts, counts, counts, counts)


def exact(model: str, usage: Tokens) -> Fraction:
    """Nano-dollars as a fraction, from the decimal prices."""
    price = PRICES.get(model, PRICES["sim-small"])
    caches = [price.cache_read, price.cache_write_5m, price.cache_write_1h]
    rates = [price.input, *(price.input if text is None else text for text in caches), price.output, price.output]
    amounts = [usage.input, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h, usage.output, usage.reasoning]
    return sum((Fraction(rate) * amount for rate, amount in zip(rates, amounts, strict=True)), Fraction()) * 1000


@given(st.sampled_from(["sim-small", "sim-large", "sim-flash", "anything-else"]), usages)
def test_an_amount_is_the_exact_sum_rounded_once_half_to_even(model: str, usage: Tokens) -> None:
    assert charge(model, usage, REALTIME) == round(exact(model, usage))
    assert charge(model, usage, BATCH) == round(exact(model, usage) / 2)


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**7))
def test_rounding_is_half_to_even(numerator: int, denominator: int) -> None:
    assert rounded(numerator, denominator) == round(Fraction(numerator, denominator))


@pytest.mark.parametrize(
    ("model", "usage", "nanos"),
    [
        ("sim-small", Tokens(input=1_000_000, output=1_000_000), 750_000_000),
        ("sim-large", Tokens(cache_write_5m=1_000_000, cache_write_1h=1_000_000), 9_750_000_000),
        ("sim-flash", Tokens(cache_read=1, output=1), 425),
        ("sim-small", Tokens(input=10, reasoning=5), 4_500),
    ],
)
def test_prices(model: str, usage: Tokens, nanos: int) -> None:
    assert charge(model, usage, REALTIME) == nanos


def test_lines_are_numbered_reported_and_summed() -> None:
    seen: list[int] = []
    bill = Bill(lambda line: seen.append(line.seq))
    for lane in (REALTIME, BATCH):
        bill.add("openai", "sim-a", "sim-small", Tokens(input=1000), request_id="r", response_id="c", lane=lane)
    assert seen == [1, 2]
    assert [line.nanos for line in bill.lines] == [150_000, 75_000]
    assert bill.document()["by_provider"] == {"openai": 225_000}
    assert bill.total == 225_000


def test_the_bill_and_the_journal_name_the_request_as_the_client_did(sim, http) -> None:
    body = {"model": "sim-small", "messages": [{"role": "user", "content": "hi"}]}
    for number, name in enumerate(("call-1", None), 1):
        headers = {"authorization": "Bearer sim-key"} | ({"X-Client-Request-Id": name} if name else {})
        assert http("POST", "/openai/v1/chat/completions", body, headers).status == 200
        assert sim.bill.lines[-1].client_request_id == sim.requests[-1].client_request_id == name
        assert len(sim.bill.lines) == number
