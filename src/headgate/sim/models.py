"""Which models the simulator lists. It answers for any other name too, except those that start with ``unknown``."""

from __future__ import annotations

MODELS = ("sim-small", "sim-large", "sim-flash")


def is_unknown(name: str) -> bool:
    """Whether a model is refused as not existing."""
    return name.startswith("unknown")
