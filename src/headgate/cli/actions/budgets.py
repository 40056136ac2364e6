"""``headgate budgets``: lists, makes, changes and ends budgets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click
import msgspec
import uvloop

from headgate.assembly.keys import key_store
from headgate.assembly.parts import load_parts
from headgate.cli import sanitize
from headgate.cli.actions.output import table
from headgate.domain.cost import usd_text
from headgate.errors import UsageError
from headgate.ledger import Ledger
from headgate.ledger.budget_book import BudgetBook, InForce, check_own
from headgate.ledger.budgets import Action, Budget, check_budget
from headgate.ledger.key_store import KeyStore
from headgate.ledger.moments import iso
from headgate.ledger.rights import LOCAL
from headgate.ledger.spine_budgets import usd_nanos
from headgate.ledger.standing import budget_json, in_force_json
from headgate.ledger.told import Told, told_json, told_reading
from headgate.wire.json import encode_text

T = TypeVar("T")
COLUMNS = ("budget", "for", "window", "action", "limit", "spent", "reserved", "from")


class Desk(msgspec.Struct, frozen=True):
    """The ledger of the settings, and the audit trail that says who changed what."""

    ledger: Ledger
    keys: KeyStore

    @property
    def book(self) -> BudgetBook:
        """The budgets."""
        return BudgetBook(self.ledger.database)


def _over(action: Callable[[Desk], Awaitable[T]]) -> T:
    parts = load_parts()
    ledger = parts.ledger()

    async def run() -> T:
        return await action(Desk(ledger, key_store(parts, ledger)))

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run())
    finally:
        ledger.close()


def ls(as_json: bool) -> int:
    """See `headgate budgets ls --help`."""
    found = _over(lambda desk: desk.book.in_force(time.time()))
    if as_json:
        click.echo(encode_text([in_force_json(each) for each in found]))
    elif not found:
        click.echo("no budgets; make one: headgate budgets set all --scope global --window month --limit 50")
    else:
        click.echo(sanitize(table([line for each in found for line in _lines(each)], COLUMNS)))
    return 0


def show(id: str, as_json: bool) -> int:
    """See `headgate budgets show --help`."""
    found, told = _over(lambda desk: _read(desk, id))
    if as_json:
        click.echo(encode_text({**in_force_json(found), "alerts": [told_json(each) for each in told]}))
        return 0
    click.echo(sanitize(_said(found.budget)))
    click.echo(sanitize(table(_lines(found), COLUMNS)))
    if told:
        click.echo()
        click.echo(sanitize(_told_table(told)))
    return 0


async def _read(desk: Desk, id: str) -> tuple[InForce, tuple[Told, ...]]:
    found = await desk.book.in_force(time.time(), id)
    if not found:
        raise UsageError(f"there is no budget {id!r}", hint="headgate budgets ls")
    return found[0], await desk.ledger.database.read_async(told_reading(id, 20))


def _lines(found: InForce) -> list[tuple[str, ...]]:
    budget, come = found.budget, "headgate.yaml" if found.origin == "config" else "here"
    rows = [(each.subject, f"${usd_text(each.spent_nanos)}", f"${usd_text(each.reserved_nanos)}") for each in found.balances]
    return [
        (budget.id, subject, budget.window, budget.action, f"${usd_text(budget.limit_nanos)}", spent, reserved, come)
        for subject, spent, reserved in rows or [(budget.scope, "—", "—")]
    ]


def _said(budget: Budget) -> str:
    window = "in all" if budget.window == "total" else f"per {budget.window}"
    return f"{budget.id}: at most ${usd_text(budget.limit_nanos)} {window} for {budget.scope} ({budget.action})"


def set_(
    id: str, limit: str | None, scope: str | None, window: str | None, action: Action | None, thresholds: str | None, as_json: bool
) -> int:
    """See `headgate budgets set --help`."""
    given = {
        "limit_nanos": None if limit is None else usd_nanos("--limit", limit),
        "scope": scope,
        "window": window,
        "action": action,
        "thresholds": None if thresholds is None else _thresholds(thresholds),
    }
    budget = _over(lambda desk: _put(desk, id, {name: value for name, value in given.items() if value is not None}))
    click.echo(encode_text(budget_json(budget)) if as_json else sanitize(_said(budget)))
    return 0


async def _put(desk: Desk, id: str, given: dict[str, object]) -> Budget:
    check_own(id)
    known = next((budget for budget in await desk.book.budgets() if budget.id == id), None)
    missing = [f"--{name.removesuffix('_nanos')}" for name in ("scope", "limit_nanos", "window") if name not in given]
    if known is None and missing:
        raise UsageError(f"there is no budget {id!r} yet, and a new one needs {', '.join(missing)}", hint="headgate budgets set --help")
    base = known or Budget(id=id, scope="global", limit_nanos=0, window="total")
    budget = check_budget(msgspec.structs.replace(base, **given))
    await desk.book.set_budget(budget, desk.keys.noting("budget.set", id, budget_json(budget), LOCAL))
    return budget


def _thresholds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise UsageError(f"--thresholds is {text!r}, not whole numbers with commas between") from error


def end(id: str) -> int:
    """See `headgate budgets end --help`."""
    check_own(id)
    if not _over(lambda desk: desk.book.end_budget(id, desk.keys.noting("budget.end", id, None, LOCAL))):
        raise UsageError(f"there is no budget {id!r}", hint="headgate budgets ls")
    click.echo(sanitize(f"{id} is out of force"))
    return 0


def alerts(budget: str | None, most: int, as_json: bool) -> int:
    """See `headgate budgets alerts --help`."""
    told = _over(lambda desk: desk.ledger.database.read_async(told_reading(budget, most)))
    if as_json:
        click.echo(encode_text([told_json(each) for each in told]))
    else:
        click.echo(sanitize(_told_table(told)) if told else "nothing was told")
    return 0


def _told_table(told: tuple[Told, ...]) -> str:
    rows = [
        (
            iso(each.alert.at),
            each.alert.budget,
            each.alert.subject,
            f"{each.alert.threshold} %",
            f"${usd_text(each.alert.spent_nanos)} of ${usd_text(each.alert.limit_nanos)}",
            iso(each.delivered) if each.delivered is not None else f"no ({each.tries} tries)" if each.tries else "—",
        )
        for each in told
    ]
    return table(rows, ("at", "budget", "for", "reached", "spent", "taken by the webhook"))
