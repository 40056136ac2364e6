"""What may be spent: budgets, their windows, and the decisions about them. Pure; amounts are integers of nano-dollars.

A window is a half-open interval of UTC time. Days begin at midnight, weeks on Monday, months on the first. A rolling budget of S seconds
counts in buckets of ``w = ceil(S / 24)`` seconds: a request is charged to the bucket of its reservation, and fits when that bucket and the
``ceil(S / w)`` before it, which cover every span of S seconds that ends in it, leave room for it. So no span of S seconds holds more than
the limit; a span of up to one bucket more than S may be held to it as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from math import ceil, floor, inf
from typing import Literal, TypeAlias

import msgspec

from headgate.domain.cost import usd_text
from headgate.errors import ConfigError

Action: TypeAlias = Literal["warn", "block", "clamp", "degrade"]
Reason: TypeAlias = Literal["exceeded", "unbounded"]

DAY = 86_400
BUCKETS = 24
FIRST_MONDAY = 4 * DAY
"""1970-01-05."""
EPOCH_DAY = date(1970, 1, 1).toordinal()
SCOPES = ("key", "team", "user", "tag", "provider", "model", "run")
DRAW_SHARE = 32
DRAW_BOUNDS = 256
_ROLLING = re.compile(r"rolling:([1-9][0-9]{0,8})")
_CALENDAR = ("day", "week", "month", "total")


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """At most `limit_nanos` for what `scope` names, in each `window`.

    `scope`: ``global``, or ``key: team: user: tag: provider: run:`` with a name, or ``model:provider/name``. One that ends with ``*`` is a
    template: every subject that begins like it has a balance of its own, made with its first reservation. `window`: ``day``, ``week``,
    ``month``, ``total`` or ``rolling:SECONDS``. `action`: what happens to a request that does not fit. ``warn`` lets it pass (such a budget
    only counts); ``block`` refuses it, ``clamp`` too, for the caller to ask for less, ``degrade`` too, for the caller to ask a cheaper
    model, as the gateway does. `thresholds` are the per cents of the limit that are told when they are reached.
    """

    id: str
    scope: str
    limit_nanos: int
    window: str
    action: Action = "block"
    thresholds: tuple[int, ...] = (75, 90, 100)

    @property
    def hard(self) -> bool:
        """Whether it is never exceeded."""
        return self.action != "warn"


class Window(msgspec.Struct, frozen=True):
    """``[starts, ends)`` in seconds since the epoch; what began at `counts_from` or later counts against the limit as well."""

    starts: float
    ends: float
    counts_from: float


class Bound(msgspec.Struct, frozen=True, gc=False):
    """The most an attempt can cost; `nanos` None: no bound is known, for `reason`."""

    nanos: int | None
    reason: str = ""


class Denied(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request may not be made: `budget` has not `needed_nanos` left for `subject`, or the request has no bound."""

    budget: Budget
    subject: str
    reason: Reason
    spent_nanos: int = 0
    reserved_nanos: int = 0
    needed_nanos: int | None = None
    resets_at: float | None = None
    detail: str = ""

    @property
    def limit_nanos(self) -> int:
        """The limit that would be passed."""
        return self.budget.limit_nanos

    @property
    def action(self) -> Action:
        """What the budget wants done with the request."""
        return self.budget.action

    @property
    def left_nanos(self) -> int:
        """What a request may cost at most to fit now."""
        return max(0, self.limit_nanos - self.spent_nanos - self.reserved_nanos)

    @property
    def hint(self) -> str:
        """The command that makes room. For what has no bound, that is one that lets it through: no limit is high enough."""
        budget = self.budget
        keyed = budget.id == budget.scope and budget.id.startswith("key:")
        way = "--action warn" if self.reason == "unbounded" else "--budget USD" if keyed else "--limit USD"
        return f"headgate keys limit {budget.id.removeprefix('key:')} {way}" if keyed else f"headgate budgets set {budget.id} {way}"

    def message(self) -> str:
        """What, why, and until when, with the numbers."""
        budget = self.budget
        name = f"the budget {budget.id} of {self.subject} (${usd_text(budget.limit_nanos)} per {budget.window})"
        if self.reason == "unbounded":
            return f"{name} cannot be kept: what this request costs has no upper bound ({self.detail})"
        until = "" if self.resets_at is None else f"; it counts anew from {_iso(self.resets_at)}"
        return (
            f"{name} has no room: ${usd_text(self.spent_nanos)} are spent and ${usd_text(self.reserved_nanos)} reserved, "
            f"this request can cost up to ${usd_text(self.needed_nanos or 0)}, ${usd_text(self.left_nanos)} are left{until}"
        )


def check_budget(budget: Budget) -> Budget:
    """`budget`, if it means something. Raises `ConfigError`."""
    kind, _, name = budget.scope.partition(":")
    where = f"budget {budget.id!r}"
    if budget.scope != "global" and (kind not in SCOPES or not name):
        raise ConfigError(
            f"{where}: {budget.scope!r} is no scope", hint=f"use global, or one of {', '.join(SCOPES)} with a name: team:search"
        )
    if budget.window not in _CALENDAR and not _ROLLING.fullmatch(budget.window):
        raise ConfigError(f"{where}: {budget.window!r} is no window", hint=f"use {', '.join(_CALENDAR)} or rolling:SECONDS")
    if not budget.id or budget.limit_nanos < 0:
        raise ConfigError(f"{where}: a budget has a name and a limit of at least 0")
    if any(not 1 <= threshold <= 1000 for threshold in budget.thresholds) or list(budget.thresholds) != sorted(set(budget.thresholds)):
        raise ConfigError(f"{where}: thresholds are per cents from 1 to 1000, rising")
    return budget


def window_at(window: str, at: float) -> Window:
    """The window that `at` (seconds since the epoch) falls into. Raises `ValueError` for a window that `check_budget` refuses."""
    day = floor(at / DAY)
    if window == "day":
        return _plain(day * DAY, (day + 1) * DAY)
    if window == "week":
        monday = (day * DAY - FIRST_MONDAY) // (7 * DAY) * 7 * DAY + FIRST_MONDAY
        return _plain(monday, monday + 7 * DAY)
    if window == "month":
        today = date.fromordinal(day + EPOCH_DAY)
        later = date(today.year + today.month // 12, today.month % 12 + 1, 1)
        return _plain((today.replace(day=1).toordinal() - EPOCH_DAY) * DAY, (later.toordinal() - EPOCH_DAY) * DAY)
    if window == "total":
        return Window(0.0, inf, 0.0)
    found = _ROLLING.fullmatch(window)
    if found is None:
        raise ValueError(f"{window!r} is no window")
    return _bucket(int(found[1]), at)


def _plain(starts: int, ends: int) -> Window:
    return Window(float(starts), float(ends), float(starts))


def _bucket(seconds: int, at: float) -> Window:
    width = ceil(seconds / BUCKETS)
    starts = floor(at / width) * width
    return Window(float(starts), float(starts + width), float(starts - ceil(seconds / width) * width))


def subject_of(budget: Budget, subjects: Iterable[str]) -> tuple[str, ...]:
    """Those of `subjects` that have a balance in `budget`."""
    scope = budget.scope
    if scope.endswith("*"):
        return tuple(subject for subject in subjects if subject.startswith(scope[:-1]))
    return (scope,) if scope in subjects else ()


def decide_draw(limit: int, used: int, need: int, *, bound: int = 0, tight: bool = False, ahead: bool = False) -> int | None:
    """How much of a balance to set aside for a process that needs `need` more for a request of that `bound`; None: it does not fit.

    More than it needs, so that it need not ask for every request, but a small share of what remains, so that others find room too; exactly
    what it needs when somebody has been turned away (`tight`). What costs nothing always fits. `ahead`: nothing is needed yet, but will be.
    """
    room = max(0, limit - used)
    if need > room:
        return None
    if tight or (need == 0 and not ahead):
        return need
    return max(need, min(max(need, bound) * DRAW_BOUNDS, room // DRAW_SHARE))


def crossed(limit: int, spent: int, thresholds: Sequence[int], told: int = 0) -> tuple[int, ...]:
    """The thresholds (per cents of `limit`) above `told` that `spent` has reached, lowest first."""
    return tuple(each for each in thresholds if each > told and spent > 0 and spent * 100 >= limit * each)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
