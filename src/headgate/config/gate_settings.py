"""What the settings say of money, limits, alerts, the cache and the server. Values alone.

Money is whole nano-dollars, times are seconds, sizes are bytes.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from headgate.config.secret import Secret

Action: TypeAlias = Literal["warn", "block", "clamp", "degrade"]
Metrics: TypeAlias = Literal["key", "open", "none"]

MIB = 1 << 20


class BudgetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """At most `limit_nanos` in each `window` ("day", "week", "month", "total", "rolling:SECONDS") of what `scope` says.

    A scope is ``global`` or ``KIND:NAME`` with KIND key, team, user, tag, provider, model or run; ``KIND:*`` gives each of them a balance
    of its own. `alerts` are percentages of the limit.
    """

    scope: str
    limit_nanos: int
    window: str = "month"
    action: Action = "block"
    alerts: tuple[int, ...] = (75, 90, 100)


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `subject` (a scope as in a budget, or ``deployment:…``) may do in a minute, and at once; None: unlimited.

    `queue` is how many seconds a request may wait for its turn; 0 refuses at once.
    """

    subject: str
    rpm: int | None = None
    tpm: int | None = None
    input_tpm: int | None = None
    output_tpm: int | None = None
    concurrency: int | None = None
    queue: float = 0.0


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where alerts go besides the log. An address may hold a token, so it is kept as a secret; `secret` signs what is sent."""

    webhook: Secret | None = None
    secret: Secret | None = None


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The cache of answers: the longest age in seconds a request may ask for, and the bytes kept."""

    max_age: int = 3600
    max_bytes: int = 64 * MIB


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """The server. `max_in_flight` None: no bound but memory. `metrics` says who may read them: bearers of a key with that right, anyone
    who can connect, nobody."""

    workers: int = 1
    body_limit: int = 32 * MIB
    header_timeout: float = 10.0
    drain: float = 30.0
    max_in_flight: int | None = None
    metrics: Metrics = "key"
    store_prompts: bool = False
