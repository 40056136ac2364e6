"""The budgets of GenAI-Spine's environment (SPN-31), as budgets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal, InvalidOperation

from headgate.domain.cost import NANO
from headgate.errors import ConfigError
from headgate.ledger.budgets import Action, Budget

_ACTIONS: dict[str, Action] = {"warn": "warn", "block": "block", "fallback": "degrade"}
_PERIODS = (("DAILY", "day", "0.8"), ("MONTHLY", "month", "0.9"))
MOST = Decimal(10) ** 9
"""Dollars; more is a mistake."""


def budgets_from_spine(env: Mapping[str, str]) -> tuple[Budget, ...]:
    """The budgets that ``GENAI_BUDGET_*`` describe. Raises `ConfigError` naming the variable.

    ``_DAILY`` and ``_MONTHLY`` are dollars for everybody together; ``_ACTION`` is warn (the default), block or fallback (to what costs
    less); ``_WARN_DAILY`` and ``_WARN_MONTHLY`` the fraction at which a first alert is told, before the one at the limit.
    """
    word = env.get("GENAI_BUDGET_ACTION", "").strip().lower() or "warn"
    action = _ACTIONS.get(word)
    if action is None:
        raise ConfigError(f"GENAI_BUDGET_ACTION is {word!r}", hint="use warn, block or fallback")
    return tuple(
        Budget(
            id=f"genai-{period.lower()}",
            scope="global",
            limit_nanos=usd_nanos(f"GENAI_BUDGET_{period}", text),
            window=window,
            action=action,
            thresholds=_thresholds(f"GENAI_BUDGET_WARN_{period}", env.get(f"GENAI_BUDGET_WARN_{period}", "").strip() or usual),
        )
        for period, window, usual in _PERIODS
        if (text := env.get(f"GENAI_BUDGET_{period}", "").strip())
    )


def usd_nanos(name: str, text: str) -> int:
    """Dollars as a user wrote them, in nano-dollars, rounded down. Raises `ConfigError` naming `name`."""
    amount = _decimal(name, text)
    if not 0 <= amount <= MOST:
        raise ConfigError(f"{name} is {text!r}, which is no amount of dollars from 0 to {MOST:,}")
    return int((amount * NANO).to_integral_value(ROUND_FLOOR))


def _thresholds(name: str, text: str) -> tuple[int, ...]:
    share = _decimal(name, text)
    if not Decimal("0.01") <= share <= 1:
        raise ConfigError(f"{name} is {text!r}, which is no fraction from 0.01 to 1")
    return tuple(sorted({int(share * 100), 100}))


def _decimal(name: str, text: str) -> Decimal:
    try:
        value = Decimal(text.removeprefix("$"))
    except InvalidOperation as error:
        raise ConfigError(f"{name} is {text!r}, which is no number") from error
    if not value.is_finite():
        raise ConfigError(f"{name} is {text!r}, which is no number")
    return value
