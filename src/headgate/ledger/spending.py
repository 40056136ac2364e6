"""Money before and after a call, for one process: reserved before it is spent, settled after, at the speed of memory (faults E1–E12).

What a process may spend without asking lies in slabs: parts of balances that the database has set aside for it. What it is doing lies in
its journal, so that nothing is lost when it is killed. Receipts, what they cost, and what slabs shrink by are committed together, many at
a time. When the ledger cannot be written, nothing more is admitted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from headgate.errors import StoreError
from headgate.ledger.accounts import Account, Accounts, Refusal, Route, Slab, headroom_of
from headgate.ledger.alerts import Deliverer
from headgate.ledger.balances import SQL, Alert, Grant, Refused, Want, draw, give_back, state_of
from headgate.ledger.budget_book import read_budgets, sync_budgets
from headgate.ledger.budgets import Budget, Denied, check_budget
from headgate.ledger.doubts import Doubts
from headgate.ledger.flushing import Flusher
from headgate.ledger.intent import Intent
from headgate.ledger.journal import FULL, Journal
from headgate.ledger.journal_records import NO_BOUND, Context, encode_context
from headgate.ledger.moves import Move
from headgate.ledger.principal import Principal
from headgate.ledger.receipt import Receipt, new_id
from headgate.ledger.rows import charged, encoded, receipt_row
from headgate.ledger.settling import estimate, true_up
from headgate.ledger.spending_settings import SpendingSettings
from headgate.ledger.taking import Parts, Short, fit, merged, put_back, slabs_for, unbounded_by
from headgate.ledger.tending import Tender, Tending
from headgate.store.base import Store
from headgate.store.connection import Connection, Row, clock

_LOG = logging.getLogger("headgate.ledger")
RESERVED: Final = 0
SENT: Final = 1
DONE: Final = 2
WAIT = 0.02
"""Seconds between two looks for room that others may give back."""


def _uncounted(outcome: str, number: int) -> None:
    """Nobody counts."""


class Hold:
    """What is reserved for one attempt, until it is refunded or closed."""

    __slots__ = ("bound", "id", "size", "slabs", "slot", "state")

    def __init__(self, id: str, slot: int, size: int, bound: int, slabs: tuple[Slab, ...]) -> None:
        self.id = id
        self.slot = slot
        self.size = size
        self.bound = bound
        self.slabs = slabs
        self.state = RESERVED


class Spending:
    """The money of one process. Belongs to one event loop; `start` it first, `stop` it last.

    `folder` is for journals and local to the machine; `store` has the ledger's schema. `budgets` are those of the settings. `on_alert` is
    called, in the loop, for every threshold this process found reached; `sole` ends budgets of settings that are not among these, as
    whoever serves does and who only calls does not. `deliver` (`Webhook.deliver`) gets every alert of the ledger
    in order, from one process at a time, until it says that it was taken. `count` is told how many receipts were written or delayed.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        budgets: Sequence[Budget] = (),
        *,
        settings: SpendingSettings | None = None,
        now: Callable[[], float] = time.time,
        on_alert: Callable[[Alert], None] | None = None,
        deliver: Callable[[Alert], Awaitable[bool]] | None = None,
        count: Callable[[str, int], None] = _uncounted,
        sole: bool = True,
    ) -> None:
        self.store = store
        self.folder = folder
        self.settings = settings or SpendingSettings()
        self.process = new_id(now(), os.urandom(10))
        self.accounts = Accounts()
        self.overshoots = 0
        self._now = now
        self._on_alert = on_alert
        self._count = count
        self._deliverer = None if deliver is None else Deliverer(store, deliver)
        self._configured = tuple(map(check_budget, budgets))
        self._sole = sole
        self._drawing = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop
        self._doubts = Doubts(store, self.process, self.accounts)
        self._journal: Journal | None = None
        self._flusher: Flusher | None = None
        self._tender: Tender | None = None
        self._registered = False
        self._closing = False
        self._open = 0
        self._reserving: set[asyncio.Task[Hold | Denied]] = set()
        self.ahead: asyncio.Task[None] | None = None
        """What draws before it is needed, while it does."""

    # --- starting and ending ---

    async def start(self) -> None:
        """Begin. When the ledger cannot be reached, go on trying in the background; until then `ready` is False (faults E23)."""
        self._loop = asyncio.get_running_loop()
        journal = self._journal = Journal(self.folder, self.process, slots=self.settings.slots)
        flusher = self._flusher = Flusher(self.store, self.process, journal, settings=self.settings, told=self._told, count=self._count)
        tending = Tending(
            self.store, self.process, self.folder, self.settings, self._now, self._register, self._undoubt, self._told, self._deliverer
        )
        self._tender = Tender(tending, self.accounts, flusher)
        await self._tender.start()

    async def _register(self) -> int:
        """Make this process known to the ledger. Returns the number of the last change of the budgets. Raises `StoreError`."""
        process, lease, configured, sole = self.process, self.settings.lease, self._configured, self._sole
        host = f"{socket.gethostname()}:{os.getpid()}"

        def register(connection: Connection) -> tuple[int, tuple[Budget, ...]]:
            at = clock(connection)
            connection.execute(SQL["register"], {"process": process, "host": host, "now": at, "expires": at + lease})
            return sync_budgets(connection, configured, sole=sole)

        try:
            version, budgets = await self.store.write(register)
        except asyncio.CancelledError:
            self._registered = True  # for all we know
            raise
        self.accounts.replace(budgets)
        self._registered = True
        return version

    @property
    def trouble(self) -> StoreError | None:
        """Why nothing is admitted; None while all is well."""
        flusher = self._flusher
        if flusher is None or self._closing:
            return StoreError("the ledger is closed")
        if flusher.trouble is not None:
            return flusher.trouble
        if not self._registered:
            return (
                self._tender.trouble if self._tender is not None and self._tender.trouble is not None else StoreError("the ledger starts")
            )
        return None

    @property
    def ready(self) -> bool:
        """Whether requests can be admitted."""
        return self.trouble is None

    @property
    def unwritten(self) -> int:
        """Receipts that are not in the database yet."""
        return 0 if self._flusher is None else self._flusher.unwritten

    @property
    def under_way(self) -> int:
        """How many attempts are reserved and not over."""
        return self._open

    @property
    def journal_depth(self) -> int:
        """How many slots of the journal are taken: attempts under way, and closed requests that are not committed yet."""
        return 0 if self._journal is None else self._journal.used

    async def drain(self) -> None:
        """Wait until everything closed so far is committed."""
        if self._flusher is not None:
            await self._flusher.flushed()

    async def stop(self, within: float = 10.0) -> None:
        """Commit everything and give all slabs back. Attempts still under way, or what the ledger does not take within `within` seconds,
        stay in the journal for a reaper."""
        if self._journal is None or self._flusher is None or self._closing:
            return
        self._closing = True
        if self._tender is not None:
            await self._tender.stop()
        clean = await self._drained(within)
        self._flusher.stop()
        journal, self._journal = self._journal, None
        if clean and not self._open:
            journal.remove()
        else:
            journal.leave()

    async def _drained(self, within: float) -> bool:
        """Wait until reservations on their way are decided and all is committed, and give everything back. False: that was not possible."""
        process = self.process

        def leave(connection: Connection) -> None:
            if state_of(connection, process) is not None:
                give_back(connection, process)
                connection.execute(SQL["drop_process"], {"process": process})

        try:
            async with asyncio.timeout(within):
                drawing = [*self._reserving, *([] if self.ahead is None else [self.ahead])]
                if drawing:
                    await asyncio.wait(drawing)
                await self.drain()
                if self._registered and not self._open:
                    await self.store.write(leave)
        except (TimeoutError, StoreError) as error:
            _LOG.error("the ledger could not be left in order; what is open stays in %s: %s", self.folder, error)
            return False
        return True

    def configure(self, budgets: Sequence[Budget]) -> None:
        """Take these for the budgets of the settings, within a moment. Raises `ConfigError`."""
        self._configured = tuple(map(check_budget, budgets))
        if self._tender is not None:
            self._tender.outdated()

    async def refresh(self) -> None:
        """Know every budget that was made or changed until now. Raises `StoreError`."""
        _, budgets = await self.store.read_async(read_budgets)
        self.accounts.replace(budgets)

    # --- one attempt ---

    def reserve_now(self, intent: Intent) -> Hold | Denied | None:
        """Reserve in memory. None: that takes `reserve`."""
        journal = self._journal
        if journal is None or self._flusher is None or self._flusher.trouble is not None or not self._registered or self._closing:
            return None
        route = self.accounts.route(intent)
        slabs = route.slabs
        if slabs is None or not fit(slabs, intent.bound.nanos, intent.at):
            found = slabs_for(route.accounts, intent)
            if not isinstance(found, tuple):
                return found
            slabs = found
        return self._noted(journal, intent, route, slabs)

    def reserve_on(self, route: Route, id: str, at: float, bound: int | None, size: int) -> Hold | None:
        """As `reserve_now`, by a route that `accounts.route` gave, where the slabs used last have room; None: that takes `reserve_now`.

        `size` is bytes of the request.
        """
        journal, flusher, slabs = self._journal, self._flusher, route.slabs
        if journal is None or flusher is None or flusher.trouble is not None or not self._registered or self._closing:
            return None
        if slabs is None or route.outdated or not fit(slabs, bound, at):
            return None
        return self._noted_on(journal, route, slabs, id, at, bound, size)

    def _noted(self, journal: Journal, intent: Intent, route: Route, slabs: tuple[Slab, ...]) -> Hold | None:
        """Reserve an intent in slabs that have room; None when the journal is full."""
        route.use(slabs)
        return self._noted_on(journal, route, slabs, intent.id, intent.at, intent.bound.nanos, intent.request_bytes)

    def _noted_on(
        self, journal: Journal, route: Route, slabs: tuple[Slab, ...], id: str, at: float, bound: int | None, size: int
    ) -> Hold | None:
        slot, end = journal.reserve(id, at, NO_BOUND if bound is None else bound, size, route.context, route.packed)
        if slot == FULL:
            return None
        need, low = bound or 0, False
        for slab in slabs:
            if slab.hard:
                slab.free -= need
                low = low or slab.free < slab.low
            slab.open += 1
            slab.used = at
        self._open += 1
        if low and self.ahead is None:
            self.ahead = self._loop.create_task(self._draw_ahead(route.accounts, need, at))
        return Hold(id, slot, end, need, slabs)

    async def reserve(self, intent: Intent) -> Hold | Denied:
        """Reserve, drawing from the ledger what memory has not. Raises `StoreError` when the ledger cannot be reached."""
        task = asyncio.get_running_loop().create_task(self._reserve(intent))
        self._reserving.add(task)
        task.add_done_callback(self._reserving.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._abandon)
            raise

    def _abandon(self, task: asyncio.Task[Hold | Denied]) -> None:
        if not task.cancelled() and task.exception() is None and isinstance(found := task.result(), Hold):
            self.refund(found)

    async def _reserve(self, intent: Intent) -> Hold | Denied:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.settings.patience
        while True:
            trouble = self.trouble
            if trouble is not None:
                raise trouble
            async with self._drawing:
                found = self.reserve_now(intent) or await self._draw(intent)
            late = loop.time() >= deadline
            if isinstance(found, Hold | Denied):
                return found
            if found is not None and (late or not found.refused.elsewhere):
                return self._deny(intent, found)
            if late:
                raise StoreError(f"more than {self.settings.slots} attempts are under way", hint="try again in a moment")
            await asyncio.sleep(WAIT)

    async def _draw(self, intent: Intent) -> Hold | Denied | Short | None:
        """Draw what is missing, and reserve. None: the journal is full, the budgets have changed meanwhile, or all is over."""
        if self._closing:
            return None
        route = self.accounts.route(intent)
        unbounded = unbounded_by(route.accounts, intent)
        if unbounded is not None:
            return unbounded
        bound = intent.bound.nanos or 0
        with Parts(route.accounts, bound, intent.at) as parts:
            wants, process = parts.wants, self.process
            grants = await self._granted(process, wants) if wants else ()
        if isinstance(grants, Refused):
            return Short(parts.short[grants.index], grants)
        for account, want, grant in zip(parts.short, wants, grants, strict=True):
            slab = self.accounts.granted(account, grant.number, want.window)
            slab.used = intent.at
            if slab.hard:
                _fill(slab, account, grant, want)
        slabs = tuple(drawn for account in route.accounts if (drawn := account.slab_at(intent.at)) is not None)
        if self._closing or len(slabs) < len(route.accounts) or not fit(slabs, intent.bound.nanos, intent.at):
            return None
        return None if self._journal is None else self._noted(self._journal, intent, route, slabs)

    async def _granted(self, process: str, wants: Sequence[Want]) -> tuple[Grant, ...] | Refused:
        try:
            return await self.store.write(lambda connection: draw(connection, process, wants))
        except StoreError:
            self._doubts.arise()
            raise

    async def _draw_ahead(self, accounts: Sequence[Account], bound: int, at: float) -> None:
        """Draw before it is needed, where little is left: so that no request has to wait for it."""
        slabs: list[Slab] = []
        try:
            async with self._drawing:
                low = [(account, slab) for account in accounts if (slab := account.slab_at(at)) is not None and slab.free < slab.low]
                slabs = [slab for _, slab in low]
                if self._closing or not low:
                    return
                wants = [Want(account.budget, account.subject, account.window(at), 0, bound, ahead=True) for account, _ in low]
                grants = await self._granted(self.process, wants)
                if isinstance(grants, tuple):
                    for (account, _), want, grant in zip(low, wants, grants, strict=True):
                        _fill(self.accounts.granted(account, grant.number, want.window), account, grant, want)
        except StoreError as error:
            _LOG.info("nothing could be drawn ahead, so that requests wait for what they need: %s", error.message)
            for slab in slabs:
                slab.low = 0
        finally:
            self.ahead = None

    async def _undoubt(self) -> None:
        """Give back what was granted without our hearing of it, once that can be told from everything else."""
        flusher = self._flusher
        if flusher is None or not self._doubts.due:
            return
        async with self._drawing:
            if flusher.empty:
                await self._doubts.settle()

    def _deny(self, intent: Intent, short: Short) -> Denied:
        account, refused = short.account, short.refused
        slab = account.slab_at(intent.at)
        reserved = refused.held - (0 if slab is None else max(0, slab.free))
        denied = Denied(
            budget=account.budget,
            subject=account.subject,
            reason="exceeded",
            spent_nanos=refused.spent,
            reserved_nanos=reserved,
            needed_nanos=intent.bound.nanos,
            resets_at=None if account.budget.window == "total" else account.window(intent.at).ends,
        )
        account.room = max(0, account.budget.limit_nanos - refused.spent - refused.held)
        account.refusal = Refusal(denied, intent.bound.nanos or 0, intent.at, self._now() + self.settings.refusal)
        return denied

    def sent(self, hold: Hold) -> None:
        """Bytes of the attempt leave now: from here on it may be billed."""
        if hold.state != RESERVED:
            raise RuntimeError("an attempt is sent once, while it is reserved")
        if self._journal is None:
            raise StoreError("the ledger is closed")
        hold.state = SENT
        self._journal.sent(hold.slot)

    def refund(self, hold: Hold) -> None:
        """Certainly nothing was billed: free what was reserved. The hold is over."""
        if hold.state == DONE:
            raise RuntimeError("an attempt ends once")
        if self._journal is None:
            raise StoreError("the ledger is closed")
        hold.state = DONE
        self._open -= 1
        put_back(hold.slabs, hold.bound)
        self._journal.free(hold.slot)

    def close(self, receipt: Receipt, holds: Sequence[tuple[Hold, int | None]] = ()) -> None:
        """The logical request is over: its one receipt, and what each hold truly cost (nano-dollars).

        None, a cost that is not known, is booked at the bound. Returns at once; committed within about `flush_interval`, and in the
        journal before this returns.
        """
        journal, flusher = self._journal, self._flusher
        if journal is None or flusher is None:
            raise StoreError("the ledger is closed")
        stored = encoded(receipt)
        moves = tuple([move for hold, cost in holds for move in self._settled(hold, cost)])
        self._open -= len(holds)
        if moves:
            stored = charged(stored, moves if len(holds) == 1 else merged(moves))
        if holds:
            first = holds[0][0]
            slot, size = first.slot, first.size
        else:
            slot, size = self._slot_of(receipt, journal)
        if slot != FULL:
            journal.close(slot, size, stored)
        slots = (slot,) if len(holds) < 2 else (*(hold.slot for hold, _ in holds[1:]), slot)
        flusher.add(receipt_row(receipt, stored), moves, slots if slot != FULL else ())

    def lose(self, hold: Hold) -> Receipt | None:
        """Nobody can tell any more what became of an attempt: it is booked at its bound, with the receipt that a process which died would
        have left; refunded when it was never sent. None, with nothing done, for a hold that is over."""
        if hold.state == DONE or self._journal is None:
            return None
        if hold.state == RESERVED:
            self.refund(hold)
            return None
        entry = self._journal.entry(hold.slot, hold.size)
        if entry is None:
            raise StoreError(f"what {hold.id} was to cost cannot be read in {self._journal.path}")
        receipt = msgspec.structs.replace(estimate((entry,)), charges=())
        self.close(receipt, ((hold, None),))
        return receipt

    def close_one(self, hold: Hold, cost: int | None, stored: bytes, row: Row) -> None:
        """As `close`, for a request of one attempt whose receipt is `stored` already; `row` is its row without the last column."""
        journal, flusher = self._journal, self._flusher
        if journal is None or flusher is None:
            raise StoreError("the ledger is closed")
        moves = self._settled(hold, cost)
        self._open -= 1
        if moves:
            stored = charged(stored, moves)
        journal.close(hold.slot, hold.size, stored)
        flusher.add((*row, stored.decode()), moves, (hold.slot,))

    def _settled(self, hold: Hold, cost: int | None) -> tuple[Move, ...]:
        """End a hold: what it did not need is free, and what it cost is to be booked."""
        if hold.state == DONE:
            raise RuntimeError("an attempt ends once")
        hold.state = DONE
        slabs, bound = hold.slabs, hold.bound
        if not slabs:
            return ()
        spent = bound if cost is None else cost
        covered = spent if spent < bound else bound
        for slab in slabs:
            slab.open -= 1
            if slab.hard:
                slab.free += bound - covered
        if spent > bound:
            self._overshot(hold, spent)
        return tuple([Move(slab.number, spent, covered if slab.hard else 0) for slab in slabs])

    def _overshot(self, hold: Hold, spent: int) -> None:
        """Say that a budget may be exceeded, by what one request cost above its bound (faults E7)."""
        if any(slab.hard for slab in hold.slabs):
            self.overshoots += 1
            _LOG.warning(
                "%s cost %d nano-dollars, its bound was %d; a budget may be exceeded by the difference", hold.id, spent, hold.bound
            )

    def _slot_of(self, receipt: Receipt, journal: Journal) -> tuple[int, int]:
        """A slot for the receipt of a request none of whose attempts is held."""
        context = Context(face=receipt.face, provider=receipt.provider, account=receipt.account, model=receipt.model)
        return journal.reserve(receipt.id, receipt.at, 0, 0, encode_context(context), b"")

    async def close_durably(self, receipt: Receipt, holds: Sequence[tuple[Hold, int | None]] = ()) -> None:
        """As `close`, and wait for the commit, which comes about even when the wait is cancelled."""
        self.close(receipt, holds)
        await self.drain()

    # --- what is known ---

    def headroom(self, principal: Principal, provider: str, model: str) -> int | None:
        """Nano-dollars left over the hard budgets, as far as this process knows; None: there is none."""
        subjects = (*principal.subjects, f"provider:{provider}", f"model:{provider}/{model}")
        return headroom_of(self.accounts.accounts(subjects))

    async def true_up(self, receipt: str, nanos: int) -> int | None:
        """Bring a receipt to what the provider billed for it. Returns the difference posted; None when there is no such receipt."""
        return await self.store.write(lambda connection: true_up(connection, receipt, nanos))

    def _told(self, alert: Alert) -> None:
        _LOG.warning(
            "budget %s of %s: %d %% of the limit is spent (%d of %d nano-dollars)",
            alert.budget,
            alert.subject,
            alert.threshold,
            alert.spent_nanos,
            alert.limit_nanos,
        )
        if self._on_alert is not None:
            self._on_alert(alert)


def _fill(slab: Slab, account: Account, grant: Grant, want: Want) -> None:
    """Put a grant into a slab. When half of what was not needed at once is left, more is to be drawn."""
    slab.free += grant.amount
    slab.low = (grant.amount - want.need) // 2
    account.room = grant.room
