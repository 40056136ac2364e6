"""What one process needs to give answers again: the response cache, the keys of repeated requests, recordings."""

from __future__ import annotations

from collections.abc import Callable

from headgate.serving.cache import LayeredCache, ResponseCache
from headgate.serving.cache_control import CacheRule
from headgate.serving.idempotency import Idempotency
from headgate.serving.recorder import Recorder

Count = Callable[[str, str, int], None]
"""Counts an event: its family, its label, how many."""


def uncounted(family: str, label: str, amount: int = 1) -> None:
    """Nobody counts."""


class Repeats:
    """The means. `cache` with its `rule` may be exchanged while serving; `recorder` None: keys that record or replay are refused."""

    def __init__(self, idempotency: Idempotency | None = None, recorder: Recorder | None = None, count: Count = uncounted) -> None:
        self.rule = CacheRule()
        self.cache = LayeredCache(ResponseCache())
        self.idempotency = idempotency or Idempotency()
        self.recorder = recorder
        self.count = count

    def use(self, rule: CacheRule, cache: LayeredCache) -> None:
        """Cache by `rule` in `cache` from now on."""
        self.rule, self.cache = rule, cache
