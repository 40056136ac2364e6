"""One limited subject: its windows, how many are under way, who waits. And what an admission holds until it is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from headgate.ledger.leased_window import LeasedPlaces, LeasedWindow
from headgate.ledger.limit_windows import OPEN, Ceiling, Window
from headgate.ledger.limits import INPUT, OUTPUT, QUEUE_LENGTH, REQUESTS, TOKENS, UNLIMITED, Amounts, Full, Headroom, Limit, Room

FEW = 1.0
"""Seconds after which a place at a time may be free again: nobody knows how long a request takes."""
NOTHING: Amounts = (0, 0, 0, 0)


class Line(Protocol):
    """Those who wait for a gate."""

    def pump(self) -> None:
        """Something has become free: admit whom it suffices for."""
        ...


class Gate:
    """What a subject may use, and uses. `active` of `cap` requests are under way, of `bound` by configuration; `waiting` is how many `line`
    holds."""

    limit: Limit
    windows: list[Window]
    places: LeasedPlaces | None
    __slots__ = ("active", "bound", "cap", "limit", "line", "places", "subject", "waiting", "windows")

    def __init__(self, limit: Limit, windows: Sequence[Window], places: LeasedPlaces | None) -> None:
        self.subject = limit.subject
        self.line: Line | None = None
        self.active = self.waiting = self.cap = 0
        self.reform(limit, windows, places)

    def fit(self) -> None:
        """Set `cap` to what is configured, or to what is held of a shared limit."""
        self.cap = self.bound if self.places is None else self.places.cap

    def crowded(self, now: float) -> Full:
        """The refusal when all places at a time are taken, here or by those who share them."""
        bound = self.bound
        elsewhere = self.places is not None and self.places.cap < bound
        return Full(
            subject=self.subject,
            what="concurrency",
            limit=bound,
            used=bound if elsewhere else self.active,
            retry_after=FEW,
            waits=self.queues or self.hopeful(now),
            field="concurrency",
        )

    def hopeful(self, now: float) -> bool:
        """Whether a larger share of the places may still be had."""
        return self.places is not None and self.places.cap < self.bound and not self.places.denied(now)

    def reform(self, limit: Limit, windows: Sequence[Window], places: LeasedPlaces | None) -> None:
        """Another limit from now on; what is under way keeps counting."""
        self.limit, self.windows, self.places = limit, list(windows), places
        self.bound = OPEN if limit.concurrency is None else limit.concurrency
        self.fit()

    @property
    def queues(self) -> bool:
        """Whether one may wait here."""
        return bool(self.limit.queue)

    @property
    def line_length(self) -> int:
        """How many may wait."""
        return QUEUE_LENGTH if self.limit.queue_length is None else self.limit.queue_length

    @property
    def full_line(self) -> Full | None:
        """The refusal when as many wait as may."""
        bound = self.line_length
        if self.waiting < bound:
            return None
        return Full(subject=self.subject, what="queue", limit=bound, used=self.waiting, retry_after=self.limit.queue, field="queue_length")

    @property
    def idle(self) -> bool:
        """Whether forgetting it would change nothing."""
        leased = [window for window in self.windows if isinstance(window, LeasedWindow)]
        used = any(window.used for window in self.windows) or not all(window.asleep for window in leased)
        held = self.places is not None and self.places.held > 0
        return not (used or held or self.active or self.waiting)

    def headroom(self, now: float) -> Headroom:
        """What is left here: of each kind, of the figure with the least remaining."""
        rooms: list[Room | None] = [None, None, None, None]
        for window in self.windows:
            room = window.room(now)
            known = rooms[window.kind]
            if room.limit < OPEN and (known is None or room.remaining < known.remaining):
                rooms[window.kind] = room
        bound = self.bound
        places = None if bound == OPEN else Room(bound, max(0, bound - self.active), FEW if self.active else 0.0)
        if places is None and not any(rooms):
            return UNLIMITED
        return Headroom(rooms[REQUESTS], rooms[TOKENS], rooms[INPUT], rooms[OUTPUT], places)

    def ceiling(self, field: str) -> Ceiling | None:
        """The ceiling of the figure `field`, once a provider has set one."""
        return next((window for window in self.windows if isinstance(window, Ceiling) and window.rate.field == field), None)


class Plan:
    """The gates that a set of subjects passes, and all their windows in a row."""

    __slots__ = ("gates", "subjects", "windows")

    def __init__(self, subjects: tuple[str, ...], gates: tuple[Gate, ...]) -> None:
        self.subjects = subjects
        self.gates = gates
        self.windows = tuple(window for gate in gates for window in gate.windows)


def wake(gates: tuple[Gate, ...]) -> None:
    """Let in those for whom there is room now."""
    for gate in gates:
        if gate.waiting and gate.line is not None:
            gate.line.pump()


class Permit:
    """An admission. `settle` and `release` do their part once, however often and in whichever order they are called.

    Until it is settled all that was reserved counts as used.
    """

    __slots__ = ("_amounts", "_plan", "_released", "_settled", "_slots")

    def __init__(self, plan: Plan, amounts: Amounts, slots: list[int]) -> None:
        self._plan = plan
        self._amounts = amounts
        self._slots = slots
        self._settled = self._released = False

    def settle(self, input_tokens: int, output_tokens: int) -> None:
        """What was really used: the rest is free again at once, and what was used beyond the reservation counts as well."""
        self._settle((self._amounts[0], input_tokens + output_tokens, input_tokens, output_tokens))

    def release(self) -> None:
        """The request is no longer under way."""
        if not self._released:
            self._released = True
            for gate in self._plan.gates:
                gate.active -= 1
            wake(self._plan.gates)

    def end(self, input_tokens: int, output_tokens: int) -> None:
        """`settle` and `release` at once, which those who wait are told of once."""
        if self._settled or self._released:
            self.settle(input_tokens, output_tokens)
            self.release()
            return
        self._settled = self._released = True
        self._give((self._amounts[0], input_tokens + output_tokens, input_tokens, output_tokens))
        waiting = False
        for gate in self._plan.gates:
            gate.active -= 1
            waiting = waiting or gate.waiting > 0
        if waiting:
            wake(self._plan.gates)

    def undo(self) -> None:
        """It certainly never left: nothing counts, not even the request. Releases as well."""
        if not self._settled:
            self._settled = True
            self._give(NOTHING)
        self.release()

    def _settle(self, actual: Amounts) -> None:
        if self._settled:
            return
        self._settled = True
        self._give(actual)
        wake(self._plan.gates)

    def _give(self, actual: Amounts) -> None:
        reserved = self._amounts
        for window, slot in zip(self._plan.windows, self._slots, strict=True):
            kind = window.kind
            if reserved[kind] != actual[kind]:
                window.give(slot, reserved[kind] - actual[kind])


FREE = Permit(Plan((), ()), NOTHING, [])
"""For those whom nothing limits."""
