"""What the library's clients are made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from headgate.client import Target
from headgate.ledger import Ledger
from headgate.ledger.receipt import Face
from headgate.transport.http1 import HttpClient


class LibraryParts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of one client. They are used in one event loop.

    `resolve` finds the target of a model name, or raises `ConfigError`. `clock` is seconds since the epoch, `new_id` makes receipt ids.
    `face` is what receipts say the call came through. `close` is awaited when the client is closed; None leaves the parts open, for
    whoever made them.
    """

    resolve: Callable[[str], Target]
    http: HttpClient
    ledger: Ledger
    clock: Callable[[], float]
    new_id: Callable[[], str]
    face: Face = "library"
    close: Callable[[], Awaitable[None]] | None = None
