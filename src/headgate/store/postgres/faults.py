"""What PostgreSQL reports, as `StoreError` with something to do about it. Told apart by SQLSTATE (its manual, appendix A)."""

from __future__ import annotations

import psycopg

from headgate.errors import StoreError

_DOCTOR = "headgate doctor"
_FAULTS: dict[str, tuple[str, str]] = {
    "08": ("the connection was lost", _DOCTOR),
    "25006": ("it is read-only, as a standby is", "name all hosts in HEADGATE_DATABASE_URL, with target_session_attrs=read-write"),
    "25P03": ("a transaction was idle for too long and was ended", _DOCTOR),
    "28": ("the login was refused", "check user and password in HEADGATE_DATABASE_URL"),
    "3D000": ("there is no such database", "createdb NAME"),
    "3F000": ("its schema does not exist", "open it once for writing, which makes the schema: headgate serve"),
    "40001": ("other transactions kept getting in its way", _DOCTOR),
    "40P01": ("it was in a deadlock with other transactions", _DOCTOR),
    "42501": ("the user may not do this", "GRANT CREATE ON DATABASE name TO user; or name a schema of the user's own in ?schema="),
    "53100": ("the disk of its server is full", "df -h, on the database's server"),
    "53300": ("it has too many connections", "raise max_connections, or run fewer processes"),
    "53": ("its server is out of resources", _DOCTOR),
    "55P03": ("another process has kept it locked", "SELECT * FROM pg_stat_activity WHERE application_name = 'headgate'"),
    "57014": ("the query took too long and was stopped", "ask for less at once"),
    "57": ("its server is stopping or starting", _DOCTOR),
    "58": ("its server could not read or write", "look into the server's log"),
    "XX": ("its server reports damage", "look into the server's log"),
}
"""By SQLSTATE, else by its class (the first two characters)."""

RETRIED = frozenset({"40001", "40P01"})
"""The server undid the transaction, which may succeed when it is done again (faults F10)."""
DROPPED = frozenset({"25006", "25P03"})
"""Faults after which another connection may be better: the one at hand leads to a standby (faults F9), or was ended."""


def state_of(error: BaseException) -> str:
    """The SQLSTATE, "" when `error` has none: it is not the server's."""
    return (error.sqlstate or "") if isinstance(error, psycopg.Error) else ""


def store_error(error: psycopg.Error, place: str) -> StoreError | None:
    """The `StoreError` for a fault of the server or the way to it; None for a mistake in a statement, which is a programming error."""
    state = state_of(error)
    fault = _FAULTS.get(state) or _FAULTS.get(state[:2])
    if fault is None and not state and isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        fault = _FAULTS["08"]
    if fault is None:
        return None
    why, hint = fault
    found = StoreError(f"{place} could not be used: {why} ({said(error)})", hint=hint)
    found.__cause__ = error
    return found


def said(error: psycopg.Error) -> str:
    """The server's own words, in one line."""
    return " ".join(str(error).split())
