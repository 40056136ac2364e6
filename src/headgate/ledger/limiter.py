"""Admission: whether a request may go now, for every subject it counts for, all or nothing. One limiter a process, for one event loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from headgate.ledger.leased_window import LeasedPlaces, LeasedWindow
from headgate.ledger.leases import Leases
from headgate.ledger.limit_gates import FREE, Gate, Permit, Plan
from headgate.ledger.limit_line import Block, Lines
from headgate.ledger.limit_windows import Ceiling, Window
from headgate.ledger.limits import RATES, UNLIMITED, Amounts, Full, Headroom, Limit, Rate, limit_of
from headgate.ledger.upstream_quota import Quota

PLANS = 4096
GATES = 20_000
"""Subjects remembered before those that use nothing are forgotten."""


class Limiter:
    """Limits of subjects, and what is used of them.

    Without `leases` this process has the limits to itself; with them it uses what it is granted of limits that several processes share.
    `clock` is monotonic, and every `now` passed in is its time. Calls take no time and never wait, but for `admit_within`.
    """

    def __init__(self, limits: Iterable[Limit] = (), *, leases: Leases | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = tuple(limits)
        self._assigned: dict[str, Limit] = {}
        self._leases = leases
        self._clock = clock
        self._gates: dict[str, Gate] = {}
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._lines = Lines(self._attempt)

    def admit(self, subjects: tuple[str, ...], requests: int, input_tokens: int, output_tokens: int, now: float) -> Permit | Full:
        """Admit a request that counts for all of `subjects`, reserving `input_tokens` and the most `output_tokens` it may take.

        Whoever gets a permit must `settle` and `release` it. A `Full` that `waits` may be tried with `admit_within`.
        """
        plan = self._plans.get(subjects) or self._plan(subjects, now)
        gates = plan.gates
        if not gates:
            return FREE
        for gate in gates:
            if gate.active >= gate.cap or gate.waiting:
                return self._refuse(plan, (requests, input_tokens + output_tokens, input_tokens, output_tokens), now)
        amounts = (requests, input_tokens + output_tokens, input_tokens, output_tokens)
        windows = plan.windows
        for window in windows:
            if now >= window.edge:
                window.advance(now)
            if window.used + amounts[window.kind] > window.cap:
                return self._refuse(plan, amounts, now)
        return _take(plan, amounts)

    async def admit_within(
        self, subjects: tuple[str, ...], requests: int, input_tokens: int, output_tokens: int, deadline: float
    ) -> Permit | Full:
        """As `admit`, waiting in turn where a limit has a queue, or where a share of it is on its way, but not beyond `deadline`.

        Keys take turns, and within a key the first comes first. Cancelled, it leaves the queue and what it was given.
        """
        now = self._clock()
        outcome = self.admit(subjects, requests, input_tokens, output_tokens, now)
        if isinstance(outcome, Permit) or not outcome.waits:
            return outcome
        plan, amounts = self._plan(subjects, now), (requests, input_tokens + output_tokens, input_tokens, output_tokens)
        block = self._behind(plan) or self._block(plan, amounts, now)
        return await self._lines.wait(plan, amounts, block, deadline - now) if block is not None else _take(plan, amounts)

    def fits(self, subjects: tuple[str, ...], requests: int, input_tokens: int, output_tokens: int, now: float) -> bool:
        """Whether `admit` would, or `admit_within` once it has a larger share. Takes nothing."""
        plan = self._plans.get(subjects) or self._plan(subjects, now)
        if any((gate.active >= gate.cap and not gate.hopeful(now)) or gate.waiting for gate in plan.gates):
            return False
        amounts = (requests, input_tokens + output_tokens, input_tokens, output_tokens)
        for window in plan.windows:
            if now >= window.edge:
                window.advance(now)
            amount = amounts[window.kind]
            if window.used + amount > window.cap and not window.hopeful(amount, now):
                return False
        return True

    def headroom(self, subject: str, now: float) -> Headroom:
        """What is left for one subject."""
        gate = self._gates.get(subject) or self._gate(subject, now)
        return UNLIMITED if gate is None else gate.headroom(now)

    def headroom_among(self, subjects: tuple[str, ...], subject: str, now: float) -> Headroom:
        """What is left for one of `subjects`, which were admitted together: cheaper than `headroom`, above all where nothing is limited."""
        plan = self._plans.get(subjects) or self._plan(subjects, now)
        return next((gate.headroom(now) for gate in plan.gates if gate.subject == subject), UNLIMITED)

    def assign(self, subject: str, limit: Limit | None) -> None:
        """The limit of one subject's own (a key's, from its record), before those of the configuration; None takes it away."""
        if limit == self._assigned.get(subject):
            return
        if limit is None:
            del self._assigned[subject]
        else:
            self._assigned[subject] = limit
        self._reform([subject])

    def replace(self, limits: Iterable[Limit]) -> None:
        """Other limits from now on (the configuration was read again). What was used keeps counting."""
        self._limits = tuple(limits)
        self._reform(list(self._gates))

    def heard(self, subject: str, quotas: Sequence[Quota], now: float) -> None:
        """What the rate limit headers of `subject` (``deployment:ID``) say is left: a ceiling beside its own limits, when it is near."""
        for quota in quotas:
            gate = self._made(subject, now) if quota.near else self._gates.get(subject)
            ceiling = gate.ceiling(quota.rate.field) if gate is not None else None
            if gate is not None and quota.near:
                ceiling = ceiling or self._ceiling(gate, quota.rate, now)
                others = max(0, gate.active - 1) if quota.rate.what == "requests" else 0
                ceiling.hear(quota.limit, max(0, quota.remaining - others), now + quota.reset)
            elif ceiling is not None:
                ceiling.advance(now)

    @property
    def waiting(self) -> int:
        """How many requests wait, for the metrics."""
        return sum(gate.waiting for gate in self._gates.values())

    def _plan(self, subjects: tuple[str, ...], now: float) -> Plan:
        if len(self._plans) >= PLANS:
            self._plans.clear()
        gates = [self._gates.get(subject) or self._gate(subject, now) for subject in subjects]
        plan = self._plans[subjects] = Plan(subjects, tuple(gate for gate in gates if gate is not None))
        return plan

    def _gate(self, subject: str, now: float) -> Gate | None:
        """The gate of a subject, None when nothing limits it."""
        limit = self._limit(subject)
        return None if limit.open else self._new_gate(limit, now)

    def _limit(self, subject: str) -> Limit:
        own = self._assigned.get(subject)
        return limit_of(subject, self._limits if own is None else (*self._limits, own))

    def _made(self, subject: str, now: float) -> Gate:
        """The gate of a subject, also of one without a limit."""
        gate = self._gates.get(subject)
        if gate is None:
            gate = self._new_gate(self._limit(subject), now)
            self._plans.clear()
        return gate

    def _new_gate(self, limit: Limit, now: float) -> Gate:
        if len(self._gates) >= GATES:
            self._forget_idle()
        gate = Gate(limit, [], None)
        self._furnish(gate, limit, now)
        self._gates[limit.subject] = gate
        return gate

    def _forget_idle(self) -> None:
        self._gates = {subject: gate for subject, gate in self._gates.items() if not gate.idle}
        self._plans.clear()

    def _reform(self, subjects: Iterable[str]) -> None:
        now = self._clock()
        for subject in subjects:
            if (gate := self._gates.get(subject)) is not None:
                self._furnish(gate, self._limit(subject), now)
        self._plans.clear()

    def _furnish(self, gate: Gate, limit: Limit, now: float) -> None:
        """Give a gate what `limit` asks for, keeping what it has of it."""
        known = {window.rate.field: window for window in gate.windows if not isinstance(window, Ceiling)}
        windows: list[Window] = [window for window in gate.windows if isinstance(window, Ceiling)]
        for rate in RATES:
            figure: int | None = getattr(limit, rate.field)
            if figure is not None:
                windows.append(_resized(known.get(rate.field) or self._window(limit.subject, rate, figure, now), figure))
        places = None
        if self._leases is not None and limit.concurrency is not None:
            places = gate.places or LeasedPlaces(limit.subject, limit.concurrency)
            places.limit = limit.concurrency
        gate.reform(limit, windows, places)

    def _window(self, subject: str, rate: Rate, limit: int, now: float) -> Window:
        return Window(subject, rate, limit, now) if self._leases is None else self._leases.window(subject, rate, limit, now)

    def _ceiling(self, gate: Gate, rate: Rate, now: float) -> Ceiling:
        ceiling = Ceiling(gate.subject, rate, now)
        gate.windows.append(ceiling)
        self._plans.clear()
        return ceiling

    def _attempt(self, plan: Plan, amounts: Amounts) -> Permit | Block:
        """Admit, whoever waits; else where it failed. Gates may have changed since it was planned."""
        now = self._clock()
        plan = self._plans.get(plan.subjects) or self._plan(plan.subjects, now)
        return self._block(plan, amounts, now) or _take(plan, amounts)

    def _refuse(self, plan: Plan, amounts: Amounts, now: float) -> Full:
        block = self._block(plan, amounts, now) or self._behind(plan)
        assert block is not None
        return block.full

    def _behind(self, plan: Plan) -> Block | None:
        """The refusal where others wait: they come first."""
        gate = next((gate for gate in plan.gates if gate.waiting), None)
        if gate is None:
            return None
        bound = gate.full_line
        full = Full(subject=gate.subject, what="queue", limit=gate.line_length, used=gate.waiting, retry_after=gate.limit.queue, waits=True)
        return Block(gate, bound or full, None)

    def _block(self, plan: Plan, amounts: Amounts, now: float) -> Block | None:
        """The first gate that has no room, None when all have."""
        for gate in plan.gates:
            if gate.active >= gate.cap:
                return self._crowded(gate, now)
            for window in gate.windows:
                if now >= window.edge:
                    window.advance(now)
                if window.used + amounts[window.kind] > window.cap:
                    return self._short(gate, window, amounts[window.kind], now)
        return None

    def _crowded(self, gate: Gate, now: float) -> Block:
        if self._leases is None or gate.places is None or gate.places.cap >= gate.bound:
            return Block(gate, gate.crowded(now), None)
        if self._leases.down:
            return Block(gate, _untold(gate.subject, gate.bound, "requests at a time"), None)
        full = gate.crowded(now)
        if not gate.places.denied(now):
            gate.places.want()
            self._leases.wake(gate)
            return Block(gate, full, None)
        return Block(gate, full, gate.places.again(now))

    def _short(self, gate: Gate, window: Window, amount: int, now: float) -> Block:
        on_its_way = False
        if isinstance(window, LeasedWindow) and self._leases is not None and amount <= window.limit:
            if self._leases.down:
                return Block(gate, _untold(gate.subject, window.limit, window.rate.per), None)
            on_its_way = not window.denied(amount, now)
            if on_its_way:
                window.want(amount)
                self._leases.wake(gate)
        after = window.wait(amount, now)
        full = Full(
            subject=gate.subject,
            what=window.rate.what,
            limit=window.limit,
            used=window.taken,
            needed=amount,
            retry_after=after,
            waits=on_its_way or (gate.queues and after is not None),
            per=window.rate.per,
            field=window.rate.field,
        )
        return Block(gate, full, None if on_its_way else window.again(amount, now))


def _take(plan: Plan, amounts: Amounts) -> Permit:
    """Count an admission that fits."""
    slots = []
    for window in plan.windows:
        amount = amounts[window.kind]
        window.used += amount
        window.counts[window.at] += amount
        slots.append(window.slot)
    for gate in plan.gates:
        gate.active += 1
    return Permit(plan, amounts, slots)


def _resized(window: Window, limit: int) -> Window:
    window.resize(limit)
    return window


def _untold(subject: str, limit: int, per: str) -> Full:
    """The refusal while those who share a limit cannot be asked (faults F12)."""
    return Full(subject=subject, what="store", limit=limit, used=limit, retry_after=1.0, per=per)
