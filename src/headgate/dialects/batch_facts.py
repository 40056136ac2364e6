"""What is known of a batch API beside its calls: its status words, limits, windows and ids. Data, compiled from the catalog's YAML.

`batch_tables` holds one `BatchFacts` for each wire (BPS-04, BPS-11, BPS-14, BPS-25).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from headgate.dialects.batch import BatchLimits, BatchStatus
from headgate.dialects.batch_ids import ANY_TEXT, CustomIds
from headgate.errors import UsageError

END_OF_TIME = 253_402_300_800
"""The year 10000 in epoch seconds: a number from there on is no moment."""
_WINDOW = re.compile(r"([1-9][0-9]{0,3})([hd])")


class BatchFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One wire's facts.

    `providers` are the names under which status words are looked up, the dialect's own first. `statuses` maps lower-case words, without
    any of `prefixes`. `endpoints` lists what rows may ask for (empty: anything). Windows are hours; `window` is the default, None where
    jobs have no deadline. `retention` is for how many hours after creation results can be read, None where nobody says.
    """

    name: str
    label: str
    providers: tuple[str, ...]
    statuses: Mapping[str, BatchStatus]
    limits: BatchLimits
    prefixes: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    window: float | None = 24.0
    shortest_window: float = 24.0
    longest_window: float = 24.0
    retention: float | None = None
    ids: CustomIds = ANY_TEXT
    source: str = ""

    def status(self, word: str) -> BatchStatus:
        """The normalised word for the provider's own, in any case; one that nobody knows is `UNKNOWN`."""
        plain = word.strip().lower()
        for prefix in self.prefixes:
            plain = plain.removeprefix(prefix)
        return self.statuses.get(plain, BatchStatus.UNKNOWN)

    def hours(self, window: str) -> int:
        """A completion window such as ``24h`` or ``7d`` in hours. Raises `UsageError` for one that the provider does not offer."""
        found = _WINDOW.fullmatch(window)
        hours = int(found[1]) * (24 if found[2] == "d" else 1) if found else 0
        if not self.shortest_window <= hours <= self.longest_window:
            offered = f"{self.shortest_window:g}h"
            if self.longest_window != self.shortest_window:
                offered += f" to {self.longest_window:g}h"
            raise UsageError(f"{self.label} takes a completion window of {offered}, not {window!r}")
        return hours
