"""Everything one serving process of the gateway needs, opened in order and closed in the opposite one."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager

import msgspec

from headgate.assembly.budgets import budgets_of, journal_folder
from headgate.assembly.decisions import decision_log
from headgate.assembly.gateway import Books, Door, Gateway, Targets, gateway
from headgate.assembly.keys import key_ring, key_store
from headgate.assembly.limits import limit_of, shared_leases
from headgate.assembly.listeners import listeners
from headgate.assembly.operations import gateway_operations, known_labels, process_counters
from headgate.assembly.parts import Parts
from headgate.assembly.reloading import make_reloader
from headgate.assembly.repeating import Repeating, repeating
from headgate.assembly.routing import routing_table
from headgate.assembly.upkeep import Needs, Readings, Upkeep, tell_gauges
from headgate.config import Secret
from headgate.config.reload import Reloader
from headgate.gateway.operations import Operations
from headgate.ledger import Ledger, Receipt
from headgate.ledger.balances import Alert
from headgate.ledger.budget_book import BudgetBook
from headgate.ledger.jsonl import JsonlReceipts
from headgate.ledger.key_store import budget_of
from headgate.ledger.keys import VirtualKey
from headgate.ledger.limiter import Limiter
from headgate.ledger.limits import Limit
from headgate.ledger.overload import Overload
from headgate.ledger.principal import Principal
from headgate.ledger.spending import Spending
from headgate.ledger.webhook import Post, Webhook
from headgate.observe.counters import Counters
from headgate.observe.scrape import SnapshotFolder
from headgate.observe.trace import parse_traceparent
from headgate.router import Deployment
from headgate.serving.auth import Authenticator, KeyDoor, OpenDoor, allowed_hosts, check_binding
from headgate.serving.cache import HIT, PRICE_RULE
from headgate.serving.key_ring import KeyRing
from headgate.serving.limits import ServerLimits
from headgate.serving.load import Load
from headgate.serving.memory import memory_limit
from headgate.serving.pid_file import PidFile, pid_file
from headgate.serving.request import Request
from headgate.serving.server import Server, serve
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import parse_origin
from headgate.wire.http import Send

CANCELLED = 499
"""What is counted for a client that left: the status other servers write into their logs for it."""


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """How a process serves: the address it is bound to, its one key (None: none is asked for), where it meets its siblings, if any, and
    how many `workers` they are together."""

    host: str
    key: Secret | None
    access_log: bool = False
    folder: SnapshotFolder | None = None
    workers: int = 1


class Running(msgspec.Struct, frozen=True):
    """A gateway whose parts are open. `apply` takes other settings while it serves."""

    gateway: Gateway
    operations: Operations
    limits: ServerLimits
    apply: Callable[[Parts], None]
    readings: Readings


def server_limits(parts: Parts) -> ServerLimits:
    """What the settings let clients do to the server."""
    own = parts.settings.gateway
    return ServerLimits(header_timeout=own.header_timeout, drain=own.drain)


def limits_of(parts: Parts) -> tuple[Limit, ...]:
    """The limits of the settings, and what providers allow the deployments of its routes."""
    table = routing_table(parts)
    return (*map(limit_of, parts.settings.limits), *(limit for one in table.deployments.values() if (limit := _allowed(one)) is not None))


def _allowed(deployment: Deployment) -> Limit | None:
    allowed = deployment.limits
    found = Limit(
        subject=f"deployment:{deployment.id}",
        rpm=allowed.rpm,
        tpm=allowed.tpm,
        input_tpm=allowed.input_tpm,
        output_tpm=allowed.output_tpm,
        concurrency=allowed.concurrency,
    )
    return None if found.open else found


class KeyBooks:
    """Keeps limits and budgets in step with keys: a key is let in once both know of it."""

    def __init__(self, spending: Spending, limiter: Limiter) -> None:
        self._spending = spending
        self._limiter = limiter
        self._behind: set[str] = set()

    def learn(self, key: VirtualKey) -> None:
        """A key is let in, or has changed."""
        limits = key.limits
        own = Limit(
            subject=f"key:{key.id}",
            rpm=limits.rpm,
            tpm=limits.tpm,
            input_tpm=limits.input_tpm,
            output_tpm=limits.output_tpm,
            concurrency=limits.concurrency,
        )
        self._limiter.assign(own.subject, None if own.open else own)
        if budget_of(key) not in (None, *self._spending.accounts.budgets):
            self._behind.add(key.id)

    def knows(self, principal: Principal) -> bool:
        """Whether the budget of a bearer's key is in force here."""
        return principal.key_id not in self._behind

    async def catch_up(self) -> None:
        """Know every budget. Raises `StoreError`."""
        behind, self._behind = self._behind, set()
        try:
            await self._spending.refresh()
        except BaseException:
            self._behind |= behind
            raise


class BookedDoor:
    """A `KeyDoor` that lets nobody in before the budget of the key is in force."""

    def __init__(self, ring: KeyRing, books: KeyBooks) -> None:
        self._door = KeyDoor(ring)
        self._ring = ring
        self._books = books

    async def principal(self, request: Request) -> Principal:
        """See `Authenticator`. Raises `StoreError` while the ledger cannot say."""
        found = await self._door.principal(request)
        if not self._books.knows(found):
            await self._books.catch_up()
        return found

    def find(self, raw: bytes) -> Principal | None:
        """From memory alone."""
        found = self._ring.find(raw)
        return found if found is not None and self._books.knows(found) else None


@asynccontextmanager
async def opened(parts: Parts, opening: Opening) -> AsyncIterator[Running]:
    """Everything open while the block runs. Raises `ConfigError` for settings that cannot be, `StoreError` for no ledger."""
    check_binding(opening.host, authenticated=opening.key is not None)
    async with AsyncExitStack() as stack:
        ledger = parts.ledger()
        stack.callback(ledger.close)
        counters = process_counters(opening.folder)
        told = stack.enter_context(listeners(parts.environment.real, counters, access=opening.access_log))
        needs, readings = Needs(), Readings(counters)
        essential, others = needs.probes()
        watched = {**others, "settings": readings.probe}
        operations = gateway_operations(parts, ledger, counters, *told, folder=opening.folder, essential=essential, others=watched)
        http = await stack.enter_async_context(parts.http())
        spending = await _spending(stack, parts, ledger, http, counters)
        needs.trouble = lambda: spending.trouble
        shared = opening.folder is not None or parts.settings.database_url is not None
        needs.leases = await shared_leases(stack, parts, ledger) if shared else None
        limiter = Limiter(limits_of(parts), leases=needs.leases)
        step = KeyBooks(spending, limiter)
        ring = await stack.enter_async_context(key_ring(parts, key_store(parts, ledger), opening.key, step.learn))
        settled = _settled(stack, parts, operations)
        means = repeating(parts, ledger, counters.event, shared=shared)
        load = Load(overload(parts, opening.workers), lambda: http.told, shed=lambda reason: counters.event("shed", reason))
        load.largest_body = parts.settings.gateway.body_limit
        decided = stack.enter_context(decision_log(parts.settings.routing_log))
        budgets = BudgetBook(ledger.database)
        unheard = parts.settings.receipt_dir is None and not operations.observer.heard
        counted = counters.request if unheard else None
        books = Books(spending, limiter, key_store(parts, ledger), budgets, settled, means.repeats, load, counted, decided)
        targets = Targets(parts)
        made = gateway(parts, http, books, _door(opening, ring, step), operations, targets)
        upkeep = Upkeep(operations.readiness, budgets, means.answers, means.repeats.idempotency)
        tell_gauges(counters, made.parts, operations.readiness, upkeep)
        stack.callback(asyncio.create_task(upkeep.run(), name="upkeep").cancel)
        stack.callback(operations.readiness.stop)
        yield Running(made, operations, server_limits(parts), _applier(opening, made, books, targets, means, operations), readings)


def overload(parts: Parts, workers: int = 1) -> Overload | None:
    """The caps of one of `workers` processes: what the settings say, and its part of the memory the control group allows."""
    memory, most = memory_limit(), parts.settings.gateway.max_in_flight
    if memory is None and most is None:
        return None
    return Overload(max_in_flight=most, max_bytes=None if memory is None else memory // workers)


async def _spending(stack: AsyncExitStack, parts: Parts, ledger: Ledger, http: HttpClient, counters: Counters) -> Spending:
    alerts = parts.settings.alerts
    hook = None if alerts.webhook is None else Webhook(alerts.webhook.reveal(), _post(http), alerts.secret)
    spending = Spending(
        ledger.database,
        journal_folder(parts),
        budgets_of(parts),
        deliver=None if hook is None else _counted(hook, counters),
        count=lambda outcome, number: counters.event("receipts", outcome, number),
    )
    await spending.start()
    stack.push_async_callback(spending.stop)
    return spending


def _counted(hook: Webhook, counters: Counters) -> Callable[[Alert], Awaitable[bool]]:
    """Delivers alerts, and counts how that went."""

    async def deliver(alert: Alert) -> bool:
        taken = False
        try:
            taken = await hook.deliver(alert)
        finally:
            counters.event("alerts", "sent" if taken else "failed")
        return taken

    return deliver


def _post(http: HttpClient) -> Post:
    """Sends an alert to the address of the settings; the operator's own, so that it may be a private one."""

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        base, slash, path = url.partition("://")[2].partition("/")
        origin = parse_origin(f"{url.partition('://')[0]}://{base}", allow_private=True)
        reply = await http.request(origin, Send("POST", f"{slash or '/'}{path}", body, tuple(headers.items()), timeout=10.0))
        return reply.status

    return post


def _door(opening: Opening, ring: KeyRing, step: KeyBooks) -> Door:
    hosts = allowed_hosts(opening.host)
    if opening.key is None:
        return Door(OpenDoor(hosts), None, hosts, ring)
    booked = BookedDoor(ring, step)
    enter: Authenticator = booked
    return Door(enter, booked.find, hosts, ring)


def _settled(stack: AsyncExitStack, parts: Parts, operations: Operations) -> Callable[[Receipt, str, str | None], None]:
    """Who is told of receipts: counters, spans and the access log; files of the settings' folder."""
    folder = parts.settings.receipt_dir
    files = None if folder is None else JsonlReceipts(folder)
    if files is not None:
        stack.callback(files.close)

    def settled(receipt: Receipt, route: str, trace: str | None) -> None:
        cache = HIT if receipt.price_rule == PRICE_RULE else None
        context = None if trace is None else parse_traceparent(trace)
        operations.observer.finished(receipt, route, _status(receipt), key_id=receipt.key or "", cache=cache, trace=context)
        if files is not None:
            files.add(receipt)

    return settled


def _status(receipt: Receipt) -> int:
    """The status a client most likely saw."""
    if receipt.status == "ok":
        return 200
    if receipt.status == "cancelled":
        return CANCELLED
    last = receipt.attempts[-1].status if receipt.attempts else None
    return last if last is not None and last >= 400 else 502


def _applier(
    opening: Opening, made: Gateway, books: Books, targets: Targets, means: Repeating, operations: Operations
) -> Callable[[Parts], None]:
    def apply(parts: Parts) -> None:
        """Route, limit and reserve by other settings from now on. Raises `ConfigError`, and changes nothing then."""
        table, limits, budgets, routes = routing_table(parts), limits_of(parts), budgets_of(parts), made.routes(parts)
        targets.replace(parts)
        made.parts.router.replace(table)
        made.parts.http.renew(parts.transport)
        made.app.routes = routes
        means.renew(parts)
        books.load.renew(overload(parts, opening.workers))
        books.load.largest_body = parts.settings.gateway.body_limit
        books.limiter.replace(limits)
        books.spending.configure(budgets)
        operations.observer.counters.know(known_labels(made.app, parts))

    return apply


async def run_gateway(
    parts: Parts,
    running: Running,
    opening: Opening,
    port: int,
    ready: Callable[[str], None],
    *,
    say: Callable[[str], None],
    sock: socket.socket | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, reading the settings anew when their file changes or on SIGHUP. `ready` gets the address once it
    listens. Only a process without siblings holds the pid file: that of others is their supervisor's."""
    with ExitStack() as stack:
        alone = opening.folder is None

        def begun(server: Server) -> None:
            if alone:
                running.readings.tell(stack.enter_context(PidFile(pid_file(parts.settings.data_dir, server.port))).note)
            note, flags = running.readings.note, {"gateway_host": opening.host}
            stack.enter_context(_reloading(make_reloader(parts, running.apply, say, flags=flags, note=note)))
            running.operations.observer.counters.gauge("connections", lambda: {(): server.connections})
            settle_memory()
            ready(server.url)

        made = running.gateway
        await serve(
            made.app,
            opening.host,
            port,
            limits=running.limits,
            ready=begun,
            stopping=running.operations.readiness.stop,
            fast=made.fast,
            sock=sock,
        )


@contextmanager
def _reloading(reloader: Reloader[Parts]) -> Iterator[None]:
    """Watch the settings while the block runs; SIGHUP makes it look at once."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(reloader.run(asyncio.sleep, asyncio.to_thread))
    loop.add_signal_handler(signal.SIGHUP, reloader.ask)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        task.cancel()


def settle_memory() -> None:
    """Nothing that was made for the start is looked at by the garbage collector again, which has less to do besides."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
