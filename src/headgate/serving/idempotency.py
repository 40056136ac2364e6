"""A request that is sent again with its ``Idempotency-Key`` is answered again and booked once (faults E20, translation case 91)."""

from __future__ import annotations

import asyncio
import re
from typing import TypeAlias

import msgspec

from headgate.serving.cache_key import digest
from headgate.serving.envelopes import Refused
from headgate.serving.idempotency_store import Entry, IdempotencyStore
from headgate.serving.shelf import Shelf
from headgate.serving.stored import OVERHEAD, Stored

TTL = 86_400.0
"""Seconds an answered key is remembered."""
LEASE = 900.0
"""Seconds after which a request that nobody finished or renewed counts as never begun: its process is gone."""
MOST_BYTES = 64 << 20
LARGEST = 4 << 20
_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


class New(msgspec.Struct, frozen=True):
    """Nobody has asked this: carry it out, then `finish` or `abandon` it."""

    id: bytes
    holder: str


class Replay(msgspec.Struct, frozen=True):
    """It was answered before: this is the answer."""

    stored: Stored


class InProgress(msgspec.Struct, frozen=True):
    """It is being answered now."""


class Conflict(msgspec.Struct, frozen=True):
    """The key was used for another request."""


class Gone(msgspec.Struct, frozen=True):
    """It was answered before, and the answer is not kept here: it was too large, or may not be kept on disk."""


Begun: TypeAlias = New | Replay | InProgress | Conflict | Gone


def check_key(key: str) -> str:
    """`key`. Raises `Refused` (400) for one that cannot be: 1 to 255 visible ASCII characters."""
    if not _KEY.fullmatch(key):
        raise Refused(400, "an Idempotency-Key has 1 to 255 visible ASCII characters", code="invalid_idempotency_key")
    return key


def request_hash(path: str, body: bytes) -> bytes:
    """What a key stands for: the same bytes to the same place."""
    return digest(path.encode("utf-8", "surrogatepass"), body)


class Idempotency:
    """The keys of one process and, with a `store`, of all that share it. Clock and identities are arguments."""

    def __init__(self, store: IdempotencyStore | None = None, most_bytes: int = MOST_BYTES, largest: int = LARGEST) -> None:
        self._store = store
        self._open: dict[bytes, Entry] = {}
        self._done: Shelf[Entry] = Shelf(most_bytes, largest + OVERHEAD)
        self.largest = largest

    async def begin(self, tenant: str, key: str, request: bytes, now: float, holder: str) -> Begun:
        """What to do with a request (`request_hash`) of `tenant`; `holder` names this attempt. Raises `Refused` (400), `StoreError`."""
        place = digest(tenant.encode("utf-8", "surrogatepass"), check_key(key).encode())
        entry = self._known(place, now)
        if entry is not None:
            return _judged(entry, request)
        self._open[place] = Entry(request, now + LEASE, holder)
        if self._store is None:
            return New(place, holder)
        try:
            found = await self._store.begin(place, request, holder, now, now + LEASE)
        except BaseException as error:
            self._open.pop(place, None)
            if isinstance(error, asyncio.CancelledError):
                self._store.let_go(place, holder)
            raise
        if found is None:
            return New(place, holder)
        self._open.pop(place, None)
        return _judged(found, request)

    async def finish(self, begun: New, stored: Stored | None, now: float) -> None:
        """Remember the answer to a request that was carried out (None: that there was one). Raises `StoreError`; this process remembers it
        all the same."""
        entry = self._let_go(begun)
        if entry is not None:
            done = Entry(entry.request, now + TTL, begun.holder, True, stored)
            if stored is None or not self._done.put(begun.id, done, stored.size):
                self._done.put(begun.id, msgspec.structs.replace(done, stored=None), OVERHEAD)
        if self._store is not None:
            kept = stored if stored is not None and stored.size <= self.largest + OVERHEAD else None
            await self._store.finish(begun.id, begun.holder, kept, now + TTL)

    async def abandon(self, begun: New) -> None:
        """Forget a request that was not carried out, so that it can be sent again. Raises `StoreError`."""
        self._let_go(begun)
        if self._store is not None:
            await self._store.abandon(begun.id, begun.holder)

    async def renew(self, now: float) -> None:
        """Prolong the leases of the requests that are under way in this process, however long they take. Raises `StoreError`."""
        if self._store is not None and self._open:
            await self._store.renew([(place, entry.holder) for place, entry in self._open.items()], now + LEASE)

    async def purge(self, now: float) -> None:
        """Delete what has expired in the store. Raises `StoreError`."""
        if self._store is not None:
            await self._store.purge(now)

    def _let_go(self, begun: New) -> Entry | None:
        """The entry of an attempt that is over; None when another has taken its place since."""
        entry = self._open.get(begun.id)
        if entry is None or entry.holder != begun.holder:
            return None
        return self._open.pop(begun.id)

    def _known(self, place: bytes, now: float) -> Entry | None:
        entry = self._open.get(place)
        if entry is not None:
            return entry
        entry = self._done.get(place)
        if entry is not None and now < entry.expires:
            return entry
        self._done.drop(place)
        return None


def _judged(entry: Entry, request: bytes) -> Begun:
    if entry.request != request:
        return Conflict()
    if not entry.done:
        return InProgress()
    return Gone() if entry.stored is None else Replay(entry.stored)


def refusal(begun: InProgress | Conflict | Gone) -> Refused:
    """The answer to a request that is not carried out: 422 for another request, 409 for one that is under way or whose answer is gone."""
    if isinstance(begun, Conflict):
        return Refused(422, "this Idempotency-Key was used for another request", code="idempotency_conflict", hint="send a new key")
    if isinstance(begun, InProgress):
        return Refused(
            409, "a request with this Idempotency-Key is being answered", code="idempotency_in_progress", headers=(("retry-after", "1"),)
        )
    return Refused(
        409, "this request was answered and booked, and its answer is not kept", code="idempotency_answer_gone", hint="send a new key"
    )
