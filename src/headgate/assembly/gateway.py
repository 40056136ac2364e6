"""The gateway, put together from the settings in force."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from headgate.assembly.faces import ReceiptIds
from headgate.assembly.parts import Parts
from headgate.assembly.routing import deployment_target, router_of, routing_table
from headgate.catalog.cards import ModelCard
from headgate.client import Target
from headgate.gateway.app import build_app
from headgate.gateway.endpoints.keys import Keys
from headgate.gateway.fast.table import fast_endpoints
from headgate.gateway.parts import GatewayParts
from headgate.ledger.key_store import KeyStore
from headgate.ledger.limiter import Limiter
from headgate.ledger.spending import Spending
from headgate.router import Deployment
from headgate.serving.app import App
from headgate.serving.auth import KeyDoor, OpenDoor, allowed_hosts, check_binding
from headgate.serving.house import FastEndpoint
from headgate.serving.key_ring import KeyRing
from headgate.transport.http1 import HttpClient


class Gateway(msgspec.Struct, frozen=True):
    """What a server runs: the app, and the endpoints that answer from within the protocol."""

    app: App
    fast: Mapping[bytes, FastEndpoint]
    parts: GatewayParts


def gateway(
    parts: Parts, http: HttpClient, spending: Spending, limiter: Limiter, host: str, store: KeyStore, ring: KeyRing, *, auth: bool
) -> Gateway:
    """The gateway for `host`, with the models of providers that can be called; with `auth` for bearers of keys of the ring only.

    Raises `ConfigError` when nobody would be kept out.
    """
    check_binding(host, authenticated=auth)
    hosts = allowed_hosts(host)
    targets = Targets(parts)
    own = GatewayParts(
        resolve=parts.resolve,
        router=router_of(routing_table(parts)),
        target=targets.find,
        limiter=limiter,
        spending=spending,
        http=http,
        models=callable_models(parts),
        clock=time.time,
        new_id=ReceiptIds(),
    )
    door = KeyDoor(ring) if auth else OpenDoor(hosts)
    app = build_app(own, door=door, keys=Keys(store, ring, time.time), hosts=hosts)
    return Gateway(app, fast_endpoints(own, ring.find) if auth else {}, own)


class Targets:
    """How deployments are reached, worked out once for each."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._known: dict[str, tuple[Deployment, Target]] = {}

    def find(self, deployment: Deployment) -> Target:
        """The target of a deployment. Raises `ConfigError`."""
        known = self._known.get(deployment.id)
        if known is not None and known[0] is deployment:
            return known[1]
        if len(self._known) >= 4096:
            self._known.clear()
        found = deployment_target(self._parts, deployment)
        self._known[deployment.id] = deployment, found
        return found


def callable_models(parts: Parts) -> tuple[ModelCard, ...]:
    """The cards of providers whose key is set (or that need none), retired models left out."""
    ready = frozenset(parts.with_keys())
    return tuple(card for card in parts.catalog.cards if card.provider in ready and card.status != "retired")
