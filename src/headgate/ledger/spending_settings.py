"""How long the money of a process may take for what."""

from __future__ import annotations

import msgspec

from headgate.ledger.journal import SLOTS


class SpendingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All but `slots` are seconds."""

    flush_interval: float = 0.02
    """How long a closed request waits for others to be committed with."""
    lease: float = 30.0
    """How long a process that is not heard of keeps its slabs."""
    idle: float = 1.0
    """How long a slab may lie unused before it is given back."""
    patience: float = 0.4
    """How long a request waits for what other processes hold and may not need."""
    refusal: float = 0.1
    """How long a denial is repeated without asking the ledger again."""
    reap_interval: float = 5.0
    """Between two looks for dead processes."""
    stall: float = 5.0
    """How long a commit may take before nothing more is admitted."""
    tick: float = 0.1
    """Between two looks at what is idle, and at what others want."""
    slots: int = SLOTS
    """How many attempts may be under way at once."""
