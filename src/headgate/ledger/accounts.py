"""The budgets as one process knows them: which count for a request, and what it may spend of each without asking."""

from __future__ import annotations

from typing import Final

import msgspec

from headgate.ledger.budgets import Budget, Denied, Window, subject_of, window_at
from headgate.ledger.intent import Intent, asker_of
from headgate.ledger.journal_records import Context, encode_context
from headgate.ledger.principal import Principal

UNLIMITED: Final = 1 << 62
MOST_ROUTES = 4096


class Slab:
    """What this process may spend of a balance in its window: `free` is not reserved, `open` counts reservations.

    The `free` of a budget that only counts is practically endless. `retired`: the budget has changed since, so that nothing more is
    reserved in it, and what gets free is given back. With less than `low` free, more is drawn before it is needed.
    """

    __slots__ = ("ends", "free", "hard", "low", "number", "open", "packed", "retired", "starts", "used")

    def __init__(self, number: int, window: Window, hard: bool) -> None:
        self.number = number
        self.packed = number.to_bytes(8, "little")
        self.starts = window.starts
        self.ends = window.ends
        self.hard = hard
        self.retired = False
        self.free = 0 if hard else UNLIMITED
        self.low = 0
        self.open = 0
        self.used = 0.0


class Refusal(msgspec.Struct, frozen=True):
    """A denial that holds for a moment: for what needs as much or more, from `since` to `until` (seconds since the epoch).

    A clock that was set back is neither.
    """

    denied: Denied
    needed: int
    since: float
    until: float

    def holds(self, bound: int, at: float) -> bool:
        """Whether it answers a request of that bound too."""
        return self.since <= at < self.until and bound >= self.needed


class Account:
    """One subject under one budget. `room` is what was left in the database, beyond all slabs, when it was last looked at."""

    __slots__ = ("budget", "refusal", "room", "slab", "subject")

    def __init__(self, budget: Budget, subject: str) -> None:
        self.budget = budget
        self.subject = subject
        self.slab: Slab | None = None
        self.room = budget.limit_nanos
        self.refusal: Refusal | None = None

    def window(self, at: float) -> Window:
        """The window of `at`."""
        return window_at(self.budget.window, at)

    def slab_at(self, at: float) -> Slab | None:
        """The slab, when it is one of the window of `at`."""
        slab = self.slab
        return slab if slab is not None and slab.starts <= at < slab.ends else None

    def unbounded(self, detail: str) -> Denied:
        """The denial of a request without a bound."""
        return Denied(budget=self.budget, subject=self.subject, reason="unbounded", detail=detail)


class Route:
    """What is the same for all requests of one bearer to one model: its accounts, and the part of their journal entries. `outdated`:
    there are other budgets meanwhile.

    `slabs` are those its last request was reserved in, which the next one tries first, and `packed` their numbers.
    """

    __slots__ = ("accounts", "context", "outdated", "packed", "principal", "slabs")

    def __init__(self, principal: Principal, context: bytes, accounts: tuple[Account, ...]) -> None:
        self.principal = principal
        self.context = context
        self.accounts = accounts
        self.slabs: tuple[Slab, ...] | None = () if not accounts else None
        self.packed = b""
        self.outdated = False

    def use(self, slabs: tuple[Slab, ...]) -> None:
        """Try these first from now on."""
        if slabs is not self.slabs:
            self.slabs = slabs
            self.packed = b"".join([slab.packed for slab in slabs])


class Accounts:
    """All accounts this process has met, and its slabs, retired ones included."""

    def __init__(self) -> None:
        self.budgets: tuple[Budget, ...] = ()
        self._accounts: dict[tuple[str, str], Account] = {}
        self._routes: dict[tuple[object, ...], Route] = {}
        self.slabs: set[Slab] = set()
        self._in_use: dict[int, tuple[Slab, Budget]] = {}

    def replace(self, budgets: tuple[Budget, ...]) -> None:
        """Take other budgets from now on. What was drawn for one that has changed is used no more."""
        kept = {budget.id: budget for budget in budgets}
        for key, account in list(self._accounts.items()):
            budget = kept.get(account.budget.id)
            if budget == account.budget:
                account.refusal = None
            else:
                del self._accounts[key]
        for number, (slab, budget) in list(self._in_use.items()):
            if kept.get(budget.id) != budget:
                slab.retired = True
                del self._in_use[number]
        self.budgets = budgets
        for route in self._routes.values():
            route.outdated = True
        self._routes.clear()

    def route(self, intent: Intent) -> Route:
        """What counts for `intent`."""
        principal = intent.principal
        key = (id(principal), intent.provider, intent.account, intent.model, intent.lane, intent.face, intent.run)
        found = self._routes.get(key)
        if found is None:
            if len(self._routes) >= MOST_ROUTES:
                for route in self._routes.values():
                    route.outdated = True
                self._routes.clear()
            found = self._routes[key] = Route(principal, encode_context(_context(intent)), self.accounts(intent.subjects))
        return found

    def accounts(self, subjects: tuple[str, ...]) -> tuple[Account, ...]:
        """The accounts of these subjects, in the order of the budgets."""
        return tuple(self._account(budget, subject) for budget in self.budgets for subject in subject_of(budget, subjects))

    def _account(self, budget: Budget, subject: str) -> Account:
        key = (budget.id, subject)
        found = self._accounts.get(key)
        if found is None:
            found = self._accounts[key] = Account(budget, subject)
        return found

    def granted(self, account: Account, number: int, window: Window) -> Slab:
        """The slab of a balance, made when this process has none, and the one `account` uses from now on."""
        slab, budget = self._in_use.get(number, (None, None))
        if slab is None or budget != account.budget:
            slab = Slab(number, window, account.budget.hard)
            self._use(account.budget, slab)
        account.slab = slab
        return slab

    def _use(self, budget: Budget, slab: Slab) -> None:
        """Reserve in this slab of its balance from now on, unless its budget was changed while it was drawn."""
        self.slabs.add(slab)
        if budget in self.budgets:
            self._in_use[slab.number] = slab, budget
        else:
            slab.retired = True

    def prune(self, now: float) -> None:
        """Forget slabs that are empty and whose window is over, and accounts that have none."""
        over = {slab for slab in self.slabs if (slab.retired or slab.ends <= now) and not slab.open and (not slab.hard or not slab.free)}
        if not over:
            return
        self.slabs -= over
        self._in_use = {number: used for number, used in self._in_use.items() if used[0] not in over}
        for account in self._accounts.values():
            if account.slab in over:
                account.slab = None


def _context(intent: Intent) -> Context:
    return Context(
        face=intent.face,
        provider=intent.provider,
        account=intent.account,
        model=intent.model,
        lane=intent.lane,
        run=intent.run,
        asker=asker_of(intent.principal),
    )


def headroom_of(accounts: tuple[Account, ...]) -> int | None:
    """The least that is left over the hard ones, as this process knows; None: none is hard."""
    left = [max(0, account.room) + (account.slab.free if account.slab is not None else 0) for account in accounts if account.budget.hard]
    return min(left, default=None)
