"""Bringing the catalog up to date from what somebody offers as newer: pure, and careful with money (OCT-18, OCT-19).

An offer is a card with what its source states. Known cards get new windows where they had none, and a new dated price where theirs differs;
unknown ones are added. No model is ever removed. What does not look like a change of price but like a mistake is refused: a factor of
more than two either way, something for nothing, a new price for a model whose prices also depend on the size of the prompt and the source
does not state those.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import msgspec

from headgate.catalog.cards import Catalog, ModelCard, Price, ProviderCards, Rates, sealed

BOUND = 2
"""A price that changes by more than this factor is not believed without being accepted."""
_STILL = Fraction(1, 1000)
"""Dollars per million tokens: a difference up to this, and up to a hundredth of the price, is none."""


class Update(msgspec.Struct, frozen=True):
    """What an update comes to: the cards that change, as they are to be, and what to say. `gone` left their provider's list."""

    cards: tuple[ModelCard, ...] = ()
    changes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


class Revision(msgspec.Struct, frozen=True):
    """One card against one offer."""

    card: ModelCard
    changes: tuple[str, ...] = ()
    refused: str | None = None


def update(catalog: Catalog, provider: str, offers: Iterable[ModelCard], day: str, *, complete: bool, accept: bool) -> Update:
    """Merge `offers` for `provider` into its cards. `accept` lifts the bounds.

    `complete`: the offers are the provider's own list. What it lacks is named, and what it has is served, whatever its card says.
    """
    entry = catalog.providers.get(provider)
    cards: dict[str, ModelCard] = {}
    changes: list[str] = []
    refused: list[str] = []
    seen: set[str] = set()
    for offer in offers:
        known = catalog.find(provider, offer.id)
        if known is not None:
            seen.add(known.id)
            if known.id != offer.id and offer.id not in known.snapshots and not offer.prices:
                continue
            known = cards.get(known.id, known)
        elif offer.kind not in ("chat", "completion") or (entry is not None and entry.card_for(offer.id) is not None):
            continue
        revision = revised(known, offer, provider, day, accept, served=complete)
        changes += revision.changes
        refused += [revision.refused] if revision.refused else []
        if revision.changes:
            cards[revision.card.id] = revision.card
    return Update(tuple(cards.values()), tuple(changes), tuple(refused), _gone(entry, seen) if complete else ())


def _gone(entry: ProviderCards | None, seen: set[str]) -> tuple[str, ...]:
    """The chat models that are not in the provider's list; a server of one's own lists what it has, which says nothing of others."""
    if entry is None or entry.unlisted is not None:
        return ()
    return tuple(card.name for card in entry.models if card.status != "retired" and card.kind == "chat" and card.id not in seen)


def revised(known: ModelCard | None, offer: ModelCard, provider: str, day: str, accept: bool, served: bool) -> Revision:
    """The card after an offer, with a line for each thing that changes. `served`: the model is in its provider's own list."""
    if known is None:
        return _added(offer, provider, day, accept)
    changes: list[str] = []
    if served and known.status == "retired":
        known = msgspec.structs.replace(known, status="active", retires=None)
        changes.append(f"{known.name}: is served, and was retired here")
    able = known.capabilities
    for name in ("context", "max_output"):
        stated = getattr(offer.capabilities, name)
        if stated is not None and getattr(able, name) is None:
            able = msgspec.structs.replace(able, **{name: stated})
            changes.append(f"{known.name}: {name} {stated:,}")
    card = msgspec.structs.replace(known, capabilities=able)
    offered = offer.price_on(day)
    if offered is None:
        return Revision(card, tuple(changes))
    return _repriced(card, offered, day, accept, changes)


def _added(offer: ModelCard, provider: str, day: str, accept: bool) -> Revision:
    prices = tuple(sealed(f"{provider}/{offer.id}", price) for price in offer.prices)
    card = msgspec.structs.replace(offer, provider=provider, prices=prices)
    offered = card.price_on(day)
    if offered is not None and not accept and Fraction(offered.rates.input or 0) == 0:
        bare = msgspec.structs.replace(card, prices=())
        return Revision(bare, (f"{card.name}: new, unpriced",), f"{card.name}: a price of zero is not believed")
    told = f"{offered.rates.input} in, {offered.rates.output} out" if offered is not None else "unpriced"
    return Revision(card, (f"{card.name}: new, {told}",))


def _repriced(card: ModelCard, offered: Price, day: str, accept: bool, changes: list[str]) -> Revision:
    """The card with a price of `day`, when the offered one differs from the one in force."""
    now = card.price_on(day)
    rates = offered.rates if now is None else _over(now.rates, offered.rates)
    differences = [] if now is None else _differences("", now.rates, rates) + _tier_differences(now, offered)
    if now is not None and not differences:
        return Revision(card, tuple(changes))
    doubt = None if now is None or accept else _doubt(now, offered, rates)
    if doubt is not None:
        return Revision(card, tuple(changes), f"{card.name}: {doubt} ({'; '.join(differences)})")
    price = sealed(card.name, _successor(now, offered, rates, day))
    kept = tuple(record for record in card.prices if record.since < day)
    later = tuple(record for record in card.prices if record.since > day)
    told = "; ".join(differences) or f"{rates.input} in, {rates.output} out"
    return Revision(msgspec.structs.replace(card, prices=(*kept, price, *later)), (*changes, f"{card.name}: {told}"))


def _over(old: Rates, new: Rates) -> Rates:
    """The new rates, and the old ones of what the offer does not state."""
    stated = {name: value for name, value in msgspec.structs.asdict(new).items() if value is not None}
    return msgspec.structs.replace(old, **stated)


def _successor(now: Price | None, offered: Price, rates: Rates, day: str) -> Price:
    """The record to write: what the offer states, with fees and batches as they were where it does not state them.

    Batch prices that are no factor of the list price are not known for a new list price, so that its batches are unpriced.
    """
    if now is None:
        return msgspec.structs.replace(offered, since=day)
    factor, batch = offered.batch_factor, offered.batch
    if factor is None and now.batch == Rates() and not any(tier.batch != Rates() for tier in now.tiers):
        factor = now.batch_factor
    return Price(
        since=day,
        source=offered.source,
        rates=rates,
        tiers=offered.tiers,
        batch_factor=factor,
        batch=batch,
        fees=offered.fees or now.fees,
    )


def _differences(at: str, old: Rates, new: Rates) -> list[str]:
    found = []
    before, after = msgspec.structs.asdict(old), msgspec.structs.asdict(new)
    for name, stated in after.items():
        if stated is not None and (before[name] is None or _moved(Fraction(before[name]), Fraction(stated))):
            found.append(f"{at}{name} {before[name] or 'unpriced'} → {stated}")
    return found


def _moved(old: Fraction, new: Fraction) -> bool:
    return abs(old - new) > _STILL or abs(old - new) * 100 > old


def _tier_differences(now: Price, offered: Price) -> list[str]:
    """How the prices of long prompts differ; an offer without any says nothing of them."""
    if not offered.tiers:
        return []
    before = {tier.above: tier.rates for tier in now.tiers}
    found: list[str] = []
    for tier in offered.tiers:
        found += _differences(f"above {tier.above:,}: ", before.get(tier.above, now.rates), tier.rates)
    return found


def _doubt(now: Price, offered: Price, rates: Rates) -> str | None:
    """Why a change is not believed; None when it is."""
    pairs = [(now.rates, rates)]
    known = {tier.above: tier.rates for tier in now.tiers}
    pairs += [(known[tier.above], tier.rates) for tier in offered.tiers if tier.above in known]
    for old, new in pairs:
        for before, after in zip(msgspec.structs.astuple(old), msgspec.structs.astuple(new), strict=True):
            if before is not None and after is not None and _wild(Fraction(before), Fraction(after)):
                return f"a change by more than a factor of {BOUND} is not believed"
    if now.tiers and not offered.tiers:
        return "its prices depend on the size of the prompt, which the source does not state"
    return None


def _wild(old: Fraction, new: Fraction) -> bool:
    return old != new and (not old or not new or new > BOUND * old or old > BOUND * new)
