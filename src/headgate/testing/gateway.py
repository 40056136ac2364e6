"""A gateway over the simulator, both on real sockets and in threads of their own, for tests that speak HTTP to it.

::

    with running_gateway(tmp_path) as rig:
        openai.OpenAI(base_url=rig.url + "/v1", api_key=rig.key)
"""

from __future__ import annotations

import asyncio
import random
import secrets
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from headgate.assembly.serving import KeyBooks
from headgate.catalog.cards import Catalog, day_of
from headgate.catalog.load import load_catalog
from headgate.catalog.resolve import resolve
from headgate.client import Credential, Target
from headgate.config import Secret, missing_key, redact
from headgate.config.route_settings import RouteSettings, RoutingSettings
from headgate.gateway.app import build_app
from headgate.gateway.endpoints.keys import Keys
from headgate.gateway.fast.table import fast_endpoints
from headgate.gateway.money_parts import MoneyParts, stands_for
from headgate.gateway.money_routes import money_routes
from headgate.gateway.operations import plain_operations
from headgate.gateway.parts import GatewayParts
from headgate.gateway.repeats import Repeats
from headgate.ledger import Filter, Ledger, Receipt, new_id
from headgate.ledger.budget_book import BudgetBook
from headgate.ledger.budgets import Budget
from headgate.ledger.key_form import Pepper
from headgate.ledger.key_store import KeyStore
from headgate.ledger.limiter import Limiter
from headgate.ledger.limits import Limit
from headgate.ledger.spending import Spending
from headgate.observe.counters import Counters
from headgate.providers import PROVIDERS
from headgate.router import ProviderFacts, Router, RoutingTable, Surroundings
from headgate.serving.app import App
from headgate.serving.auth import KeyDoor, OpenDoor, allowed_hosts, fixed_keys
from headgate.serving.cache import LayeredCache, ResponseCache
from headgate.serving.cache_control import CacheRule
from headgate.serving.key_ring import KeyRing
from headgate.serving.limits import BODY_LIMIT, ServerLimits
from headgate.serving.load import Load
from headgate.serving.recorder import Recorder
from headgate.serving.routes import Route
from headgate.serving.server import Server
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.testing.raw_http import KEY
from headgate.testing.simulators import target_at
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import TransportSettings

T = TypeVar("T")


PATIENCE = 10.0
TWIN = "twin"
"""A further account of every simulated provider, with the same key."""
ROUTING = RoutingSettings()
NO_ALIASES: dict[str, str] = {}
PEPPER = "pepper-for-tests-0123456789abcdef"


def sim_resolver(sim_url: str, catalog: Catalog | None = None, account: str = "default") -> Callable[[str], Target]:
    """A `resolve` that knows every model of the catalog, has keys for simulated providers only, and finds those at `sim_url`."""
    cards = catalog or load_catalog()

    def find(name: str) -> Target:
        found = resolve(name, None, cards, PROVIDERS)
        provider = PROVIDERS[found.provider]
        if provider.auth.default is None:
            raise missing_key(provider.label, provider.auth.env)
        credential = Credential(account, Secret(provider.auth.default))
        return target_at(provider, sim_url, found.model, credential, found.card)

    return find


def with_completions(target: Target) -> Target:
    """`target` on OpenAI's simulated wire takes text completions for every model, which the real one does for few."""
    if target.provider.name != "sim-openai":
        return target
    return replace(target, provider=replace(target.provider, serves=None))


def sim_table(
    catalog: Catalog, routing: RoutingSettings = ROUTING, routes: Sequence[RouteSettings] = (), aliases: Mapping[str, str] = NO_ALIASES
) -> RoutingTable:
    """Names and what they stand for, where simulated providers alone can be called."""
    facts = {}
    for name, provider in PROVIDERS.items():
        entry = catalog.providers.get(name)
        facts[name] = ProviderFacts(
            name=name,
            default_model=provider.default_model,
            capabilities=provider.capabilities,
            traits=frozenset(entry.traits) if entry is not None else frozenset(),
            missing=None
            if provider.auth.default is not None
            else f"no key for {provider.label}: {' or '.join(provider.auth.env)} is not set",
            simulated=provider.simulated,
            accounts={TWIN: None} if provider.simulated else {},
        )
    return RoutingTable(
        Surroundings(catalog=catalog, providers=facts, day=day_of(time.time()), routing=routing, routes=routes, aliases=aliases)
    )


def fresh_id() -> str:
    """A receipt id of now."""
    return new_id(time.time(), secrets.token_bytes(10))


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """What else a gateway is set up with."""

    transport: TransportSettings = TransportSettings()
    budgets: tuple[Budget, ...] = ()
    limits: tuple[Limit, ...] = ()
    routing: RoutingSettings = ROUTING
    routes: tuple[RouteSettings, ...] = ()
    aliases: dict[str, str] = {}
    fast: bool = True
    """Ordinary requests are answered from within the protocol."""


ONCE = Gate(routing=RoutingSettings(attempts=1))
"""Every request is tried once: what a provider fails with is what the client sees."""


class Rig:
    """A running gateway: `url` without ``/v1``, its `key`, the simulator behind it, its virtual `keys`, and its books."""

    def __init__(self, sim: Simulator, ledger: Ledger, folder: Path, key: str, gate: Gate) -> None:
        self.sim = sim
        self.ledger = ledger
        self.changed = threading.Condition()
        self.gate = gate
        self.spending = Spending(ledger.database, folder / "journal", gate.budgets)
        self.limiter = Limiter(gate.limits)
        self.parts: GatewayParts | None = None
        self.key = key
        self.url = ""
        self.http = HttpClient(gate.transport)
        self.loop = asyncio.new_event_loop()
        self.server: Server | None = None
        self.app: App | None = None
        self.keys = KeyStore(ledger.database, Pepper(Secret(PEPPER)))
        self.ring: KeyRing | None = None
        self.operations = plain_operations()
        self.load = Load(others=lambda: self.http.told, shed=lambda reason: self.counters.event("shed", reason))
        self.repeats = Repeats(recorder=Recorder(folder / "recordings", redact), count=self.counters.event)
        self.traces: list[str | None] = []
        """What the requests said of their trace, in the order they were settled."""

    @property
    def counters(self) -> Counters:
        """What is counted."""
        return self.operations.observer.counters

    def caching(self, longest: int = 3600) -> None:
        """Answers may be cached from now on, for at most `longest` seconds; none is there yet."""
        self.repeats.use(CacheRule(enabled=True, longest=longest), LayeredCache(ResponseCache()))

    def receipts(self, count: int) -> list[Receipt]:
        """All receipts, oldest first, as soon as there are `count` of them; raises `AssertionError` when that takes too long."""
        with self.changed:
            there = self.changed.wait_for(lambda: len(self.all_receipts()) >= count, PATIENCE)
        found = self.all_receipts()
        assert there and len(found) == count, f"{len(found)} receipts instead of {count}"
        return found

    def all_receipts(self) -> list[Receipt]:
        """The receipts that are written by now, oldest first."""
        return sorted(self.ledger.list(Filter(limit=10_000)), key=lambda receipt: receipt.id)

    async def drain(self) -> None:
        """Return when the receipt of every answered request is written."""
        assert self.app is not None
        await self.app.stop()

    def settled(self, receipt: Receipt, route: str, trace: str | None) -> None:
        """A receipt is on its way: say so once it is written."""
        self.traces.append(trace)
        task = self.loop.create_task(self._written())
        assert self.parts is not None
        self.parts.keep(task)

    async def _written(self) -> None:
        await self.spending.drain()
        with self.changed:
            self.changed.notify_all()

    def calm(self) -> None:
        """Take every provider to be well again."""
        assert self.parts is not None
        self.loop.call_soon_threadsafe(self.parts.router.reset)

    def run(self, work: Coroutine[None, None, T]) -> T:
        """Run `work` on the gateway's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)


@contextmanager
def running_gateway(
    folder: Path,
    *,
    settings: SimSettings | None = None,
    limits: ServerLimits | None = None,
    key: str | None = KEY,
    admin_key: str | None = None,
    host: str = "127.0.0.1",
    body_limit: int | None = None,
    change: Callable[[Target], Target] | None = None,
    around: Callable[[App], App] | None = None,
    gate: Gate | None = None,
    further: Callable[[Rig], tuple[Route, ...]] | None = None,
) -> Iterator[Rig]:
    """Run simulator and gateway while the block runs.

    `key` None serves without one; `admin_key` administers virtual keys; `folder` holds the ledger; `change` alters
    targets; `around` puts something between server and gateway; `gate` bounds, limits and routes; `further`
    makes routes in the place of those of money.
    """
    with ExitStack() as stack:
        sim = stack.enter_context(Simulator(settings or SimSettings(seed=7)).run_in_thread())
        ledger = Ledger.open(folder / "ledger.db")
        stack.callback(ledger.close)
        rig = Rig(sim, ledger, folder, key or "", gate or Gate())
        rig.parts = _parts(rig, change)
        made = _money_routes(rig, rig.parts) if further is None else further(rig)
        rig.app = app = _app(rig, rig.parts, _ring(rig, key, admin_key), key is not None, host, body_limit, made)
        stack.enter_context(_serving(rig, app if around is None else around(app), host, limits))
        yield rig


def _ring(rig: Rig, key: str | None, admin_key: str | None) -> KeyRing:
    fixed = fixed_keys(None if key is None else Secret(key), None if admin_key is None else Secret(admin_key))
    rig.ring = KeyRing(rig.keys, fixed, random=secrets.token_bytes(32), on_key=KeyBooks(rig.spending, rig.limiter).learn)
    return rig.ring


def _parts(rig: Rig, change: Callable[[Target], Target] | None) -> GatewayParts:
    catalog = load_catalog()
    find = sim_resolver(rig.sim.url, catalog)
    resolve = find if change is None else lambda name: change(find(name))
    return GatewayParts(
        resolve=resolve,
        router=Router(sim_table(catalog, rig.gate.routing, rig.gate.routes, rig.gate.aliases), random.Random(7).random),
        target=lambda deployment: resolve(deployment.name),
        limiter=rig.limiter,
        spending=rig.spending,
        http=rig.http,
        models=catalog.cards,
        clock=time.time,
        new_id=fresh_id,
        settled=rig.settled,
        repeats=rig.repeats,
        load=rig.load,
        count=rig.counters.event,
    )


def _app(rig: Rig, parts: GatewayParts, ring: KeyRing, auth: bool, host: str, body_limit: int | None, further: tuple[Route, ...]) -> App:
    rig.load.largest_body = limit = BODY_LIMIT if body_limit is None else body_limit
    hosts = allowed_hosts(host)
    door = KeyDoor(ring) if auth else OpenDoor(hosts)
    keys = Keys(rig.keys, ring, time.time)
    return build_app(parts, door=door, keys=keys, hosts=hosts, body_limit=limit, operations=rig.operations, further=further)


def _money_routes(rig: Rig, parts: GatewayParts) -> tuple[Route, ...]:
    store, budgets = rig.ledger.database, BudgetBook(rig.ledger.database)
    money = MoneyParts(store=store, models=parts.models, resolve=parts.resolve, clock=time.time, budgets=budgets)
    return money_routes(msgspec.structs.replace(money, stands_for=stands_for(parts.router)))


@contextmanager
def _serving(rig: Rig, app: App, host: str, limits: ServerLimits | None) -> Iterator[None]:
    """Serve from a thread with a loop of its own while the block runs."""
    started, leave = threading.Event(), asyncio.Event()

    async def main() -> None:
        assert rig.ring is not None
        assert rig.parts is not None
        await rig.spending.start()
        fast = fast_endpoints(rig.parts, rig.ring.find) if rig.key and rig.gate.fast else {}
        async with rig.http, rig.ring, Server(app, host, 0, limits, fast=fast) as rig.server:
            rig.url = rig.server.url
            started.set()
            await leave.wait()
        await rig.spending.stop()

    thread = threading.Thread(target=rig.loop.run_until_complete, args=(main(),), name="headgate-gateway")
    thread.start()
    try:
        assert started.wait(PATIENCE), "the gateway did not start"
        yield
    finally:
        rig.loop.call_soon_threadsafe(leave.set)
        thread.join()
        rig.loop.close()
