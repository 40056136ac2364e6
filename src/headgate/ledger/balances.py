"""Balances in the database: drawing slabs, moving what was held to what is spent, and telling when thresholds are reached.

Every function here runs inside a write transaction, and all writers take turns, so what one reads holds until its commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf

import msgspec

from headgate.errors import StoreError
from headgate.ledger.budgets import Action, Budget, Window, crossed, decide_draw, window_at
from headgate.ledger.moves import Move
from headgate.store.connection import Connection, Row, Value, clock
from headgate.store.statements import Statements

SQL = Statements.load("money")
TIGHT = 5.0
"""Seconds for which nobody draws more than it needs, after somebody was turned away."""
LIVE, LOST = "live", "lost"


class Want(msgspec.Struct, frozen=True):
    """What a process needs of a balance, beyond what it has, for a request of that `bound`. `window` is that of the request.

    `ahead`: nothing is needed now, but soon will be.
    """

    budget: Budget
    subject: str
    window: Window
    need: int
    bound: int
    ahead: bool = False


class Grant(msgspec.Struct, frozen=True):
    """The number of a balance, what the process may spend of it from now on, and what is left besides."""

    number: int
    amount: int
    room: int


class Refused(msgspec.Struct, frozen=True):
    """Want number `index` does not fit. `elsewhere`: other processes hold some that they may not need."""

    index: int
    spent: int
    held: int
    elsewhere: bool


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold (per cent of the limit) that was reached."""

    at: float
    budget: str
    subject: str
    scope: str
    period: str
    starts: float
    threshold: int
    action: Action
    limit_nanos: int
    spent_nanos: int


class Limits(msgspec.Struct, frozen=True):
    """A budget as the database has it."""

    limit: int
    thresholds: tuple[int, ...]
    action: Action
    period: str
    scope: str


def limits_of(connection: Connection, budget: str) -> Limits | None:
    """The budget `budget`; None when there is none (any more)."""
    row = connection.execute(SQL["budget_limit"], {"budget": budget}).fetchone()
    if row is None:
        return None
    return Limits(number(row[0]), thresholds_of(str(row[1])), msgspec.convert(row[2], Action), str(row[3]), str(row[4]))


def thresholds_of(text: str) -> tuple[int, ...]:
    """Thresholds as they are stored: numbers with commas between."""
    return tuple(int(each) for each in text.split(",") if each)


def number(value: object) -> int:
    """An integer as a database gives it: PostgreSQL's sums are decimals."""
    return int(str(value))


def draw(connection: Connection, process: str, wants: Sequence[Want]) -> tuple[Grant, ...] | Refused:
    """Set aside what `process` wants of every balance, or nothing. Balances are made when they are not there (faults E2)."""
    revive_if_lost(connection, process)
    now = clock(connection)
    grants: list[Grant] = []
    for index, want in enumerate(wants):
        found = _offer(connection, process, want, now)
        if isinstance(found, Grant):
            grants.append(found)
        else:
            return msgspec.structs.replace(found, index=index)
    for grant in grants:
        if grant.amount:
            connection.execute(SQL["hold"], {"balance": grant.number, "amount": grant.amount})
            connection.execute(SQL["put_slab"], {"process": process, "balance": grant.number, "amount": grant.amount})
    return tuple(grants)


def _offer(connection: Connection, process: str, want: Want, now: float) -> Grant | Refused:
    starts, ends = want.window.starts, None if want.window.ends == inf else want.window.ends
    key: dict[str, Value] = {"budget": want.budget.id, "subject": want.subject, "starts": starts}
    connection.execute(SQL["make_balance"], {**key, "ends": ends})
    balance, _, wanted = _one(connection, "find_balance", key)
    if not want.budget.hard:
        return Grant(number(balance), 0, 0)
    limits = limits_of(connection, want.budget.id)
    limit = want.budget.limit_nanos if limits is None else limits.limit
    spent, held = map(number, _one(connection, "used", {**key, "counts_from": want.window.counts_from, "ends": want.window.ends}))
    tight = now - float(wanted or 0) < TIGHT
    amount = decide_draw(limit, spent + held, want.need, bound=want.bound, tight=tight, ahead=want.ahead)
    if amount is not None:
        return Grant(number(balance), amount, limit - spent - held - amount)
    others = number(_one(connection, "held_by_others", {"balance": balance, "process": process})[0])
    if others:
        connection.execute(SQL["want"], {"balance": balance, "now": now})
    return Refused(0, spent, held, bool(others))


def _one(connection: Connection, statement: str, values: Mapping[str, Value]) -> Row:
    rows = connection.execute(SQL[statement], values).fetchall()
    if not rows:
        raise _lost()
    return rows[0]


def _lost() -> StoreError:
    return StoreError("the ledger has lost a balance", hint="headgate doctor")


def move(connection: Connection, process: str, moves: Iterable[Move]) -> list[Alert]:
    """Book moves, those of one balance together. Returns the thresholds that were reached for the first time, which are recorded.

    A balance that is no more (`old_balances`) counts for nothing; nothing of it can be held.
    """
    sums: dict[int, list[int]] = {}
    for each in moves:
        total = sums.get(each.balance)
        if total is None:
            sums[each.balance] = [each.spent, each.held]
        else:
            total[0] += each.spent
            total[1] += each.held
    alerts: list[Alert] = []
    known: dict[str, Limits | None] = {}
    for balance, (spent, held) in sorted(sums.items()):
        row = connection.execute(SQL["settle_balance"], {"balance": balance, "spent": spent, "held": held}).fetchone()
        if row is None and not held:
            continue
        if row is None:
            raise _lost()
        if held:
            connection.execute(SQL["shrink_slab"], {"process": process, "balance": balance, "held": held})
        if spent > 0:
            budget = str(row[0])
            if budget not in known:
                known[budget] = limits_of(connection, budget)
            alerts += _told(connection, known[budget], row)
    return alerts


def _told(connection: Connection, limits: Limits | None, row: Row) -> list[Alert]:
    """Record the thresholds a balance has reached anew: ``budget, subject, starts, spent`` of it."""
    if limits is None or not limits.thresholds:
        return []
    budget, subject, starts, spent = str(row[0]), str(row[1]), float(row[2] or 0), number(row[3])
    key: dict[str, Value] = {"budget": budget, "subject": subject, "starts": starts}
    statement = "told"
    if limits.period.startswith("rolling"):
        window = window_at(limits.period, starts)
        key |= {"counts_from": window.counts_from, "ends": window.ends}
        spent, statement = number(_one(connection, "used", key)[0]), "told_lately"
    if not crossed(limits.limit, spent, limits.thresholds):
        return []
    told = number(_one(connection, statement, key)[0])
    alerts = [
        Alert(
            at=clock(connection),
            budget=budget,
            subject=subject,
            scope=limits.scope,
            period=limits.period,
            starts=starts,
            threshold=threshold,
            action=limits.action,
            limit_nanos=limits.limit,
            spent_nanos=spent,
        )
        for threshold in crossed(limits.limit, spent, limits.thresholds, told)
    ]
    for alert in alerts:
        connection.execute(SQL["put_alert"], msgspec.structs.asdict(alert))
    return alerts


def give_back(connection: Connection, process: str) -> None:
    """Free everything `process` still holds."""
    revive_if_lost(connection, process)
    for balance, amount in slabs_of(connection, process):
        connection.execute(SQL["settle_balance"], {"balance": balance, "spent": 0, "held": amount})
    connection.execute(SQL["drop_slabs"], {"process": process})


def slabs_of(connection: Connection, process: str) -> list[tuple[int, int]]:
    """Balance and amount of every slab of `process`."""
    return [(number(row[0]), number(row[1])) for row in connection.execute(SQL["slabs_of"], {"process": process}).fetchall()]


def state_of(connection: Connection, process: str) -> str | None:
    """``live`` or ``lost``; None for a process that is not registered."""
    row = connection.execute(SQL["find_process"], {"process": process}).fetchone()
    return None if row is None else str(row[0])


def revive_if_lost(connection: Connection, process: str) -> None:
    """Take back that a process was lost. Raises `StoreError` when it is not registered at all."""
    state = state_of(connection, process)
    if state is None:
        raise StoreError("this process is not registered in the ledger (any more)", hint="start it again")
    if state == LOST:
        _pass(connection, process, "found", -1)
        connection.execute(SQL["set_state"], {"process": process, "state": LIVE})


def mark_lost(connection: Connection, process: str) -> None:
    """Count all of a process's slabs as spent: it has not been heard of for too long, and nobody here can read its journal."""
    _pass(connection, process, "lost", 1)
    connection.execute(SQL["set_state"], {"process": process, "state": LOST})


def _pass(connection: Connection, process: str, kind: str, sign: int) -> None:
    """Move slabs from held to spent (`sign` 1) or back (-1). The slabs stay, so that it can be undone."""
    for balance, amount in slabs_of(connection, process):
        if amount:
            connection.execute(SQL["settle_balance"], {"balance": balance, "spent": sign * amount, "held": sign * amount})
            post(connection, kind, sign * amount, balance=balance, process=process)


def post(
    connection: Connection, kind: str, nanos: int, *, balance: int | None = None, receipt: str | None = None, process: str | None = None
) -> None:
    """Append a correction."""
    row: dict[str, Value] = {
        "at": clock(connection),
        "kind": kind,
        "balance": balance,
        "receipt": receipt,
        "process": process,
        "nanos": nanos,
    }
    connection.execute(SQL["post"], row)
