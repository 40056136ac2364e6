"""Alerts as JSON, for a webhook of the operator's own (SPN-31). The address comes from the settings alone; nothing here opens a socket."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TypeAlias
from urllib.parse import urlsplit

from headgate.config import Secret
from headgate.domain.cost import NANO, usd_text
from headgate.errors import ConfigError
from headgate.ledger.balances import Alert
from headgate.wire.json import JsonObject, encode

Post: TypeAlias = Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]
"""Sends a body with headers to a URL, follows no redirect, and returns the status. Raises `HeadgateError` when no answer came."""
_TAKEN = {"warn": "warn", "block": "block", "clamp": "clamp", "degrade": "fallback"}
_PERIODS = {"day": "daily", "week": "weekly", "month": "monthly"}
SIGNATURE = "x-headgate-signature"


class Webhook:
    """Where alerts go. Raises `ConfigError` for an address that is none, or with an empty secret (faults R12).

    With a `secret`, the header ``x-headgate-signature`` is ``sha256=`` and the HMAC-SHA256 of the body in hexadecimal.
    """

    def __init__(self, url: str, post: Post, secret: Secret | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or parts.fragment:
            raise ConfigError(
                "the webhook's address must be http:// or https:// with a host, and without a password", hint="headgate config"
            )
        if secret is not None and not secret.reveal():
            raise ConfigError("the webhook's secret is empty", hint="set one, or none")
        self._url = url
        self._post = post
        self._secret = secret

    async def deliver(self, alert: Alert) -> bool:
        """Send an alert. Whether it was taken (a status of 2xx). Raises what `post` raises."""
        body = encode(alert_json(alert))
        headers = {"content-type": "application/json"}
        if self._secret is not None:
            headers[SIGNATURE] = "sha256=" + hmac.new(self._secret.reveal().encode(), body, hashlib.sha256).hexdigest()
        return 200 <= await self._post(self._url, body, headers) < 300


def alert_json(alert: Alert) -> JsonObject:
    """An alert as GenAI-Spine words it, with exact amounts beside the numbers, and whose budget it is."""
    over = alert.threshold >= 100
    spent, limit = alert.spent_nanos, alert.limit_nanos
    return {
        "type": "budget_exceeded" if over else "budget_warning",
        "level": "critical" if over else "warning",
        "budget_type": _PERIODS.get(alert.period, alert.period),
        "limit": limit / NANO,
        "current": spent / NANO,
        "percentage": round(spent * 100 / limit, 2) if limit else 100.0,
        "action_taken": _TAKEN[alert.action] if over else "warn",
        "timestamp": datetime.fromtimestamp(alert.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "budget": alert.budget,
        "subject": alert.subject,
        "threshold": alert.threshold,
        "limit_usd": usd_text(limit),
        "current_usd": usd_text(spent),
    }
