"""The gateway, put together from the settings in force."""

from __future__ import annotations

import time

from headgate.assembly.faces import receipt_id
from headgate.assembly.parts import Parts
from headgate.catalog.cards import ModelCard
from headgate.gateway.app import build_app
from headgate.gateway.endpoints.keys import Keys
from headgate.gateway.parts import GatewayParts
from headgate.ledger import Ledger
from headgate.ledger.key_store import KeyStore
from headgate.serving.app import App
from headgate.serving.auth import KeyDoor, OpenDoor, allowed_hosts, check_binding
from headgate.serving.key_ring import KeyRing
from headgate.transport.http1 import HttpClient


def gateway_app(parts: Parts, http: HttpClient, ledger: Ledger, host: str, store: KeyStore, ring: KeyRing, *, auth: bool) -> App:
    """The gateway for `host`, with the models of providers that can be called; with `auth` for bearers of keys of the ring only.

    Raises `ConfigError` when nobody would be kept out.
    """
    check_binding(host, authenticated=auth)
    hosts = allowed_hosts(host)
    gateway = GatewayParts(
        resolve=parts.resolve, http=http, ledger=ledger, models=callable_models(parts), clock=time.time, new_id=receipt_id
    )
    return build_app(gateway, door=KeyDoor(ring) if auth else OpenDoor(hosts), keys=Keys(store, ring, time.time), hosts=hosts)


def callable_models(parts: Parts) -> tuple[ModelCard, ...]:
    """The cards of providers whose key is set (or that need none), retired models left out."""
    ready = frozenset(parts.with_keys())
    return tuple(card for card in parts.catalog.cards if card.provider in ready and card.status != "retired")
