"""The library's clients, put together from the settings in force."""

from __future__ import annotations

import secrets
import time

from headgate import library
from headgate.assembly.parts import Parts, load_parts
from headgate.ledger import new_id
from headgate.ledger.receipt import RANDOM_BYTES, Face
from headgate.library import LibraryParts


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

    return LibraryParts(resolve=own.resolve, http=http, ledger=ledger, clock=time.time, new_id=receipt_id, face=face, close=close)


class Client(library.Client):
    """Blocking calls to any model: ``with Client() as client: client.complete("openai/gpt-4o-mini", "Hello")``.

    Settings and keys come from the environment, ``.env`` and ``headgate.yaml``; every call leaves a receipt. `parts` replaces them.
    """

    def __init__(self, parts: LibraryParts | None = None) -> None:
        super().__init__(parts, make_parts=library_parts)


class AsyncClient(library.AsyncClient):
    """Calls to any model from an event loop: ``async with AsyncClient() as client: await client.complete("openai/gpt-4o-mini", "Hello")``.

    Settings and keys come from the environment, ``.env`` and ``headgate.yaml``; every call leaves a receipt. `parts` replaces them.
    """

    def __init__(self, parts: LibraryParts | None = None) -> None:
        super().__init__(parts, make_parts=library_parts)
