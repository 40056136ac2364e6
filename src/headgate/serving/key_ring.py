"""The keys in use, in the memory of one process (faults H1, H2, H5, H9, H10, H12, F9).

`find` answers from memory and never waits; `load` asks the store, once for each key. What changes in the store is noticed within
`FRESH` seconds, by whichever process it was changed: what is remembered is good for so long after the last look at the store, and
a task looks every `INTERVAL`. While the store cannot be reached, keys without a budget that were seen before are good for `GRACE`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2s
from math import inf
from types import TracebackType
from typing import Protocol, TypeVar

import msgspec

from headgate.config import Secret
from headgate.errors import StoreError
from headgate.ledger.key_form import Pepper, fits
from headgate.ledger.key_store import Look, News
from headgate.ledger.keys import VirtualKey, principal_of
from headgate.ledger.principal import Principal
from headgate.serving.envelopes import Refused
from headgate.serving.throttle import Throttle

T = TypeVar("T")
INTERVAL, FRESH, GRACE = 1.0, 4.0, 60.0
"""Seconds."""
TIMEOUT = 3.0
"""Seconds for the store to answer."""
REMEMBERED = 4096
"""Wrong keys remembered, so that repeating one costs nothing; for `FRESH` seconds, or until a key changes."""

_FIXED, _FREE, _BUDGETED = range(3)


class KeySource(Protocol):
    """Where keys are kept; blocks, and raises `StoreError`."""

    @property
    def pepper(self) -> Pepper:
        """Under which they are."""
        ...

    def look(self, id: str, since: int) -> Look:
        """A key, and what changed since a version."""
        ...

    def news(self, since: int) -> News:
        """What changed since a version."""
        ...


class Seat:
    """One key that was let in: whose it is, until when (of the ring's clock), and whether a budget is on it."""

    __slots__ = ("kind", "principal", "until")

    def __init__(self, principal: Principal, until: float = inf, kind: int = _FIXED) -> None:
        self.principal = principal
        self.until = until
        self.kind = kind


class Verdict(msgspec.Struct, frozen=True):
    """Why a key is not let in. `guess`: it fits no key at all."""

    message: str
    code: str = "invalid_api_key"
    guess: bool = False

    def refusal(self) -> Refused:
        """As an answer."""
        return Refused(401, self.message, code=self.code, headers=CHALLENGE)


CHALLENGE = (("www-authenticate", 'Bearer realm="headgate"'),)
WRONG = Verdict("wrong key: it fits none that was made here; `headgate keys ls` lists those, `headgate serve` prints its own", guess=True)
_GONE = {
    "revoked": Verdict("this key was revoked: ask whoever gave it to you for another", code="revoked_api_key"),
    "expired": Verdict("this key has expired: ask whoever gave it to you for another", code="expired_api_key"),
    "disabled": Verdict("this key is disabled for now: ask whoever gave it to you", code="disabled_api_key"),
}


def has_budget(key: VirtualKey) -> bool:
    """Whether a hard budget is set on the key itself."""
    return key.budget is not None and key.budget.action != "warn"


class KeyRing:
    """The keys of `source`, and `fixed` ones with their bearers. Enter it to keep it fresh; without that it looks when it is asked.

    `random` are 32 bytes that no other process knows. `budgeted` says which keys must not be let in unseen (faults F9). `on_key` is told
    each key when it is first let in and whenever it changes, for whoever enforces its limits and budgets; `on_error` each failure of the
    store. `clock` is in seconds and does not go back.
    """

    def __init__(
        self,
        source: KeySource | None,
        fixed: Sequence[tuple[Secret, Principal]] = (),
        *,
        random: bytes,
        budgeted: Callable[[VirtualKey], bool] = has_budget,
        on_key: Callable[[VirtualKey], None] | None = None,
        on_error: Callable[[StoreError], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        interval: float = INTERVAL,
    ) -> None:
        self._source = source
        self._budgeted = budgeted
        self._on_key = on_key
        self._on_error = on_error
        self._clock = clock
        self._interval = interval
        self._blank = blake2s(key=random)
        self._seats = {self._digest(secret.reveal().encode()): Seat(principal) for secret, principal in fixed}
        self._horizons = [inf, 0.0, 0.0]
        self._wrong: dict[bytes, tuple[Verdict, float]] = {}
        self._throttle = Throttle()
        self._version = 0
        self._seen_at = -inf
        self._looking: dict[bytes, asyncio.Task[Seat | Verdict]] = {}
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="headgate-keys")
        self._task: asyncio.Task[None] | None = None

    def find(self, raw: bytes) -> Principal | None:
        """The bearer of a key as it was presented, from memory alone; None: `load` must say."""
        sketch = self._blank.copy()
        sketch.update(raw)
        seat = self._seats.get(sketch.digest())
        if seat is None:
            return None
        now = self._clock()
        return seat.principal if now < seat.until and now < self._horizons[seat.kind] else None

    async def load(self, raw: bytes, peer: str = "") -> Principal:
        """The bearer of a key, by the store where need be; `peer` is the address it came from.

        Raises `Refused`: 401 for a key that is wrong or no longer good, 429 after too many wrong ones, 503 while the store cannot say.
        """
        known = self.find(raw)
        if known is not None:
            return known
        id = None if self._source is None else self._source.pepper.public_id(raw)
        if id is None:
            raise WRONG.refusal()
        digest, now = self._digest(raw), self._clock()
        verdict, until = self._wrong.get(digest, (WRONG, -inf))
        if now < until:
            raise verdict.refusal()
        self._hold_up(self._throttle.wait(peer, id, now))
        return await self._ask(raw, digest, id, peer)

    async def refresh(self) -> None:
        """Look at the store once. Raises nothing: a store that fails is told to `on_error`, and noticed by `find`."""
        with contextlib.suppress(StoreError):
            await self._take_news()

    async def __aenter__(self) -> KeyRing:
        await self.refresh()
        self._task = asyncio.create_task(self._keep_fresh())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _digest(self, raw: bytes) -> bytes:
        """By which a key is known in memory: of all of it, under a secret of this process (faults H9)."""
        sketch = self._blank.copy()
        sketch.update(raw)
        return sketch.digest()

    def _hold_up(self, wait: float) -> None:
        if wait > 0:
            seconds = str(int(wait) + 1)
            raise Refused(
                429, f"too many wrong keys: try again in {seconds} s", code="too_many_wrong_keys", headers=(("retry-after", seconds),)
            )

    # Asking the store

    async def _ask(self, raw: bytes, digest: bytes, id: str, peer: str) -> Principal:
        try:
            found = await self._shared(raw, digest, id)
        except StoreError as error:
            known = self.find(raw)
            if known is None:
                raise _unreachable() from error
            return known
        if isinstance(found, Seat):
            return found.principal
        if found.guess:
            self._throttle.wrong(peer, id, self._clock())
        raise found.refusal()

    async def _shared(self, raw: bytes, digest: bytes, id: str) -> Seat | Verdict:
        """What the store says of a key; requests that come with one key at once share one look. Raises `StoreError`."""
        task = self._looking.get(digest)
        if task is None:
            task = self._looking[digest] = asyncio.create_task(self._look(raw, digest, id))
            task.add_done_callback(lambda done: self._looked(digest, done))
        return await asyncio.shield(task)

    def _looked(self, digest: bytes, done: asyncio.Task[Seat | Verdict]) -> None:
        del self._looking[digest]
        if not done.cancelled():
            done.exception()  # seen: whoever still waits is told, and when nobody does any more it is of no interest

    async def _look(self, raw: bytes, digest: bytes, id: str) -> Seat | Verdict:
        """Ask until the answer is no older than what is known here; then nothing may come between judging and remembering."""
        while True:
            began = self._clock()
            look = await self._in_thread(lambda source: source.look(id, self._version))
            if look.news.version >= self._version:
                self._take(look.news, began)
                return self._remember(digest, self._judge(raw, look, began), look)

    def _remember(self, digest: bytes, found: Seat | Verdict, look: Look) -> Seat | Verdict:
        if isinstance(found, Seat):
            self._seats[digest] = found
            if self._on_key is not None and look.kept is not None:
                self._on_key(look.kept.key)
            return found
        if len(self._wrong) >= REMEMBERED:
            self._wrong.clear()
        self._wrong[digest] = (found, self._clock() + FRESH)
        return found

    async def _take_news(self) -> None:
        began = self._clock()
        news = await self._in_thread(lambda source: source.news(self._version))
        if news.version >= self._version:
            self._take(news, began)

    async def _in_thread(self, work: Callable[[KeySource], T]) -> T:
        """What the store answers. Raises `StoreError`, also when it takes too long, and notes since when it fails."""
        source = self._source
        assert source is not None
        try:
            async with asyncio.timeout(TIMEOUT):
                return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(source))
        except TimeoutError as error:
            raise self._failed(StoreError(f"the store of keys did not answer within {TIMEOUT:g} s")) from error
        except StoreError as error:
            raise self._failed(error) from error.__cause__

    def _failed(self, error: StoreError) -> StoreError:
        """From now on, keys without a budget are good for a while, and others are not."""
        self._horizons = [inf, self._seen_at + GRACE, -inf]
        if self._on_error is not None:
            self._on_error(error)
        return error

    def _take(self, news: News, began: float) -> None:
        """What the store said of the time `began`."""
        changed = {key.id for key in news.changed}
        if changed:
            self._seats = {digest: seat for digest, seat in self._seats.items() if seat.principal.key_id not in changed}
            self._wrong.clear()
        self._version = news.version
        self._seen_at = max(self._seen_at, began)
        self._horizons = [inf, self._seen_at + FRESH, self._seen_at + FRESH]
        if self._on_key is not None:
            for key in news.changed:
                self._on_key(key)

    def _judge(self, raw: bytes, look: Look, began: float) -> Seat | Verdict:
        """Whether the secret is that of the key, and the key is good, by what the store said of the time `began`."""
        assert self._source is not None
        kept, now = look.kept, look.news.now
        present, before = fits(self._source.pepper.seal(raw), None if kept is None else kept.seals, now)
        if kept is None or not (present or before):
            return WRONG
        gone = _GONE.get(kept.key.status(now))
        if gone is not None:
            return gone
        ends = [at for at in (kept.key.expires, None if present else kept.seals.old_until) if at is not None]
        until = began + min(ends) - now if ends else inf
        return Seat(principal_of(kept.key), until, _BUDGETED if self._budgeted(kept.key) else _FREE)

    async def _keep_fresh(self) -> None:
        while self._source is not None:
            await asyncio.sleep(self._interval)
            await self.refresh()


def _unreachable() -> Refused:
    return Refused(503, "keys cannot be checked now: the store is unreachable", code="store_unavailable", headers=(("retry-after", "1"),))
