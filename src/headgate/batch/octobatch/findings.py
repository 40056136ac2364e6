"""What is odd about an old run: counted by kind, each with the places where it was met. Nothing that is read is left out silently."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

import msgspec

from headgate.wire.json import JsonObject

MOST_PLACES = 1000
"""Places that are kept of each kind; further ones are only counted."""


class Odd(StrEnum):
    """A kind of oddity; the values are the words in JSON."""

    UNREADABLE = "unreadable_lines"
    TOO_LONG = "long_lines"
    NAMELESS = "records_without_unit"
    CUT_FILE = "cut_files"
    NO_FILE = "missing_files"
    UNLISTED = "unlisted_chunks"
    UNPLACED = "units_in_no_chunk"
    TWICE = "duplicates"
    FOREIGN = "foreign_records"
    INFERRED = "inferred_outcomes"
    REMADE = "children_made_again"
    UNJUDGED = "answers_without_outcome"
    UNDECIDED = "units_without_outcome"
    AT_PROVIDER = "units_at_provider"
    COUNTS = "counts_that_differ"
    TOKENS = "tokens_that_differ"


SENTENCES: dict[Odd, str] = {
    Odd.UNREADABLE: "lines are no JSON object: left out",
    Odd.TOO_LONG: "lines are longer than any record may be: left out",
    Odd.NAMELESS: "records name no unit: left out",
    Odd.CUT_FILE: "files end before their end: what was read of them counts",
    Odd.NO_FILE: "files that the manifest's states imply are not there",
    Odd.UNLISTED: "chunk folders are not in the manifest: left out",
    Odd.UNPLACED: "units are in no chunk: they wait at the first step",
    Odd.TWICE: "records of units are there a second time: the first counts",
    Odd.FOREIGN: "records are about units the run does not have: left out",
    Odd.INFERRED: "units have no outcome at a step, but one at a later step: taken as valid by it",
    Odd.REMADE: "units of a fan_out step have no record: made again from their parents",
    Odd.UNJUDGED: "answers were stored and not judged: judged now, by the run's own schemas and rules",
    Odd.UNDECIDED: "units are neither valid nor failed at a step that is over for their chunk: they wait there",
    Odd.AT_PROVIDER: "units were in a batch at the provider, whose answers are not here: going on asks, and pays, for them again",
    Odd.COUNTS: "counts in the manifest are not those of the files; the files count",
    Odd.TOKENS: "sums of tokens in the manifest are not those of the answers that are there; the answers count",
}
"""What each kind means, and what was done about it."""

HARMLESS = frozenset({Odd.UNJUDGED, Odd.REMADE})
"""What was made good without anything being lost."""


class Findings:
    """Collects oddities."""

    def __init__(self) -> None:
        self.counts: Counter[Odd] = Counter()
        self.places: dict[Odd, list[str]] = {}

    def add(self, kind: Odd, place: str, count: int = 1) -> None:
        """Count one; `place` is a file and line, or a unit, with whatever else is to be said."""
        self.counts[kind] += count
        places = self.places.setdefault(kind, [])
        if len(places) < MOST_PLACES:
            places.append(place)

    @property
    def serious(self) -> bool:
        """Whether anything is not as it was, or could not be read."""
        return any(count and kind not in HARMLESS for kind, count in self.counts.items())

    def found(self) -> tuple[Finding, ...]:
        """All kinds that were met, in the order of the enumeration."""
        return tuple(Finding(kind, self.counts[kind], tuple(self.places[kind])) for kind in Odd if self.counts[kind])


class Finding(msgspec.Struct, frozen=True):
    """A kind of oddity, how often it was met, and where (at most `MOST_PLACES`)."""

    kind: Odd
    count: int
    places: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The finding in words."""
        return f"{self.count:,} {SENTENCES[self.kind]}"

    def as_json(self) -> JsonObject:
        """The finding as plain JSON."""
        return {"kind": self.kind.value, "count": self.count, "meaning": SENTENCES[self.kind], "places": list(self.places)}
