"""What is known of one deployment while the gateway runs, and one call to it under way."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from headgate.errors import ErrorKind, HeadgateError
from headgate.router.attempts import failure_of
from headgate.router.health import FAULTS, FORBIDDEN, QUARANTINE, Breaker, HealthSettings, Pause, clamped_wait, ramp_at
from headgate.router.measures import Sketch, smoothed
from headgate.router.retry_budget import RetryBudget
from headgate.router.values import Blocked, Deployment, Standing

CUT = 0.7
"""What is left of the calls at once after a 429 without a hint (additive increase, multiplicative decrease: faults C4)."""
FORGOTTEN = 4.0
"""Such a limit is lifted when it is so many times what is under way."""
NO_LIMIT = math.inf
REFRESH = 8
"""The percentile is worked out anew after so many measurements."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended. `kind` None: well. `output_tokens` over `seconds` after the first byte measure its speed."""

    kind: ErrorKind | None = None
    retry_after: float | None = None
    output_tokens: int = 0
    seconds: float = 0.0


WELL = Report()


def report_of(error: HeadgateError) -> Report:
    """The report of a call that ended in an error."""
    failure = failure_of(error)
    return Report(kind=failure.kind, retry_after=failure.retry_after)


class Credential:
    """One key: it is left alone for all of its deployments when it is refused (faults C5, C9)."""

    __slots__ = ("lives", "pause")

    def __init__(self) -> None:
        self.pause = Pause()
        self.lives: list[Live] = []

    def settle(self) -> None:
        """Let all of its deployments know."""
        for live in self.lives:
            live.settle()


class Live:
    """Health and figures of one deployment, which satisfies `values.Measured`; it adds itself to its `credential`.

    `clear_after` is the moment from which nothing at all is held against it: infinity while something is, until an event changes that.
    """

    __slots__ = (
        "_forbidden",
        "_settings",
        "_sketch",
        "breaker",
        "budget",
        "clear_after",
        "cooldown",
        "cooling",
        "credential",
        "deployment",
        "error_rate",
        "first_byte",
        "in_flight",
        "limit",
        "p95",
        "ramp",
        "rate_headroom",
        "retries",
        "samples",
        "tokens_per_second",
    )

    def __init__(self, deployment: Deployment, credential: Credential, settings: HealthSettings, ratio: float) -> None:
        self._settings = settings
        self._forbidden = Pause()
        self._sketch = Sketch()
        self.deployment = deployment
        self.breaker = Breaker(settings)
        self.cooldown = Pause()
        self.cooling: Blocked = "cooling_down"
        """Why the cooldown is: a limit of its provider, or that it has too much to do."""
        self.credential = credential
        self.retries = RetryBudget(ratio)
        self.in_flight = 0
        self.limit = self._most()
        self.first_byte: float | None = None
        self.p95: float | None = None
        self.tokens_per_second: float | None = None
        self.error_rate = 0.0
        self.samples = 0
        self.ramp = 1.0
        self.rate_headroom: float | None = None
        self.budget: int | None = None
        self.clear_after = -math.inf
        credential.lives.append(self)
        self.settle()

    def _most(self) -> float:
        most = self.deployment.limits.concurrency
        return NO_LIMIT if most is None else float(most)

    def renew(self, deployment: Deployment, ratio: float) -> None:
        """Go on with other settings."""
        self.deployment = deployment
        self.retries.ratio = ratio
        self.limit = self._most()

    def settle(self) -> None:
        """Work out `clear_after`."""
        held = self.breaker.state != "closed" or any(pause.repeated for _, pause in self._pauses())
        if held or (self.rate_headroom is not None and self.rate_headroom <= 0) or self.budget is not None:
            self.clear_after = math.inf
        else:
            self.clear_after = max(self.breaker.back_at, self.cooldown.until + self._settings.ramp)

    def standing(self, now: float) -> Standing:
        """How it stands, for the policy."""
        blocked, available_at, probing = self._block(now)
        return Standing(
            blocked=blocked,
            available_at=available_at,
            probing=probing,
            in_flight=self.in_flight,
            limit=None if self.limit == NO_LIMIT else self.limit,
            first_byte=self.first_byte,
            p95=self.p95,
            tokens_per_second=self.tokens_per_second,
            error_rate=self.error_rate,
            samples=self.samples,
            ramp=min(self.breaker.ramp(now), ramp_at(self.cooldown.until, now, self._settings.ramp)),
            rate_headroom=self.rate_headroom,
            budget=self.budget,
        )

    def _block(self, now: float) -> tuple[Blocked, float, bool]:
        """Why it may not be asked, until when, and whether that is because of a probe under way."""
        for word, pause in self._pauses():
            if pause.until > now:
                return word, pause.until, False
            if pause.probing > now:
                return word, pause.probing, True
        breaker = self.breaker
        if breaker.state == "closed" or breaker.until <= now:
            return "", 0.0, False
        if breaker.state == "half_open":
            return "circuit_open", breaker.until, True
        return "ejected" if breaker.soft else "circuit_open", breaker.until, False

    def _pauses(self) -> tuple[tuple[Blocked, Pause], ...]:
        return ("quarantined", self.credential.pause), ("quarantined", self._forbidden), (self.cooling, self.cooldown)

    def begin(self, now: float, early: bool = False, again: bool = False) -> Flight | None:
        """A call is about to be sent; None when it may not be. `early`: although it is ill (panic); `again`: it is a retry."""
        if self.in_flight >= self.limit:
            return None
        if now >= self.clear_after:
            probes: tuple[Pause | Breaker, ...] = ()
        else:
            claimed = self._claimed(now, early)
            if claimed is None:
                return None
            probes = claimed
        self.in_flight += 1
        if not again:
            self.retries.deposit(self.in_flight)
        return Flight(self, now, probes)

    def _claimed(self, now: float, early: bool) -> tuple[Pause | Breaker, ...] | None:
        """What this call is the one probe of; None when it may not go."""
        probes: list[Pause | Breaker] = []
        for _, pause in self._pauses():
            answer = pause.claim(now, self._settings.probe)
            if answer == "no":
                release(probes, now)
                return None
            if answer == "probe":
                probes.append(pause)
        answer = self.breaker.claim(now, early)
        if answer == "no":
            release(probes, now)
            return None
        return (*probes, self.breaker) if answer == "probe" else tuple(probes)

    def answered(self, seconds: float, now: float) -> None:
        """A call has begun to answer, after so many seconds."""
        self.first_byte = smoothed(self.first_byte, seconds)
        self._sketch.add(seconds)
        self.samples += 1
        if self.samples % REFRESH == 1:
            self.p95 = self._sketch.quantile(0.95)
        self.works(now)

    def works(self, now: float) -> None:
        """A call has succeeded, as far as it has come."""
        self.error_rate = smoothed(self.error_rate, 0.0)
        self.breaker.succeed(now)
        if now < self.clear_after:
            for _, pause in self._pauses():
                pause.end()
            self.credential.settle()
        if self.limit != NO_LIMIT:
            most = self._most()
            self.limit = most if self.limit > FORGOTTEN * (self.in_flight + 4) else min(most, self.limit + 1.0 / self.limit)

    def failed(self, report: Report, now: float, draw: float) -> None:
        """A call has failed; what that says depends on the kind."""
        kind = report.kind
        if kind in FAULTS:
            self.error_rate = smoothed(self.error_rate, 1.0)
            self.breaker.fail(now)
        if kind in QUARANTINE:
            self.credential.pause.escalate(*QUARANTINE[kind], now, draw)
        elif kind is ErrorKind.PERMISSION:
            self._forbidden.escalate(*FORBIDDEN, now, draw)
        elif report.retry_after is not None and kind in (ErrorKind.RATE_LIMIT, ErrorKind.OVERLOADED):
            self.cooling = "cooling_down" if kind is ErrorKind.RATE_LIMIT else "overloaded"
            self.cooldown.wait(clamped_wait(report.retry_after, draw, self._settings.longest_wait), now)
        elif kind is ErrorKind.RATE_LIMIT:
            self.cooling = "cooling_down"
            self.cooldown.escalate(self._settings.cooldown, self._settings.longest_cooldown, now, draw)
            self.limit = max(1.0, min(self.limit, self.in_flight + 1.0) * CUT)
        self.credential.settle()


def release(probes: Iterable[Pause | Breaker], now: float) -> None:
    """Let others probe what a call was the probe of."""
    for probe in probes:
        if isinstance(probe, Breaker):
            probe.release(now)
        else:
            probe.release()


class Flight:
    """One call under way. Tell it of the first byte, and once how it ended."""

    __slots__ = ("_answered", "_over", "_probes", "began", "heard", "live")

    def __init__(self, live: Live, began: float, probes: tuple[Pause | Breaker, ...]) -> None:
        self.live = live
        self.began = began
        self._probes = probes
        self._answered = False
        self._over = False
        self.heard = began

    def first_byte(self, now: float) -> None:
        """The first event has come: it works (faults C14)."""
        if not self._answered:
            self._answered = True
            self.heard = now
            self._probes = ()
            self.live.answered(max(0.0, now - self.began), now)

    def well(self, now: float, tokens: int) -> None:
        """It is over and was well: as `first_byte`, unless that was told, and `ended`. `tokens` came out of it since the first byte."""
        if self._over:
            return
        self._over = True
        live, answered = self.live, self._answered
        live.in_flight -= 1
        if not answered:
            self._answered = True
            self._probes = ()
            live.answered(now - self.began, now)
        elif tokens > 1 and now > self.heard:
            live.tokens_per_second = smoothed(live.tokens_per_second, tokens / (now - self.heard))

    def ended(self, report: Report, now: float, draw: float) -> None:
        """It is over; a second call changes nothing."""
        if self._over:
            return
        self._over = True
        live = self.live
        live.in_flight -= 1
        if report.kind is None:
            if not self._answered:
                live.works(now)
            if report.output_tokens > 1 and report.seconds > 0:
                live.tokens_per_second = smoothed(live.tokens_per_second, report.output_tokens / report.seconds)
            return
        live.failed(report, now, draw)
        release(self._probes, now)
