"""``headgate budgets``: lists, makes, changes and ends budgets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click
import msgspec
import uvloop

from headgate.assembly.parts import load_parts
from headgate.cli.actions.output import table
from headgate.domain.cost import usd_text
from headgate.errors import UsageError
from headgate.ledger.budget_book import BudgetBook, BudgetStanding
from headgate.ledger.budgets import Action, Budget, check_budget
from headgate.ledger.spine_budgets import usd_nanos
from headgate.wire.json import JsonObject, encode_text

T = TypeVar("T")


def _over(action: Callable[[BudgetBook], Awaitable[T]]) -> T:
    ledger = load_parts().ledger()

    async def run() -> T:
        return await action(BudgetBook(ledger.database))

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run())
    finally:
        ledger.close()


def ls(as_json: bool) -> int:
    """See `headgate budgets ls --help`."""
    budgets, standings = _over(_read)
    if as_json:
        click.echo(
            encode_text({"budgets": [_budget_json(each) for each in budgets], "balances": [_standing_json(each) for each in standings]})
        )
        return 0
    used = {each.id: [found for found in standings if found.budget == each.id] for each in budgets}
    lines = [line for budget in budgets for line in _lines(budget, used[budget.id])]
    click.echo(table(lines, ("budget", "for", "window", "action", "limit", "spent", "reserved")) if lines else "no budgets")
    return 0


async def _read(book: BudgetBook) -> tuple[tuple[Budget, ...], tuple[BudgetStanding, ...]]:
    return await book.budgets(), await book.balances(time.time())


def _lines(budget: Budget, found: list[BudgetStanding]) -> list[tuple[str, ...]]:
    limit = f"${usd_text(budget.limit_nanos)}"
    if not found:
        return [(budget.id, budget.scope, budget.window, budget.action, limit, "—", "—")]
    return [
        (
            budget.id,
            each.subject,
            budget.window,
            budget.action,
            limit,
            f"${usd_text(each.spent_nanos)}",
            f"${usd_text(each.reserved_nanos)}",
        )
        for each in found
    ]


def _budget_json(budget: Budget) -> JsonObject:
    document: JsonObject = msgspec.to_builtins(budget)
    document["limit"] = usd_text(document.pop("limit_nanos"))
    return document


def _standing_json(standing: BudgetStanding) -> JsonObject:
    document: JsonObject = msgspec.to_builtins(standing)
    for name in ("limit", "spent", "reserved"):
        document[name] = usd_text(document.pop(f"{name}_nanos"))
    return document


def set_(id: str, limit: str | None, scope: str | None, window: str | None, action: Action | None, thresholds: str | None) -> int:
    """See `headgate budgets set --help`."""
    given = {
        "limit_nanos": None if limit is None else usd_nanos("--limit", limit),
        "scope": scope,
        "window": window,
        "action": action,
        "thresholds": None if thresholds is None else _thresholds(thresholds),
    }
    budget = _over(lambda book: _put(book, id, {name: value for name, value in given.items() if value is not None}))
    click.echo(f"{budget.id}: at most ${usd_text(budget.limit_nanos)} per {budget.window} for {budget.scope} ({budget.action})")
    return 0


async def _put(book: BudgetBook, id: str, given: dict[str, object]) -> Budget:
    known = next((budget for budget in await book.budgets() if budget.id == id), None)
    missing = [f"--{name.removesuffix('_nanos')}" for name in ("scope", "limit_nanos", "window") if name not in given]
    if known is None and missing:
        raise UsageError(f"there is no budget {id!r} yet, and a new one needs {', '.join(missing)}", hint="headgate budgets set --help")
    base = known or Budget(id=id, scope="global", limit_nanos=0, window="total")
    budget = check_budget(msgspec.structs.replace(base, **given))
    await book.set_budget(budget)
    return budget


def _thresholds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise UsageError(f"--thresholds is {text!r}, not whole numbers with commas between") from error


def rm(id: str) -> int:
    """See `headgate budgets rm --help`."""
    if not _over(lambda book: book.end_budget(id)):
        raise UsageError(f"there is no budget {id!r}", hint="headgate budgets ls")
    click.echo(f"{id} is out of force")
    return 0
