"""The gateway, put together from the settings in force."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

import msgspec

from headgate.assembly.operations import known_labels
from headgate.assembly.parts import Parts
from headgate.assembly.routing import deployment_target, router_of, routing_table
from headgate.catalog.cards import ModelCard
from headgate.client import Target
from headgate.gateway.app import app_over, build_routes
from headgate.gateway.endpoints.keys import Keys
from headgate.gateway.fast.table import fast_endpoints
from headgate.gateway.money_parts import MoneyParts, stands_for
from headgate.gateway.money_routes import money_routes
from headgate.gateway.operations import Operations
from headgate.gateway.parts import Counting, GatewayParts
from headgate.gateway.repeats import Repeats
from headgate.ledger import Receipt
from headgate.ledger.budget_book import BudgetBook, BudgetStanding
from headgate.ledger.key_store import KeyStore
from headgate.ledger.limiter import Limiter
from headgate.ledger.principal import Principal
from headgate.ledger.receipt import Ids
from headgate.ledger.spending import Spending
from headgate.router import Deployment
from headgate.router.features import Decided
from headgate.serving.app import App
from headgate.serving.auth import Authenticator
from headgate.serving.key_ring import KeyRing
from headgate.serving.load import Load
from headgate.serving.routes import Routes
from headgate.serving.turn import FastEndpoint
from headgate.transport.http1 import HttpClient


class Books(msgspec.Struct, frozen=True):
    """What a gateway keeps account with. `settled`, `counted` and `decided` as in `GatewayParts`."""

    spending: Spending
    limiter: Limiter
    keys: KeyStore
    budgets: BudgetBook
    settled: Callable[[Receipt, str, str | None], None]
    repeats: Repeats
    load: Load
    counted: Counting | None = None
    decided: Callable[[Decided], None] | None = None

    def standings(self, principal: Principal) -> tuple[BudgetStanding, ...]:
        """The budgets that count a bearer's requests, as they stand; blocks. Raises `StoreError`."""
        return self.budgets.standings_now(principal.subjects, time.time())


class Door(msgspec.Struct, frozen=True):
    """How clients get in: `enter` says who asks, `find` the same from memory alone (None: nobody gets in by the short way).

    `hosts` are the names in Host headers that are answered to, None any.
    """

    enter: Authenticator
    find: Callable[[bytes], Principal | None] | None
    hosts: frozenset[str] | None
    ring: KeyRing


class Gateway(msgspec.Struct, frozen=True):
    """What a server runs: the app, and the endpoints that answer from within the protocol. `routes` are those for other settings."""

    app: App
    fast: Mapping[bytes, FastEndpoint]
    parts: GatewayParts
    routes: Callable[[Parts], Routes]


class Targets:
    """How deployments are reached, worked out once for each."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._known: dict[str, tuple[Deployment, Target]] = {}

    def find(self, deployment: Deployment) -> Target:
        """The target of a deployment. Raises `ConfigError`."""
        known = self._known.get(deployment.id)
        if known is not None and known[0] is deployment:
            return known[1]
        if len(self._known) >= 4096:
            self._known.clear()
        found = deployment_target(self.parts, deployment)
        self._known[deployment.id] = deployment, found
        return found

    def resolve(self, name: str) -> Target:
        """The target of a model as a client wrote it. Raises `ConfigError`."""
        return self.parts.resolve(name)

    def replace(self, parts: Parts) -> None:
        """Go on with other settings."""
        self.parts = parts
        self._known.clear()


def gateway(parts: Parts, http: HttpClient, books: Books, door: Door, operations: Operations, targets: Targets) -> Gateway:
    """The gateway, with the models of providers that can be called. Raises `ConfigError`."""
    own = GatewayParts(
        resolve=targets.resolve,
        router=router_of(routing_table(parts)),
        target=targets.find,
        limiter=books.limiter,
        spending=books.spending,
        http=http,
        models=callable_models(parts),
        clock=time.time,
        new_id=Ids(time.time, os.urandom),
        settled=books.settled,
        repeats=books.repeats,
        load=books.load,
        count=operations.observer.counters.event,
        decided=books.decided,
        counted=books.counted,
    )
    keys = Keys(books.keys, door.ring, time.time, books.standings)

    def routes(parts: Parts) -> Routes:
        models, server = callable_models(parts), parts.settings.gateway
        money = MoneyParts(
            store=books.spending.store,
            models=models,
            resolve=targets.resolve,
            clock=time.time,
            budgets=books.budgets,
            noting=books.keys.noting,
            stands_for=stands_for(own.router),
        )
        return build_routes(
            msgspec.structs.replace(own, models=models),
            keys=keys,
            body_limit=server.body_limit,
            operations=msgspec.structs.replace(operations, metrics=server.metrics),
            further=money_routes(money),
        )

    app = app_over(own, routes(parts), door=door.enter, hosts=door.hosts)
    operations.observer.counters.know(known_labels(app, parts))
    return Gateway(app, {} if door.find is None else fast_endpoints(own, door.find), own, routes)


def callable_models(parts: Parts) -> tuple[ModelCard, ...]:
    """The cards of providers whose key is set (or that need none), retired models left out."""
    ready = frozenset(parts.with_keys())
    return tuple(card for card in parts.catalog.cards if card.provider in ready and card.status != "retired")
