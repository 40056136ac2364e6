"""Budgets in the database: what the settings and the interface say, and how far each is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Literal, TypeAlias

import msgspec

from headgate.errors import UsageError
from headgate.ledger.balances import SQL, number, thresholds_of
from headgate.ledger.budgets import Action, Budget, check_budget, subject_of, window_at
from headgate.store.base import Store
from headgate.store.connection import Connection, Row, Value

Origin: TypeAlias = Literal["config", "api"]
Noted: TypeAlias = Callable[[Connection], object]
"""Writes what was done into the audit trail, in the transaction that does it."""


def nothing(connection: Connection) -> None:
    """No entry: the budget is not an administrator's doing."""


def check_own(id: str) -> None:
    """Raises `UsageError` for the budget of a key, which is changed with its key."""
    if id.startswith("key:") and not id.endswith("*"):
        raise UsageError(
            f"the budget {id!r} is that of a key, and changed with it", hint=f"headgate keys limit {id.removeprefix('key:')} --budget USD"
        )


class BudgetStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How far a budget is used by one subject in the window ``[starts, ends)`` (seconds since the epoch; `ends` None: for ever)."""

    budget: str
    subject: str
    scope: str
    window: str
    action: Action
    limit_nanos: int
    spent_nanos: int
    reserved_nanos: int
    starts: float
    ends: float | None
    thresholds: tuple[int, ...] = ()


class InForce(msgspec.Struct, frozen=True):
    """A budget, where it comes from, and its balances of now."""

    budget: Budget
    origin: Origin
    balances: tuple[BudgetStanding, ...] = ()


def read_budgets(connection: Connection) -> tuple[int, tuple[Budget, ...]]:
    """The number of the last change of the budgets, and all that are in force."""
    rows = connection.execute(SQL["find_budgets"]).fetchall()
    return version_of(connection), tuple(_budget(row) for row in rows)


def version_of(connection: Connection) -> int:
    """The number of the last change of the budgets."""
    row = connection.execute(SQL["budget_version"]).fetchone()
    return 0 if row is None else number(row[0])


def put_budget(connection: Connection, budget: Budget, origin: Origin) -> None:
    """Make or change a budget."""
    connection.execute(SQL["put_budget"], _row(budget, origin))
    connection.execute(SQL["change_budgets"])


def end_budget(connection: Connection, id: str) -> bool:
    """Take a budget out of force; what was booked stays. False when there is none."""
    ended = connection.execute(SQL["end_budget"], {"id": id}).rowcount == 1
    if ended:
        connection.execute(SQL["change_budgets"])
    return ended


def sync_budgets(connection: Connection, budgets: Iterable[Budget], *, sole: bool = True) -> tuple[int, tuple[Budget, ...]]:
    """Make the budgets of the settings those of the database, which keeps those made otherwise. Returns as `read_budgets`.

    Unless `sole`, it keeps those of other settings as well.
    """
    wanted = {budget.id: budget for budget in budgets}
    stored = {str(row[0]): (_budget(row), row[6]) for row in connection.execute(SQL["find_budgets"]).fetchall()}
    for id, budget in wanted.items():
        if stored.get(id) != (budget, "config"):
            put_budget(connection, budget, "config")
    for id, (_, origin) in stored.items():
        if sole and origin == "config" and id not in wanted:
            end_budget(connection, id)
    return read_budgets(connection)


class BudgetBook:
    """What there is to know of budgets, and how to change them, over any store with the ledger's schema."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def budgets(self) -> tuple[Budget, ...]:
        """Every budget in force."""
        return (await self._store.read_async(read_budgets))[1]

    async def standings(self, subjects: Sequence[str], at: float) -> tuple[BudgetStanding, ...]:
        """How far every budget that counts for one of `subjects` is used at `at` (seconds since the epoch)."""
        return await self._store.read_async(partial(_standings, subjects=subjects, at=at))

    def standings_now(self, subjects: Sequence[str], at: float) -> tuple[BudgetStanding, ...]:
        """As `standings`, blocking."""
        return self._store.read(partial(_standings, subjects=subjects, at=at))

    async def in_force(self, at: float, id: str | None = None) -> tuple[InForce, ...]:
        """Every budget, or the one named `id`, with the balances of everybody who has one in its window at `at`."""

        def read(connection: Connection) -> tuple[InForce, ...]:
            rows = connection.execute(SQL["find_budgets"]).fetchall()
            return tuple(_in_force(connection, row, at) for row in rows if id is None or row[0] == id)

        return await self._store.read_async(read)

    async def set_budget(self, budget: Budget, noted: Noted = nothing) -> None:
        """Make or change a budget; every process knows it within about a second. Raises `ConfigError`, `StoreError`."""
        check_budget(budget)

        def write(connection: Connection) -> None:
            put_budget(connection, budget, "api")
            noted(connection)

        await self._store.write(write)

    async def end_budget(self, id: str, noted: Noted = nothing) -> bool:
        """Take a budget out of force. False when there is none. One of the settings comes back with the next start."""

        def write(connection: Connection) -> bool:
            ended = end_budget(connection, id)
            if ended:
                noted(connection)
            return ended

        return await self._store.write(write)


def _standings(connection: Connection, subjects: Sequence[str], at: float) -> tuple[BudgetStanding, ...]:
    budgets = read_budgets(connection)[1]
    return tuple(standing(connection, budget, subject, at) for budget in budgets for subject in subject_of(budget, subjects))


def _in_force(connection: Connection, row: Row, at: float) -> InForce:
    budget = _budget(row)
    subjects = connection.execute(SQL["subjects"], _since(budget, at)).fetchall()
    balances = tuple(standing(connection, budget, str(found[0]), at) for found in subjects)
    return InForce(budget, "config" if row[6] == "config" else "api", balances)


def _since(budget: Budget, at: float) -> dict[str, Value]:
    window = window_at(budget.window, at)
    return {"budget": budget.id, "counts_from": window.counts_from, "ends": window.ends}


def standing(connection: Connection, budget: Budget, subject: str, at: float) -> BudgetStanding:
    """How far `budget` is used by `subject` at `at`."""
    window = window_at(budget.window, at)
    key: dict[str, Value] = {"budget": budget.id, "subject": subject, "counts_from": window.counts_from, "ends": window.ends}
    row = connection.execute(SQL["used"], key).fetchall()[0]
    return BudgetStanding(
        budget=budget.id,
        subject=subject,
        scope=budget.scope,
        window=budget.window,
        action=budget.action,
        limit_nanos=budget.limit_nanos,
        spent_nanos=number(row[0]),
        reserved_nanos=number(row[1]),
        starts=window.counts_from,
        ends=None if budget.window == "total" else window.ends,
        thresholds=budget.thresholds,
    )


def _budget(row: Row) -> Budget:
    return Budget(
        id=str(row[0]),
        scope=str(row[1]),
        limit_nanos=number(row[2]),
        window=str(row[3]),
        action=msgspec.convert(row[4], Action),
        thresholds=thresholds_of(str(row[5])),
    )


def _row(budget: Budget, origin: Origin) -> dict[str, Value]:
    return {
        "id": budget.id,
        "scope": budget.scope,
        "limit_nanos": budget.limit_nanos,
        "period": budget.window,
        "action": budget.action,
        "thresholds": ",".join(map(str, budget.thresholds)),
        "origin": origin,
    }
