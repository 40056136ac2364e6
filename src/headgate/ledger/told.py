"""Alerts that were told, for reading: the thresholds of budgets that were reached, the newest first."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headgate.domain.cost import usd_text
from headgate.ledger.alerts import alert_of
from headgate.ledger.balances import SQL, Alert, number
from headgate.ledger.moments import iso
from headgate.store.connection import Connection, Row
from headgate.wire.json import JsonObject


class Told(msgspec.Struct, frozen=True):
    """An alert, when its delivery was taken (seconds since the epoch; None: not, or there is no webhook), and how often it was tried."""

    alert: Alert
    delivered: float | None
    tries: int


def told_reading(budget: str | None, most: int) -> Callable[[Connection], tuple[Told, ...]]:
    """Reads the newest `most` alerts; only those of one budget where `budget` names it."""

    def read(connection: Connection) -> tuple[Told, ...]:
        return tuple(map(_told, connection.execute(SQL["alerts"], {"budget": budget, "most": most}).fetchall()))

    return read


def _told(row: Row) -> Told:
    return Told(alert_of(row), None if row[12] is None else float(row[12]), number(row[11]))


def told_json(told: Told) -> JsonObject:
    """As JSON: dollars as exact decimal strings, times in ISO 8601."""
    alert = told.alert
    return {
        "at": iso(alert.at),
        "budget": alert.budget,
        "subject": alert.subject,
        "threshold": alert.threshold,
        "scope": alert.scope,
        "window": alert.period,
        "action": alert.action,
        "starts": iso(alert.starts),
        "limit": usd_text(alert.limit_nanos),
        "used": usd_text(alert.spent_nanos),
        "delivered": None if told.delivered is None else iso(told.delivered),
        "tries": told.tries,
    }
