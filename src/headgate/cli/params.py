"""Kinds of option values."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

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


class Dollars(click.ParamType[int]):
    """An amount such as 2.50, as nano-dollars."""

    name = "USD"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a positive decimal number."""
        if isinstance(value, int):
            return value
        try:
            amount = Decimal(str(value).removeprefix("$"))
        except InvalidOperation:
            self.fail(f"{value!r} is not an amount; write 2.50", param, ctx)
        if not amount.is_finite() or amount <= 0:
            self.fail("the amount must be greater than zero", param, ctx)
        return int(amount * NANO)
