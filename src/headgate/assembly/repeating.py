"""What answers are given again from, put together from the settings in force."""

from __future__ import annotations

import msgspec

from headgate.assembly.parts import Parts
from headgate.config import redact
from headgate.gateway.repeats import Count, Repeats
from headgate.ledger import Ledger
from headgate.serving.answer_store import AnswerStore
from headgate.serving.cache import LayeredCache, ResponseCache
from headgate.serving.cache_control import CacheRule
from headgate.serving.idempotency import Idempotency
from headgate.serving.idempotency_store import IdempotencyStore
from headgate.serving.recorder import Recorder


class Repeating(msgspec.Struct, frozen=True):
    """The means, and the stores below them: `answers` is written to only where prompts may be stored, `keys` where processes share them."""

    repeats: Repeats
    answers: AnswerStore
    keys: IdempotencyStore | None

    def renew(self, parts: Parts) -> None:
        """Go on with other settings: names may mean other models now, so that the cache in memory begins anew."""
        settings = parts.settings
        store = self.answers if settings.gateway.store_prompts else None
        rule, memory = CacheRule(), ResponseCache()
        if settings.cache is not None:
            rule, memory = CacheRule(enabled=True, longest=settings.cache.max_age), ResponseCache(settings.cache.max_bytes)
        self.repeats.use(rule, LayeredCache(memory, store))
        if self.keys is not None:
            self.keys.keep_answers = settings.gateway.store_prompts


def repeating(parts: Parts, ledger: Ledger, count: Count, *, shared: bool) -> Repeating:
    """The means; `shared` when other processes get the same clients' requests."""
    keys = IdempotencyStore(ledger.database) if shared else None
    recorder = Recorder(parts.settings.data_dir / "recordings", redact)
    found = Repeating(Repeats(Idempotency(keys), recorder, count), AnswerStore(ledger.database), keys)
    found.renew(parts)
    return found
