"""What state each provider is in, found out by the conformance suite: nothing here is written by hand (OCT-34).

A real provider's own record and dialects are checked without a network. Exchanges are those of its simulated twin ("sim-" and its name),
else of a simulated provider that speaks the same wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import NamedTuple

from headgate.catalog.load import load_catalog
from headgate.providers import PROVIDERS, Provider
from headgate.testing.conformance import SUITE, Outcome, conformance_cases
from headgate.testing.conformance.case import Case, Nonconforming

EXCHANGES = ("exchange", "batch")
"""Groups of checks that need a server; the others are about records and dialects."""
BATCH = "batch"
SIGNS = {"passed": "yes", "failed": "**no**", "skipped": "–"}


class Examined(NamedTuple):
    """One provider, where its exchanges were made ("" for nowhere), and how every check went, by name."""

    provider: Provider
    realtime_at: str
    batch_at: str
    outcomes: dict[str, Outcome]

    def of(self, batch: bool) -> list[Outcome]:
        """The checks of the batch API, or all others."""
        return [outcome for name, outcome in self.outcomes.items() if (group(name) == BATCH) is batch]


def group(name: str) -> str:
    """The group of a check: the first part of its name."""
    return name.partition("-")[0]


def twin(provider: Provider, batch: bool) -> Provider | None:
    """The simulated provider that stands in for a real one: the one named after it, else one of the same wire."""
    simulated = [other for other in PROVIDERS.values() if other.simulated]
    named = [other for other in simulated if other.name == f"sim-{provider.name}"]
    wire = partial(wire_name, batch=batch)
    return next((other for other in (*named, *simulated) if wire(other) == wire(provider) is not None), None)


def wire_name(provider: Provider, batch: bool) -> str | None:
    """The wire of a provider's batches, or of its chat."""
    if batch:
        return provider.batch.name if provider.batch is not None else None
    return provider.chat.name


def outcome(case: Case) -> Outcome:
    """Run one check."""
    if case.skip is not None:
        return Outcome(case.name, "skipped", case.skip)
    try:
        case.run()
    except Nonconforming as error:
        return Outcome(case.name, "failed", str(error))
    return Outcome(case.name, "passed")


@lru_cache(maxsize=1)
def examined() -> tuple[Examined, ...]:
    """Every real provider with all its checks."""
    return tuple(examine(provider) for provider in PROVIDERS.values() if not provider.simulated)


@lru_cache(maxsize=256)
def exchange(provider: str, name: str) -> Outcome:
    """A check that needs a server, at a simulated provider; each is run once however many providers speak its wire."""
    return outcome(next(case for case in conformance_cases(PROVIDERS[provider]) if case.name == name))


def examine(provider: Provider) -> Examined:
    """One real provider."""
    chat, batch = twin(provider, False), twin(provider, True)
    found: dict[str, Outcome] = {}
    for case in conformance_cases(provider):
        other = batch if group(case.name) == BATCH else chat
        away = group(case.name) in EXCHANGES and other is not None
        found[case.name] = exchange(other.name, case.name) if away and other is not None else outcome(case)
    return Examined(provider, chat.name if chat else "", batch.name if batch else "", found)


def word(found: Examined, batch: bool) -> str:
    """Working, partial or not, with the count of checks behind it."""
    outcomes = found.of(batch)
    passed = sum(item.result == "passed" for item in outcomes)
    failed = sum(item.result == "failed" for item in outcomes)
    if batch and found.provider.batch is None:
        return "not: no batch API here"
    if not passed:
        return "not"
    if failed:
        return f"partial: {failed} of {passed + failed} checks fail"
    if not (found.batch_at if batch else found.realtime_at):
        return f"partial: {passed} checks pass, no exchange was made"
    return f"working: {passed} checks pass"


def states() -> Iterator[str]:
    """A row for each provider."""
    yield "| Provider | Realtime | Batch | Exchanges made at |"
    yield "|---|---|---|---|"
    for found in examined():
        places = ", ".join(f"`{place}`" for place in dict.fromkeys((found.realtime_at, found.batch_at)) if place) or "–"
        yield f"| `{found.provider.name}` | {word(found, False)} | {word(found, True)} | {places} |"


def cases(wanted: Callable[[str], bool]) -> Iterator[str]:
    """A row for each check, a column for each provider."""
    names = [found.provider.name for found in examined()]
    yield "| | " + " | ".join(f"`{name}`" for name in names) + " |"
    yield "|---" * (len(names) + 1) + "|"
    for entry in SUITE:
        if wanted(entry.name):
            signs = (SIGNS[found.outcomes[entry.name].result] for found in examined())
            yield f"| {label(entry.name)} | " + " | ".join(signs) + " |"


def label(name: str) -> str:
    """A check's name as words."""
    return name.partition("-")[2].replace("-", " ").replace("_", " ")


def realtime_cases() -> Iterator[str]:
    """The edge cases of realtime calls."""
    return cases(lambda name: group(name) in ("exchange", "errors"))


def batch_cases() -> Iterator[str]:
    """The edge cases of batches."""
    return cases(lambda name: group(name) == BATCH)


def exceptions() -> Iterator[str]:
    """What fails, and what was not looked at, with the reason."""
    for found in examined():
        reasons: dict[str, list[str]] = {}
        for item in found.outcomes.values():
            if item.result != "passed":
                first = item.detail.splitlines()[0] if item.detail else ""
                reasons.setdefault(f"{'fails' if item.result == 'failed' else 'left out'}: {first}", []).append(item.name)
        for reason, names in reasons.items():
            shown = ", ".join(f"`{name}`" for name in names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            yield f"* `{found.provider.name}`, {reason} ({shown})"


def date() -> Iterator[str]:
    """The day of the data: the newest on which a card's prices begin (prices that are announced for later come after these)."""
    days = [card.prices[0].since for card in load_catalog().cards if card.prices]
    yield f"Catalog of {max(days)}; {len(SUITE)} checks for each provider."
