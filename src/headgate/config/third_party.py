"""Providers that other packages bring, by entry point: found by name in their metadata, loaded only when one is used."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

GROUP = "headgate.providers"


def advertised() -> dict[str, EntryPoint]:
    """The entry points of the group, by name; of two with one name the first in the search path counts."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, entry)
    return found
