"""The library's clients, put together from the settings in force."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from functools import partial

from headgate import library
from headgate.assembly.budgets import budgets_of, journal_folder
from headgate.assembly.parts import Parts, load_parts
from headgate.assembly.routing import deployment_target, router_of, routing_table
from headgate.ledger import new_id
from headgate.ledger.receipt import RANDOM_BYTES, Face
from headgate.library import LibraryParts
from headgate.library.terms import Dollars, make_terms


def receipt_id() -> str:
    """A fresh receipt id."""
    return new_id(time.time(), secrets.token_bytes(RANDOM_BYTES))


def library_parts(parts: Parts | None = None, face: Face = "library") -> LibraryParts:
    """The parts of a client that owns them: settings from the environment, ``.env`` and ``headgate.yaml``. Raises `ConfigError`."""
    own = parts or load_parts()
    http, ledger = own.http(), own.ledger()

    async def close() -> None:
        await http.aclose()
        ledger.close()

    return LibraryParts(
        router=router_of(routing_table(own)),
        target=partial(deployment_target, own),
        http=http,
        ledger=ledger,
        journal=journal_folder(own),
        clock=time.time,
        new_id=receipt_id,
        budgets=budgets_of(own),
        face=face,
        close=close,
    )


class Client(library.Client):
    """Blocking calls to any model: ``with Client() as client: client.complete("openai/gpt-4o-mini", "Hello")``.

    Settings, keys and budgets come from the environment, ``.env`` and ``headgate.yaml``; every call leaves a receipt. `user` and `tags` are
    whose budgets the calls count for, `run` what they are a part of. `budget_usd` is the most that all calls of the run may cost together,
    without a `run` all calls of this client. `parts` replaces settings and keys.
    """

    def __init__(
        self,
        parts: LibraryParts | None = None,
        *,
        budget_usd: Dollars | None = None,
        user: str | None = None,
        tags: Sequence[str] = (),
        run: str | None = None,
    ) -> None:
        super().__init__(parts, make_parts=library_parts, terms=make_terms(user, tags, run, budget_usd))


class AsyncClient(library.AsyncClient):
    """Calls to any model from an event loop: ``async with AsyncClient() as client: await client.complete("openai/gpt-4o-mini", "Hello")``.

    What it takes is said at `Client`.
    """

    def __init__(
        self,
        parts: LibraryParts | None = None,
        *,
        budget_usd: Dollars | None = None,
        user: str | None = None,
        tags: Sequence[str] = (),
        run: str | None = None,
    ) -> None:
        super().__init__(parts, make_parts=library_parts, terms=make_terms(user, tags, run, budget_usd))
