"""Kinds of option values."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import click

from headgate.domain.cost import NANO


class Duration(click.ParamType[float]):
    """A time such as 90s, 30m or 1h30m, as seconds."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read hours, minutes and seconds, in this order, each with its letter."""
        if isinstance(value, float):
            return value
        found = _DURATION.fullmatch(str(value))
        seconds = sum(int(n or 0) * unit for n, unit in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0
        if not seconds:
            self.fail(f"{value!r} is not a time; write 90s, 30m or 1h30m", param, ctx)
        return float(seconds)


_DURATION = re.compile(r"(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?")


class When(click.ParamType[float]):
    """A day (2026-11-30, its beginning in UTC), a moment in ISO 8601 (UTC where no zone is given), or 7d, 12h, 30m ago; epoch seconds."""

    name = "WHEN"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read one of the forms."""
        if isinstance(value, float):
            return value
        ago = _AGO.fullmatch(str(value))
        if ago:
            return time.time() - int(ago[1]) * _UNITS[ago[2]]
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time; write 2026-11-30, 2026-11-30T12:00, 7d or 12h", param, ctx)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


_AGO = re.compile(r"(\d{1,5})([dhm])", re.ASCII)
_UNITS = {"d": 86400, "h": 3600, "m": 60}


class Dollars(click.ParamType[int]):
    """An amount such as 2.50, as nano-dollars."""

    name = "USD"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a decimal number from a nano-dollar to a billion."""
        if isinstance(value, int):
            return value
        try:
            amount = Decimal(str(value).removeprefix("$"))
        except InvalidOperation:
            self.fail(f"{value!r} is not an amount; write 2.50", param, ctx)
        if not amount.is_finite() or amount <= 0:
            self.fail("the amount must be greater than zero", param, ctx)
        if not Decimal(1) / NANO <= amount <= MOST_DOLLARS:
            self.fail(f"the amount must be between 0.000000001 and {MOST_DOLLARS:,}", param, ctx)
        return int(amount * NANO)


MOST_DOLLARS = 1_000_000_000
"""What an amount of nano-dollars surely has room for."""


F = TypeVar("F", bound=Callable[..., object])


def with_options(function: F, options: Iterable[Callable[[F], F]]) -> F:
    """`function` as a command with these options, in their order."""
    for option in reversed(tuple(options)):
        function = option(function)
    return function


def going_on(function: F) -> F:
    """The options of commands that go on with a run."""
    options = (
        click.option("--max-cost", type=Dollars(), help="Stop before more than this is spent, earlier costs included."),
        click.option("--concurrency", type=click.IntRange(1, 4096), help="Calls in flight at once, per provider, account and model."),
        click.option("--timeout", type=Duration(), help="Pause after this long (30m, 2h, 1h30m), with exit code 3."),
        click.option("--api-key", help="The provider's key, for once; others on this machine may see it: prefer the environment or .env."),
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option("-q", "--quiet", is_flag=True, help="No progress."),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
    )
    return with_options(function, options)


def in_whose_name(function: F) -> F:
    """The options that say whose budgets a call counts for, and what it may cost."""
    options = (
        click.option("--budget", type=Dollars(), help="Dollars that the call, or all calls of the run, may cost at most."),
        click.option("--user", metavar="NAME", help="The user whose budgets it counts for."),
        click.option("--tag", "tags", multiple=True, metavar="NAME", help="A tag whose budgets it counts for; may be repeated."),
        click.option("--run", metavar="NAME", help="The run it is a part of."),
    )
    return with_options(function, options)
