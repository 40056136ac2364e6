"""The response cache: exact, per tenant, in memory, and in a store where answers may be kept on disk (translation case 58, faults E19)."""

from __future__ import annotations

import logging

import msgspec

from headgate.domain.cost import usd_text
from headgate.domain.usage import Usage
from headgate.errors import StoreError
from headgate.ledger.receipt import Receipt
from headgate.serving.answer_store import AnswerStore
from headgate.serving.shelf import Shelf
from headgate.serving.stored import Stored
from headgate.wire.http import Headers

_LOG = logging.getLogger("headgate.server")
MOST_BYTES = 64 << 20
LARGEST = 4 << 20
PRICE_RULE = "response cache"
HIT = "hit"
MISS = "miss"


class Kept(msgspec.Struct, frozen=True):
    """An answer in the cache, since `at` and until `expires` (seconds since the epoch)."""

    stored: Stored
    at: float
    expires: float


class ResponseCache:
    """Complete, successful answers by `cache_key`. One process's; see `LayeredCache` for one that several share."""

    def __init__(self, most_bytes: int = MOST_BYTES, largest: int = LARGEST) -> None:
        self._shelf: Shelf[Kept] = Shelf(most_bytes, largest)

    @property
    def held(self) -> int:
        """Bytes held."""
        return self._shelf.held

    @property
    def largest(self) -> int:
        """Bytes an answer may have."""
        return self._shelf.largest

    def find(self, key: bytes, now: float, max_age: float) -> Stored | None:
        """The answer, when there is one that is not older than `max_age` seconds."""
        kept = self._shelf.get(key)
        if kept is None:
            return None
        if now >= kept.expires:
            self._shelf.drop(key)
            return None
        return kept.stored if now - kept.at <= max_age else None

    def keep(self, key: bytes, stored: Stored, now: float, max_age: float) -> bool:
        """Hold an answer for `max_age` seconds. False for one that is no success, or too large."""
        if not 200 <= stored.status < 300:
            return False
        return self._shelf.put(key, Kept(stored, now, now + max_age), stored.size)

    def clear(self) -> None:
        """Forget everything, such as when names come to mean other models."""
        self._shelf.clear()


class LayeredCache:
    """A cache in memory over one in a store that several processes share.

    What the store cannot do is told in the log and costs an answer anew, never the request.
    """

    def __init__(self, memory: ResponseCache, store: AnswerStore | None = None) -> None:
        self.memory = memory
        self._store = store
        self._failing = False

    async def find(self, key: bytes, now: float, max_age: float) -> Stored | None:
        """As `ResponseCache.find`."""
        found = self.memory.find(key, now, max_age)
        if found is not None or self._store is None:
            return found
        try:
            row = await self._store.find(key, now)
        except StoreError as error:
            self._failed(error)
            return None
        self._failing = False
        if row is None or now - row.at > max_age:
            return None
        self.memory.keep(key, row.stored, row.at, row.expires - row.at)
        return row.stored

    async def keep(self, key: bytes, stored: Stored, now: float, max_age: float) -> bool:
        """As `ResponseCache.keep`."""
        if not self.memory.keep(key, stored, now, max_age):
            return False
        if self._store is not None:
            try:
                await self._store.keep(key, stored, now, now + max_age)
            except StoreError as error:
                self._failed(error)
        return True

    def _failed(self, error: StoreError) -> None:
        if not self._failing:
            _LOG.warning("the response cache does without its store: %s", error.message)
        self._failing = True

    async def clear(self) -> None:
        """Forget everything. Raises `StoreError`."""
        self.memory.clear()
        if self._store is not None:
            await self._store.clear()


def hit_headers(stored: Stored, now: float) -> Headers:
    """What an answer from the cache says of itself."""
    return (("x-cache", HIT), ("age", str(max(0, int(now - stored.at)))), ("x-headgate-cost", usd_text(0)))


MISS_HEADERS: Headers = (("x-cache", MISS),)
"""What an answer says that was looked for in the cache and is new."""


def hit_receipt(receipt_id: str, at: float, stored: Stored) -> Receipt:
    """The receipt of an answer from the cache, which says what it would have cost."""
    saved = "an unknown price" if stored.cost_nanos is None else f"${usd_text(stored.cost_nanos)}"
    return free_receipt(
        receipt_id, at, stored, PRICE_RULE, f"answered from the response cache: receipt {stored.receipt} paid {saved} for this answer"
    )


def free_receipt(receipt_id: str, at: float, stored: Stored, rule: str, explanation: str) -> Receipt:
    """The receipt of an answer that was given again: no attempt, no tokens, no cost."""
    return Receipt(
        id=receipt_id,
        at=at,
        face="gateway",
        provider=stored.provider,
        model=stored.model,
        stream=stored.stream,
        usage=Usage(),
        cost_nanos=0,
        price_rule=rule,
        explanation=explanation,
    )
