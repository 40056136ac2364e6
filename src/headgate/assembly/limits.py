"""The limits of the settings, and the shares in them of processes that have a limit together."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module

import msgspec

from headgate.assembly.parts import Parts
from headgate.config.gate_settings import LimitSettings
from headgate.ledger import Ledger, new_id
from headgate.ledger.leases import Leases
from headgate.ledger.limit_shares import Shares, StoreShares
from headgate.ledger.limiter import Limiter
from headgate.ledger.limits import Limit

LONG, IN_LINE = 3600.0, 100_000
"""Seconds for which, and number in which, calls of a run may stand in line at a limit: nobody waits for one of them in particular."""


def limit_of(one: LimitSettings) -> Limit:
    """One limit of the settings."""
    return Limit(
        subject=one.subject,
        rpm=one.rpm,
        tpm=one.tpm,
        input_tpm=one.input_tpm,
        output_tpm=one.output_tpm,
        concurrency=one.concurrency,
        queue=one.queue or None,
    )


async def shared_leases(stack: AsyncExitStack, parts: Parts, ledger: Ledger) -> Leases:
    """Shares of limits for which other processes count too, given back when `stack` is left."""
    settings = parts.settings
    shares: Shares = StoreShares(ledger.database)
    if settings.redis_url is not None:
        redis = import_module("headgate.transport.redis")
        address = redis.parse_redis_url(settings.redis_url.reveal())
        scope = str(ledger.database.place)
        shares = import_module("headgate.ledger.redis_shares").RedisShares(redis.Redis(address), shares, scope)
    leases = Leases(shares, new_id(time.time(), os.urandom(10)))
    await leases.start()
    stack.push_async_callback(leases.close)
    return leases


@asynccontextmanager
async def run_limits(parts: Parts, ledger: Ledger) -> AsyncIterator[Limiter]:
    """The limits of providers and models for the calls of a run, shared with every other process of the same ledger.

    Where the settings have none, it knows only what providers say of theirs.
    """
    named = [limit_of(one) for one in parts.settings.limits if one.subject.partition(":")[0] in ("provider", "model")]
    limits = [msgspec.structs.replace(limit, queue=LONG, queue_length=IN_LINE) for limit in named]
    async with AsyncExitStack() as stack:
        leases = await shared_leases(stack, parts, ledger) if limits else None
        yield Limiter(limits, leases=leases)
