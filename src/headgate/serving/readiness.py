"""Whether this process should get requests, with reasons, and without flapping (faults F9; `/readyz`).

A check that fails degrades at once and, when nothing can be served without it, makes the process unready only after a while. So a short
outage of a database that all processes share does not take all of them out of service together.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeAlias

import msgspec

from headgate.errors import HeadgateError

State: TypeAlias = Literal["ready", "degraded", "unready"]
Probe: TypeAlias = Callable[[], Awaitable[str | None]]
"""Returns None when all is well, else a word or two that say what is not, such as ``unreachable``; shown to everybody who asks."""

PATIENCE = 15.0
"""Seconds an essential check may fail before the process is unready."""
RECOVERY = 2
"""Successes in a row after which a process that was unready is trusted again."""
FRESH = 1.0
"""Seconds an answer is good for: asking often costs nothing."""
PROBE_TIMEOUT = 2.0
_PLAIN = re.compile(r"[a-z0-9 _,-]{1,80}", re.ASCII)


class Check(msgspec.Struct, frozen=True):
    """The history of one check. `since` is when it began to fail (None: it does not), `good` how often in a row it was well."""

    essential: bool
    since: float | None = None
    reason: str = ""
    good: int = RECOVERY
    down: bool = False


class Report(msgspec.Struct, frozen=True):
    """How things stand: `checks` says ``ok``, or what is wrong, by name."""

    status: State
    checks: dict[str, str]


def decide_check(check: Check, reason: str | None, now: float) -> Check:
    """The check after another look, which found `reason` (None: nothing). Pure."""
    if reason is None:
        good = min(check.good + 1, RECOVERY)
        return Check(check.essential, None, "", good, check.down and good < RECOVERY)
    since = now if check.since is None else check.since
    return Check(check.essential, since, reason, 0, check.down or (check.essential and now - since >= PATIENCE))


def decide_report(checks: Mapping[str, Check], stopping: bool) -> Report:
    """What the checks say together. Pure."""
    told = {name: _told(check) for name, check in checks.items()}
    if stopping:
        return Report("unready", {**told, "server": "stopping"})
    if any(check.down for check in checks.values()):
        return Report("unready", told)
    return Report("degraded" if any(check.since is not None for check in checks.values()) else "ready", told)


def _told(check: Check) -> str:
    if check.since is not None:
        return check.reason
    return "recovering" if check.down else "ok"


class Readiness:
    """The checks of this process. `essential` ones are those without which no request is served; `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float], essential: Mapping[str, Probe], others: Mapping[str, Probe] | None = None) -> None:
        self._clock = clock
        self._probes = {**essential, **(others or {})}
        self._checks = {name: Check(name in essential) for name in self._probes}
        self._stopping = False
        self._looked: float | None = None
        self._turn = asyncio.Lock()

    def stop(self) -> None:
        """From now on the process is unready: it finishes what it has."""
        self._stopping = True

    @property
    def status(self) -> State:
        """How things stood at the last look."""
        return decide_report(self._checks, self._stopping).status

    async def report(self) -> Report:
        """How things stand, looked at now or a moment ago."""
        async with self._turn:
            now = self._clock()
            if self._looked is None or now - self._looked >= FRESH:
                names = tuple(self._probes)
                found = await asyncio.gather(*(_ask(self._probes[name]) for name in names))
                self._looked = now = self._clock()
                for name, reason in zip(names, found, strict=True):
                    self._checks[name] = decide_check(self._checks[name], reason, now)
        return decide_report(self._checks, self._stopping)


async def _ask(probe: Probe) -> str | None:
    """What a probe finds. Only plain words leave: an error's own text may name files and hosts."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            reason = await probe()
    except TimeoutError:
        return "slow"
    except HeadgateError:
        return "failing"
    return reason if reason is None or _PLAIN.fullmatch(reason) else "failing"
