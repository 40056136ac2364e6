"""Virtual keys as JSON, for the HTTP interface, ``--json`` and the audit trail."""

from __future__ import annotations

from datetime import UTC, datetime

from headgate.domain.cost import usd_text
from headgate.ledger.keys import KeyBudget, KeyLimits, VirtualKey
from headgate.wire.json import JsonObject


def key_json(key: VirtualKey, now: float) -> JsonObject:
    """A key: times as ISO 8601 in UTC, amounts as decimal strings of dollars, limits that are not set left out."""
    return {
        "id": key.id,
        "object": "key",
        "name": key.name,
        "status": key.status(now),
        "owner": key.owner,
        "team": key.team,
        "user": key.user,
        "tags": list(key.tags),
        "scopes": sorted(key.scopes),
        "models": list(key.models),
        "created": iso(key.created),
        "created_by": key.created_by,
        "expires": iso(key.expires),
        "revoked": iso(key.revoked),
        "old_secret_until": iso(key.old_until if key.old_until is not None and now < key.old_until else None),
        "max_output": key.max_output,
        "limits": limits_json(key.limits),
        "budget": budget_json(key.budget),
        "recording": key.recording,
    }


def limits_json(limits: KeyLimits) -> JsonObject:
    """The limits that are set."""
    return {name: found for name in KeyLimits.__struct_fields__ if (found := getattr(limits, name)) is not None}


def budget_json(budget: KeyBudget | None) -> JsonObject | None:
    """A budget of a key."""
    return None if budget is None else {"usd": usd_text(budget.limit_nanos), "window": budget.window, "action": budget.action}


def iso(at: float | None) -> str | None:
    """A time, seconds since the epoch, as ISO 8601 in UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
