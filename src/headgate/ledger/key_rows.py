"""Virtual keys as rows of the table ``virtual_key``, and back."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headgate.ledger.key_form import Seals
from headgate.ledger.keys import KeyLimits, VirtualKey, principal_of
from headgate.ledger.principal import Scope
from headgate.store.connection import Cursor, Value
from headgate.wire.json import JsonObject, encode


class Kept(msgspec.Struct, frozen=True):
    """A key with what is kept of its secret."""

    key: VirtualKey
    seals: Seals


_LISTS = ("lineage", "tags", "scopes", "models")
_PLAIN = ("id", "version", "name", "owner", "team", "created_by", "max_output", "recording", "old_until")
_RENAMED = {"user": "user_name", "created": "created_at", "expires": "expires_at", "revoked": "revoked_at"}
_LIMITS = KeyLimits.__struct_fields__
_BUDGET = {"limit_nanos": "budget_nanos", "window": "budget_window", "action": "budget_action"}


def key_row(kept: Kept) -> dict[str, Value]:
    """The parameters of `insert_key` and `update_key`."""
    key, seals = kept.key, kept.seals
    row: dict[str, Value] = {name: getattr(key, name) for name in _PLAIN}
    row.update({column: getattr(key, name) for name, column in _RENAMED.items()})
    row.update({name: getattr(key.limits, name) for name in _LIMITS})
    row.update({column: None if key.budget is None else getattr(key.budget, name) for name, column in _BUDGET.items()})
    row.update({name: _listed(getattr(key, name)) for name in _LISTS})
    row.update(seal=seals.now, old_seal=seals.old, old_until=seals.old_until, disabled=int(key.disabled), tenant=principal_of(key).tenant)
    return row


def _listed(values: Sequence[str] | frozenset[Scope]) -> str:
    ordered = sorted(values) if isinstance(values, frozenset) else list(values)
    return encode(ordered).decode()


def kept_of(row: JsonObject) -> Kept:
    """The key of a row."""
    found = {name: row[name] for name in _PLAIN} | {name: row[column] for name, column in _RENAMED.items()}
    found |= {name: msgspec.json.decode(row[name]) for name in _LISTS}
    found["limits"] = {name: row[name] for name in _LIMITS}
    found["disabled"] = bool(row["disabled"])
    if row["budget_nanos"] is not None:
        found["budget"] = {name: row[column] for name, column in _BUDGET.items()}
    seals = Seals(bytes(row["seal"]), None if row["old_seal"] is None else bytes(row["old_seal"]), row["old_until"])
    return Kept(msgspec.convert(found, VirtualKey), seals)


def all_kept(cursor: Cursor) -> tuple[Kept, ...]:
    """Every key that a query found."""
    names = [str(column[0]) for column in cursor.description or ()]
    return tuple(kept_of(dict(zip(names, row, strict=True))) for row in cursor.fetchall())
