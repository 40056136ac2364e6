"""The gateway, put together from the settings in force."""

from __future__ import annotations

import time

from headgate.assembly.faces import receipt_id
from headgate.assembly.operations import known_labels
from headgate.assembly.parts import Parts
from headgate.catalog.cards import ModelCard
from headgate.config import Secret
from headgate.gateway.app import build_app
from headgate.gateway.operations import Operations
from headgate.gateway.parts import GatewayParts
from headgate.ledger import Ledger
from headgate.serving.app import App
from headgate.serving.auth import allowed_hosts, check_binding
from headgate.transport.http1 import HttpClient


def gateway_app(parts: Parts, http: HttpClient, ledger: Ledger, host: str, key: Secret | None, operations: Operations | None = None) -> App:
    """The gateway for `host`, with the models of providers that can be called. Raises `ConfigError` when nobody would be kept out."""
    check_binding(host, authenticated=key is not None)
    gateway = GatewayParts(
        resolve=parts.resolve, http=http, ledger=ledger, models=callable_models(parts), clock=time.time, new_id=receipt_id
    )
    app = build_app(gateway, key=key, hosts=allowed_hosts(host), operations=operations)
    if operations is not None:
        operations.observer.counters.know(known_labels(app, parts))
    return app


def callable_models(parts: Parts) -> tuple[ModelCard, ...]:
    """The cards of providers whose key is set (or that need none), retired models left out."""
    ready = frozenset(parts.with_keys())
    return tuple(card for card in parts.catalog.cards if card.provider in ready and card.status != "retired")
