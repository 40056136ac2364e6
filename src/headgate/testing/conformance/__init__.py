"""The conformance suite: what every provider must keep to, whatever wire it speaks.

With pytest, over your own record::

    import pytest
    from headgate.testing.conformance import Case
    from headgate.testing.parametrize import conformance_params

    @pytest.mark.parametrize("case", conformance_params(MY_PROVIDER))
    def test_conformance(case: Case) -> None:
        case.run()

Without pytest: ``for outcome in examine(MY_PROVIDER): print(outcome)``. A check that needs an ability the provider or its default model
lacks is skipped, with the reason; checks are never skipped by name. Simulated providers are asked for real, over sockets; of the others
everything is checked that needs no network.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from headgate.catalog.cards import Catalog
from headgate.catalog.load import load_catalog
from headgate.providers import Provider
from headgate.testing.conformance import batch_cases, batches, errors, exchange, record, requests, responses, streams
from headgate.testing.conformance.case import Case, Nonconforming, case_of, subject_of

SUITE = (
    *record.ENTRIES,
    *requests.ENTRIES,
    *responses.ENTRIES,
    *streams.ENTRIES,
    *errors.ENTRIES,
    *exchange.ENTRIES,
    *batches.ENTRIES,
    *batch_cases.ENTRIES,
)
"""Every check, in order."""
WIRE_SUITE = (*requests.ENTRIES, *responses.ENTRIES, *streams.ENTRIES, *errors.ENTRIES, *exchange.ENTRIES)
"""What each further chat wire of a provider must keep to."""


class Outcome(msgspec.Struct, frozen=True):
    """How one check went; `detail` says why it was skipped or what is wrong."""

    name: str
    result: Literal["passed", "skipped", "failed"]
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.result:7} {self.name}" + (f": {self.detail}" if self.detail else "")


def conformance_cases(provider: Provider, catalog: Catalog | None = None) -> tuple[Case, ...]:
    """Every check for `provider`; the abilities of its default model come from `catalog` (the shipped one)."""
    subject = subject_of(provider, catalog or load_catalog())
    usual = tuple(case_of(entry, subject) for entry in SUITE)
    further = (msgspec.structs.replace(subject, surface=dialect.name) for dialect in provider.surfaces if dialect.conversational)
    return (*usual, *(case_of(entry, other) for other in further for entry in WIRE_SUITE))


def examine(provider: Provider, catalog: Catalog | None = None) -> Iterator[Outcome]:
    """Run every check that applies, one after another. An error that is not about conformance is the provider's code's own, and raised."""
    for case in conformance_cases(provider, catalog):
        if case.skip is not None:
            yield Outcome(case.title, "skipped", case.skip)
            continue
        try:
            case.run()
        except Nonconforming as error:
            yield Outcome(case.title, "failed", str(error))
        else:
            yield Outcome(case.title, "passed")


__all__ = ["SUITE", "Case", "Nonconforming", "Outcome", "conformance_cases", "examine"]
