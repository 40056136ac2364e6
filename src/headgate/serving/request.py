"""A request as an endpoint sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from headgate.ledger.principal import Principal
from headgate.ledger.receipt import Receipt
from headgate.wire.http import Headers

NOBODY = Principal(subjects=())
"""Who asks where nobody needs to say so."""


class BodyReader(Protocol):
    """Where the body comes from; read at most once."""

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises `Refused`: 413 as soon as it is known to be longer than `limit` bytes, 408 when it is slow."""
        ...


class EmptyBody:
    """No body."""

    async def read(self, limit: int) -> bytes:
        """Nothing."""
        return b""


class BytesBody:
    """A body that is there already, for tests and for internal calls."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, limit: int) -> bytes:
        """The bytes; `limit` was applied by whoever brought them."""
        return self._data


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request. Header names are lower-case; `path` is decoded once and never normalised; `client` is the peer's address.

    `params` are the parts of the path the route leaves open, `disconnected` is set once the client is gone, `body_limit` (bytes) comes
    from the route. `principal` is who asks.
    """

    method: str
    path: str
    query: str = ""
    headers: Headers = ()
    client: str = ""
    params: tuple[str, ...] = ()
    reader: BodyReader = EmptyBody()
    disconnected: asyncio.Event | None = None
    body_limit: int = 0
    principal: Principal = NOBODY
    route: str = ""
    """The path of the matched route."""
    settled: Callable[[Receipt], None] | None = None
    """Is told of the receipt, by endpoints that write one."""

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for known, value in self.headers if known == name), None)

    def values(self, name: str) -> tuple[str, ...]:
        """Every value of a header, in order."""
        return tuple(value for known, value in self.headers if known == name)

    async def body(self, limit: int | None = None) -> bytes:
        """The body, at most `limit` bytes (None: what the route allows). Raises `Refused`: 413 or 408."""
        return await self.reader.read(self.body_limit if limit is None else limit)
