"""The library's clients and the gateway, put together from the settings in force."""

from __future__ import annotations

import secrets
import time

from headgate import library
from headgate.assembly.parts import Parts, load_parts
from headgate.catalog.cards import ModelCard
from headgate.config import Secret
from headgate.gateway.app import build_app
from headgate.gateway.parts import GatewayParts
from headgate.ledger import Ledger, new_id
from headgate.ledger.receipt import RANDOM_BYTES, Face
from headgate.library import LibraryParts
from headgate.serving.app import App
from headgate.serving.auth import allowed_hosts, check_binding
from headgate.transport.http1 import HttpClient


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


def gateway_app(parts: Parts, http: HttpClient, ledger: Ledger, host: str, key: Secret | None) -> App:
    """The gateway for `host`, with the models of providers that can be called. Raises `ConfigError` when nobody would be kept out."""
    check_binding(host, authenticated=key is not None)
    gateway = GatewayParts(
        resolve=parts.resolve, http=http, ledger=ledger, models=callable_models(parts), clock=time.time, new_id=receipt_id
    )
    return build_app(gateway, key=key, hosts=allowed_hosts(host))


def callable_models(parts: Parts) -> tuple[ModelCard, ...]:
    """The cards of providers whose key is set (or that need none), retired models left out."""
    ready = frozenset(parts.with_keys())
    return tuple(card for card in parts.catalog.cards if card.provider in ready and card.status != "retired")
