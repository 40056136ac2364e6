"""How a deployment is: breaker, cooldown, quarantine, slow start. Pure: every time is an argument, in seconds on one monotonic clock.

A breaker opens after a run of failures, or when most of a window's calls failed; then it stays open, for longer each time it opens again
soon, and lets one probe through. The probe's first event closes it (a stream may last for minutes), and the deployment takes its share
of traffic little by little. Only the provider's faults count: what a client did wrong, and what a limit turned away, say nothing
(faults A26, C1 to C15).
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import msgspec

from headgate.errors import ErrorKind

State: TypeAlias = Literal["closed", "open", "half_open"]

FAULTS = frozenset({ErrorKind.TIMEOUT, ErrorKind.CONNECTION, ErrorKind.SERVER, ErrorKind.OVERLOADED})
"""Failures that count against a deployment."""
QUARANTINE: dict[ErrorKind, tuple[float, float]] = {ErrorKind.AUTH: (30.0, 1800.0), ErrorKind.QUOTA: (300.0, 3600.0)}
"""Failures of a credential: seconds it is left alone at first, and at most."""
FORBIDDEN = (30.0, 1800.0)
"""The same for a model that a credential may not use (403): others of its models may well be allowed."""


class HealthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When a deployment counts as ill. Times in seconds.

    `run` failures in a row open the breaker, or a share of `most` in a `window` with at least `samples` calls; a share of `some` ejects
    it (it may be asked all the same when too many are out). It stays open for `first`, twice as long each time up to `longest`;
    after `steady` without opening it starts anew. A probe without a first event counts as lost after `probe`. A return takes `ramp`.
    """

    run: int = 5
    samples: int = 10
    most: float = 0.8
    some: float = 0.4
    window: float = 10.0
    first: float = 0.5
    longest: float = 4.0
    steady: float = 30.0
    probe: float = 30.0
    ramp: float = 10.0
    cooldown: float = 1.0
    """What a 429 without a hint is taken to mean, doubled each time."""
    longest_cooldown: float = 30.0
    longest_wait: float = 120.0
    """Longest wait a provider's own word is believed (the official clients cap it alike)."""


HEALTH = HealthSettings()


class Window:
    """Calls and failures of the last `seconds`, in two halves that take turns."""

    __slots__ = ("_began", "_calls", "_failures", "_half", "_older_calls", "_older_failures")

    def __init__(self, seconds: float) -> None:
        self._half = seconds / 2
        self._began = -math.inf
        self._calls = self._failures = self._older_calls = self._older_failures = 0

    def add(self, failed: bool, now: float) -> None:
        """Count a call."""
        age = now - self._began
        if age >= self._half:
            kept = age < 2 * self._half
            self._older_calls, self._older_failures = (self._calls, self._failures) if kept else (0, 0)
            self._calls = self._failures = 0
            self._began = now
        self._calls += 1
        self._failures += failed

    def clear(self) -> None:
        """Forget everything."""
        self._calls = self._failures = self._older_calls = self._older_failures = 0

    @property
    def calls(self) -> int:
        """Calls counted."""
        return self._calls + self._older_calls

    @property
    def rate(self) -> float:
        """Share of them that failed."""
        return (self._failures + self._older_failures) / max(1, self.calls)


class Breaker:
    """Closed, open until a moment, or half open with one probe under way.

    `soft`: it is open because of partial failure, and may be asked all the same (see `policy`).
    """

    __slots__ = ("_closed_at", "_level", "_run", "_settings", "_window", "soft", "state", "until")

    def __init__(self, settings: HealthSettings = HEALTH) -> None:
        self._settings = settings
        self._window = Window(settings.window)
        self._run = 0
        self._level = 0
        self._closed_at = -math.inf
        self.state: State = "closed"
        self.soft = False
        self.until = -math.inf
        """When it may be tried (open), or when its probe counts as lost (half open)."""

    @property
    def back_at(self) -> float:
        """When its return is complete; minus infinity when it has never been away, infinity while it is."""
        return self._closed_at + self._settings.ramp if self.state == "closed" else math.inf

    def ramp(self, now: float) -> float:
        """The share of its usual traffic it takes."""
        return ramp_at(self._closed_at, now, self._settings.ramp)

    def claim(self, now: float, early: bool = False) -> Literal["no", "call", "probe"]:
        """Whether a call may go, and whether it is the one probe. `early` asks for it before its time."""
        if self.state == "closed" or (self.soft and self.state == "open" and now < self.until):
            return "call"
        if now < self.until and not (early and self.state == "open"):
            return "no"
        self.state, self.until = "half_open", now + self._settings.probe
        return "probe"

    def release(self, now: float) -> None:
        """The probe ended without saying anything (its client left): another may go at once."""
        if self.state == "half_open":
            self.state, self.until, self.soft = "open", now, False

    def succeed(self, now: float) -> None:
        """A call has begun to answer."""
        self._run = 0
        if self.state == "half_open":
            self.state, self.soft = "closed", False
            self._closed_at = now
            self._window.clear()
        elif self.state == "closed":
            self._window.add(False, now)

    def fail(self, now: float) -> None:
        """A call has failed by the provider's fault."""
        self._run += 1
        self._window.add(True, now)
        if self.state == "half_open" or self._run >= self._settings.run or self._bad(self._settings.most):
            self._open(now, soft=False)
        elif self._bad(self._settings.some):
            self._open(now, soft=True)

    def _bad(self, share: float) -> bool:
        return self._window.calls >= self._settings.samples and self._window.rate >= share

    def _open(self, now: float, soft: bool) -> None:
        if self.state == "open" and (soft or not self.soft):
            return
        settings = self._settings
        again = self.state != "closed" or now - self._closed_at < settings.steady
        self._level = self._level + 1 if again else 0
        self.state, self.soft = "open", soft
        self.until = now + min(settings.longest, settings.first * 2.0 ** min(self._level, 30))


class Pause:
    """A time in which something is left alone, longer each time it happens again: cooldowns and quarantines."""

    __slots__ = ("_level", "probing", "until")

    def __init__(self) -> None:
        self._level = 0
        self.until = -math.inf
        self.probing = -math.inf
        """Until when a probe may be under way after it."""

    def escalate(self, first: float, longest: float, now: float, draw: float) -> None:
        """Leave it alone for `first` seconds, doubled for each time in a row, half of it drawn by lot; never for less than before."""
        seconds = min(longest, first * 2.0 ** min(self._level, 30))
        self._level += 1
        self.wait(seconds * (0.5 + draw / 2), now)

    def wait(self, seconds: float, now: float) -> None:
        """Leave it alone for so many seconds, or until the end there was, whichever is later."""
        self.until = max(self.until, now + seconds)
        self.probing = -math.inf

    def end(self) -> None:
        """It has worked: the next time counts as the first."""
        self._level = 0
        self.probing = -math.inf

    def reset(self) -> None:
        """Forget it altogether."""
        self.end()
        self.until = -math.inf

    @property
    def repeated(self) -> bool:
        """Whether nothing has worked since it began."""
        return self._level > 0

    def claim(self, now: float, seconds: float) -> Literal["no", "call", "probe"]:
        """Whether a call may go after a pause: one at a time until one has worked."""
        if now < self.until or now < self.probing:
            return "no"
        if not self._level:
            return "call"
        self.probing = now + seconds
        return "probe"

    def release(self) -> None:
        """The probe ended without saying anything."""
        self.probing = -math.inf


def ramp_at(began: float, now: float, seconds: float) -> float:
    """The share of its usual traffic that something takes which came back at `began`: from a tenth to all of it in `seconds`."""
    return 1.0 if now - began >= seconds else min(1.0, max(0.1, (now - began) / seconds))


def clamped_wait(retry_after: float, draw: float, longest: float = HEALTH.longest_wait) -> float:
    """Seconds to believe of a provider's word (faults C1, C2, C11): from 0 to `longest`, a tenth more by lot; 0 for what is no number."""
    if math.isnan(retry_after):
        return 0.0
    return min(max(retry_after, 0.0), longest) * (1.0 + draw / 10)
