"""Prompt caching as the providers bill it: which beginnings of prompts an account has sent lately."""

from __future__ import annotations

from headgate.sim.dice import digest

MIN_TOKENS = 1024
SHORT_LIFE = 300.0
LONG_LIFE = 3600.0


class PrefixMemory:
    """Known prefixes per account and model, each until its time is over; a hit renews it."""

    def __init__(self) -> None:
        self._until: dict[bytes, tuple[float, float]] = {}

    def known(self, account: str, model: str, prefix: str, now: float) -> bool:
        """Whether the prefix is cached at `now`; renews it."""
        key = digest(account, model, prefix)
        until, life = self._until.get(key, (0.0, 0.0))
        if until <= now:
            return False
        self._until[key] = (now + life, life)
        return True

    def learn(self, account: str, model: str, prefix: str, now: float, life: float = SHORT_LIFE) -> None:
        """Cache the prefix for `life` seconds."""
        self._until[digest(account, model, prefix)] = (now + life, life)
