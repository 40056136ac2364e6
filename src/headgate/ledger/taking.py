"""Taking a request's bound from slabs, in memory and all at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType

import msgspec

from headgate.ledger.accounts import Account, Slab
from headgate.ledger.balances import Refused, Want
from headgate.ledger.budgets import Denied
from headgate.ledger.intent import Intent
from headgate.ledger.moves import Move


class Short(msgspec.Struct, frozen=True):
    """The account that has no room, and why."""

    account: Account
    refused: Refused


def slabs_for(accounts: Sequence[Account], intent: Intent) -> tuple[Slab, ...] | Denied | None:
    """The slabs of all accounts, each with room for the intent; a denial that is certain; None when the ledger must be asked."""
    at, bound = intent.at, intent.bound.nanos
    slabs: list[Slab] = []
    for account in accounts:
        slab = account.slab
        if bound is None and account.budget.hard:
            return account.unbounded(intent.bound.reason)
        if slab is None or not slab.starts <= at < slab.ends or slab.free < (bound or 0):
            refusal = account.refusal
            return refusal.denied if refusal is not None and refusal.holds(bound or 0, at) else None
        slabs.append(slab)
    return tuple(slabs)


def unbounded_by(accounts: Sequence[Account], intent: Intent) -> Denied | None:
    """The denial of a request without a bound, when one of the accounts may never be exceeded."""
    if intent.bound.nanos is not None:
        return None
    return next((account.unbounded(intent.bound.reason) for account in accounts if account.budget.hard), None)


def fit(slabs: Iterable[Slab], bound: int | None, at: float) -> bool:
    """Whether all of `slabs` have room for a bound and are of the window of `at`."""
    need = bound or 0
    for slab in slabs:
        if slab.free < need or at >= slab.ends or at < slab.starts:
            return False
    return bound is not None or not any(slab.hard for slab in slabs)


def put_back(slabs: Iterable[Slab], bound: int) -> None:
    """Free what was reserved in `slabs`."""
    for slab in slabs:
        if slab.hard:
            slab.free += bound
        slab.open -= 1


class Parts:
    """What memory has of a request's bound, kept from other requests within the block, and what is to be drawn for the rest.

    `short` are the accounts of `wants`. When the block is left, what was kept is free again, for the one who then takes all.
    """

    def __init__(self, accounts: Sequence[Account], bound: int, at: float) -> None:
        self.short: list[Account] = []
        self.wants: list[Want] = []
        self._kept: list[tuple[Slab, int]] = []
        for account in accounts:
            slab = account.slab_at(at)
            hard = account.budget.hard
            own = min(max(slab.free, 0), bound) if slab is not None and hard else 0
            if slab is not None:
                self._kept.append((slab, own))
            if slab is None or (hard and own < bound):
                self.short.append(account)
                self.wants.append(Want(account.budget, account.subject, account.window(at), bound - own if hard else 0, bound))

    def __enter__(self) -> Parts:
        for slab, own in self._kept:
            slab.free -= own
            slab.open += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for slab, own in self._kept:
            slab.free += own
            slab.open -= 1


def merged(moves: Iterable[Move]) -> tuple[Move, ...]:
    """Moves with those of one balance added up."""
    sums: dict[int, Move] = {}
    for each in moves:
        known = sums.get(each.balance)
        sums[each.balance] = each if known is None else Move(each.balance, known.spent + each.spent, known.held + each.held)
    return tuple(sums.values())
