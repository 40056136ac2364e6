"""What the library's clients are made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from headgate.client import Target
from headgate.ledger import Ledger
from headgate.ledger.budgets import Budget
from headgate.ledger.receipt import Face
from headgate.router import Deployment, Router
from headgate.transport.http1 import HttpClient


class LibraryParts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of one client. They are used in one event loop.

    `router` says whom a name stands for and whom to ask next, `target` how a deployment is reached (raises `ConfigError`). What calls cost
    is reserved and settled in `ledger`, beside a journal in the folder `journal`, within the `budgets` of the settings. `clock` is seconds
    since the epoch, `new_id` makes receipt ids. `face` is what receipts say the call came through. `close` is awaited when the client is
    closed; None leaves the parts open, for whoever made them.
    """

    router: Router
    target: Callable[[Deployment], Target]
    http: HttpClient
    ledger: Ledger
    journal: Path
    clock: Callable[[], float]
    new_id: Callable[[], str]
    budgets: tuple[Budget, ...] = ()
    face: Face = "library"
    close: Callable[[], Awaitable[None]] | None = None
