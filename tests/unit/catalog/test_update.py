"""Merging newer prices: what is taken, what is not believed, and that doing it twice changes nothing."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.catalog.cards import Catalog, Fee, Kind, ModelCard, Price, ProviderCards, Rates, Tier, sealed
from headgate.catalog.update import BOUND, update
from headgate.domain.capabilities import Capabilities

DAY = "2026-11-21"
OLD = Price(
    since="2026-01-01",
    source="our page, 2026-01-01",
    rates=Rates(input="2", output="8", cache_read="0.5"),
    batch_factor="0.5",
    fees=(Fee("web_search", "10"),),
)


def catalog(*cards: ModelCard) -> Catalog:
    sealed_cards = tuple(
        ModelCard(
            id=card.id,
            display_name=card.display_name,
            provider="p",
            kind=card.kind,
            capabilities=card.capabilities,
            prices=tuple(sealed(f"p/{card.id}", price) for price in card.prices),
        )
        for card in cards
    )
    return Catalog((ProviderCards(provider="p", label="P", models=sealed_cards),))


def card(id: str = "m", *prices: Price, kind: Kind = "chat", context: int | None = None) -> ModelCard:
    return ModelCard(id=id, display_name=id, kind=kind, capabilities=Capabilities(context=context), prices=prices)


def offer(input: str, output: str, *tiers: Tier, id: str = "m", **rates: str) -> ModelCard:
    return card(id, Price(since=DAY, source=f"a list, {DAY}", rates=Rates(input=input, output=output, **rates), tiers=tiers))


def test_the_same_price_changes_nothing() -> None:
    found = update(catalog(card("m", OLD)), "p", [offer("2.00", "8")], DAY, complete=True, accept=False)
    assert (found.cards, found.changes, found.refused, found.gone) == ((), (), (), ())


def test_a_new_price_is_a_new_dated_record_and_the_old_one_stays() -> None:
    found = update(catalog(card("m", OLD)), "p", [offer("3", "8")], DAY, complete=False, accept=False)
    (changed,) = found.cards
    before, after = changed.prices
    assert (before.rates, before.since) == (OLD.rates, OLD.since)
    assert (after.since, after.source, after.rates) == (DAY, f"a list, {DAY}", Rates(input="3", output="8", cache_read="0.5"))
    assert (after.batch_factor, after.fees, after.rule) == ("0.5", OLD.fees, f"p/m@{DAY}")
    assert found.changes == ("p/m: input 2 → 3",)
    again = update(catalog(changed), "p", [offer("3", "8")], DAY, complete=False, accept=False)
    assert again.cards == ()


@pytest.mark.parametrize(("input", "output"), [("4.01", "8"), ("0.99", "8"), ("0", "8"), ("2", "17")])
def test_a_change_beyond_a_factor_of_two_needs_to_be_accepted(input: str, output: str) -> None:
    known = catalog(card("m", OLD))
    found = update(known, "p", [offer(input, output)], DAY, complete=False, accept=False)
    assert found.cards == ()
    assert "by more than a factor of 2 is not believed" in found.refused[0]
    accepted = update(known, "p", [offer(input, output)], DAY, complete=False, accept=True)
    assert accepted.cards[0].prices[-1].rates.input == input
    assert accepted.refused == ()


def test_prices_by_prompt_size_are_not_replaced_by_a_list_that_does_not_state_them() -> None:
    tiered = Price(
        since="2026-01-01", source="x, 2026-01-01", rates=OLD.rates, tiers=(Tier(above=100, rates=Rates(input="4", output="12")),)
    )
    known = catalog(card("m", tiered))
    assert "size of the prompt" in update(known, "p", [offer("3", "8")], DAY, complete=False, accept=False).refused[0]
    assert update(known, "p", [offer("2", "8")], DAY, complete=False, accept=False).refused == ()
    tier = Tier(above=100, rates=Rates(input="5", output="12"))
    (changed,) = update(known, "p", [offer("3", "8", tier)], DAY, complete=False, accept=False).cards
    assert changed.prices[-1].tiers == (tier,)


def test_batches_with_prices_of_their_own_are_unpriced_after_a_change() -> None:
    special = Price(since="2026-01-01", source="x, 2026-01-01", rates=OLD.rates, batch_factor="0.5", batch=Rates(cache_read="0.3"))
    (changed,) = update(catalog(card("m", special)), "p", [offer("3", "8")], DAY, complete=False, accept=False).cards
    assert changed.prices[-1].batch_factor is None


def test_new_models_are_added_and_a_price_of_nothing_is_not_believed() -> None:
    offers = [offer("1", "2", id="new"), card("bare"), offer("0", "0", id="free"), card("draw", kind="image")]
    found = update(catalog(), "p", offers, DAY, complete=True, accept=False)
    assert [(each.id, len(each.prices)) for each in found.cards] == [("new", 1), ("bare", 0), ("free", 0)]
    assert found.changes == ("p/new: new, 1 in, 2 out", "p/bare: new, unpriced", "p/free: new, unpriced")
    assert found.refused == ("p/free: a price of zero is not believed",)
    assert found.cards[0].prices[0].rule == f"p/new@{DAY}"
    accepted = update(catalog(), "p", [offer("0", "0", id="free")], DAY, complete=True, accept=True)
    assert accepted.cards[0].prices[0].rates.input == "0"


def test_sizes_are_filled_in_but_not_changed() -> None:
    found = update(
        catalog(card("m", OLD), card("n", OLD, context=5)),
        "p",
        [card("m", context=9), card("n", context=9)],
        DAY,
        complete=True,
        accept=False,
    )
    assert [(each.id, each.capabilities.context) for each in found.cards] == [("m", 9)]
    assert found.changes == ("p/m: context 9",)


def test_models_that_left_the_list_are_named_and_kept() -> None:
    known = catalog(card("m", OLD), card("n", OLD))
    assert update(known, "p", [card("m")], DAY, complete=True, accept=False).gone == ("p/n",)
    assert update(known, "p", [card("m")], DAY, complete=False, accept=False).gone == ()


def test_a_model_its_provider_lists_is_served_whatever_the_card_says() -> None:
    gone = ModelCard(id="m", display_name="m", provider="p", status="retired", retires="2026-08-16", successor="n")
    known = Catalog((ProviderCards(provider="p", label="P", models=(gone,)),))
    found = update(known, "p", [card("m")], DAY, complete=True, accept=False)
    assert found.changes == ("p/m: is served, and was retired here",)
    assert [(each.status, each.retires, each.successor) for each in found.cards] == [("active", None, "n")]
    assert update(known, "p", [card("m")], DAY, complete=False, accept=False).cards == ()


def test_a_server_of_ones_own_neither_adds_nor_lacks_models() -> None:
    local = ModelCard(id="*", display_name="local", prices=(Price(since=DAY, source="x, 2026-01-01", rates=Rates(input="0", output="0")),))
    entry = ProviderCards(
        provider="p", label="P", unlisted=local, unlisted_except=("-cloud",), models=(card("here", OLD), card("there", OLD))
    )
    found = update(Catalog((entry,)), "p", [card("here"), card("mine:7b"), card("big-cloud")], DAY, complete=True, accept=False)
    assert (found.changes, found.gone) == (("p/big-cloud: new, unpriced",), ())


def test_an_unpriced_model_gets_its_first_price() -> None:
    (changed,) = update(catalog(card("m")), "p", [offer("1", "2")], DAY, complete=False, accept=False).cards
    assert changed.prices[0].rates == Rates(input="1", output="2")


prices = st.integers(1, 10_000).map(lambda cents: f"{cents / 100:.2f}")


@given(prices, prices, prices, prices, st.booleans())
def test_whatever_is_offered_doing_it_again_changes_nothing(old_in: str, old_out: str, new_in: str, new_out: str, accept: bool) -> None:
    known = catalog(card("m", Price(since="2026-01-01", source="x, 2026-01-01", rates=Rates(input=old_in, output=old_out))))
    found = update(known, "p", [offer(new_in, new_out)], DAY, complete=False, accept=accept)
    ratios = [Fraction(new) / Fraction(old) for new, old in ((new_in, old_in), (new_out, old_out))]
    assert bool(found.refused) == (not accept and any(ratio > BOUND or ratio * BOUND < 1 for ratio in ratios))
    if found.cards:
        again = update(
            known.merged((ProviderCards(provider="p", label="P", models=found.cards),), "d"),
            "p",
            [offer(new_in, new_out)],
            DAY,
            complete=False,
            accept=accept,
        )
        assert (again.cards, again.refused) == ((), ())
