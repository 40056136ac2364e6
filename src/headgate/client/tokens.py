"""Keys that run out: access tokens fetched anew, before they expire, by a function of the user's (Vertex, Azure AD, key files)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import msgspec

from headgate.config import Secret

MARGIN = 60.0
"""Seconds before its end at which a token is no longer used."""


class Token(msgspec.Struct, frozen=True):
    """An access token. `expires_at` is seconds since the epoch; None: it is good until a provider refuses it."""

    text: Secret
    expires_at: float | None = None


class TokenSource:
    """The current token of one account, fetched when it is first needed and again shortly before it expires.

    `fetch` may block: it runs in a thread, once at a time, whoever waits. What it raises reaches the caller of `current`.
    """

    def __init__(self, fetch: Callable[[], Token], clock: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._fetching: dict[asyncio.AbstractEventLoop, asyncio.Future[Secret]] = {}

    async def current(self) -> Secret:
        """A token with at least a minute to live."""
        held = self._token
        return held.text if held is not None and self._good(held) else await asyncio.shield(self._under_way())

    def _under_way(self) -> asyncio.Future[Secret]:
        """The fetch that those of this event loop wait for together: it takes up one thread, however many they are."""
        loop = asyncio.get_running_loop()
        found = self._fetching.get(loop)
        if found is None:
            found = self._fetching[loop] = loop.run_in_executor(None, self._renewed)
            found.add_done_callback(self._done)
        return found

    def _done(self, fetching: asyncio.Future[Secret]) -> None:
        self._fetching.pop(fetching.get_loop(), None)
        if not fetching.cancelled():
            fetching.exception()

    def refused(self, key: Secret) -> None:
        """The provider would not take `key`: the next call gets a fresh one."""
        held = self._token
        if held is not None and held.text == key:
            self._token = None

    def _good(self, token: Token) -> bool:
        return token.expires_at is None or token.expires_at - MARGIN > self._clock()

    def _renewed(self) -> Secret:
        with self._lock:
            held = self._token
            if held is None or not self._good(held):
                held = self._token = self._fetch()
            return held.text
