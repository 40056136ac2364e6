"""The router: a table of names, what is known of each deployment, and plans by the policy. It opens nothing and waits for nothing.

The order of a request::

    plan = router.plan(wish, now)
    started = router.start(plan, now)              # (choice, flight), or None: router.refusal(plan, wish)
    flight.first_byte(now)                         # when the first event has come
    flight.ended(WELL, now, router.draw())         # or report_of(error); always, exactly once
    router.next(plan, tried, error, now, deadline) # Retry(after) | Fallback(choice) | GiveUp(...)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

from headgate.config.route_settings import RoutingSettings
from headgate.errors import ErrorKind, HeadgateError
from headgate.router.attempts import Decision, GiveUp, Progress, Retry, decide_hedge, decide_next, failure_of
from headgate.router.features import Decided, digest_of
from headgate.router.health import HEALTH, HealthSettings, State
from headgate.router.live import Credential, Flight, Live
from headgate.router.policy import decide, overtaken
from headgate.router.ready import Ready
from headgate.router.refusal import refusal_of
from headgate.router.table import RoutingTable
from headgate.router.values import FRESH, Choice, Deployment, Entry, Plan, Standing, Wish

REMEMBERED = 1024
"""Deployments and plans that come from names clients use; more are forgotten, idle ones first."""
PANIC_EVERY = 1.0
"""Seconds between two tries of a name whose deployments are all ill."""


class Router:
    """Chooses deployments and keeps their health. `random` gives numbers in [0, 1). Times are seconds on the caller's monotonic clock.

    One per process; not for several threads.
    """

    def __init__(self, table: RoutingTable, random: Callable[[], float], health: HealthSettings = HEALTH) -> None:
        self.draw = random
        self._health = health
        self._table = table
        self._lives: dict[str, Live] = {}
        self._credentials: dict[str, Credential] = {}
        self._ready: dict[tuple[object, ...], Ready] = {}

    @property
    def settings(self) -> RoutingSettings:
        """How one is chosen."""
        return self._table.routing

    @property
    def table(self) -> RoutingTable:
        """The names in force."""
        return self._table

    def plan(self, wish: Wish, now: float, panic: bool = True) -> Plan:
        """Whom to ask for `wish`; `panic` says whether one may be tried although all are ill. Raises `ConfigError` for a name that stands
        for nothing."""
        key = (wish.model, wish.provider, wish.operation, wish.needs, wish.allowed)
        ready = self._ready.get(key)
        if ready is None:
            ready = self._prepared(key, wish)
        ready.turn += 1
        if ready.clear(wish, now):
            return ready.plan(wish, self.draw())
        return self._decided(wish, ready, now, panic)

    def explain(self, wish: Wish, now: float) -> Plan:
        """As `plan`, with every score, and without taking a turn or a try."""
        entry = self._table.find(wish.model, wish.provider)
        ready = self._ready.get((wish.model, wish.provider, wish.operation, wish.needs, wish.allowed))
        turn = 1 if ready is None else ready.turn + 1
        panic = ready is None or now - ready.panic_at >= PANIC_EVERY
        return decide(wish, entry, self.standings(entry, now), self.settings, self.draw(), now, turn, panic)

    def standings(self, entry: Entry, now: float) -> dict[str, Standing]:
        """How the candidates of an entry stand."""
        found = {}
        for candidate in entry.candidates:
            live = self._lives.get(candidate.deployment.id)
            found[candidate.deployment.id] = FRESH if live is None else live.standing(now)
        return found

    def start(self, plan: Plan, now: float, tried: Sequence[str] = ()) -> tuple[Choice, Flight] | None:
        """Begin with the first deployment of the plan that is not `tried` and takes a call now; None when there is none."""
        for choice in plan.order:
            if choice.deployment.id not in tried:
                flight = self._live(choice.deployment).begin(now, early=plan.panic)
                if flight is not None:
                    return choice, flight
        return None

    def begin(self, deployment: Deployment, now: float, again: bool = False, early: bool = False) -> Flight | None:
        """A call to `deployment` is about to be sent (`again`: after `Retry`; `early`: of a plan in panic); None when it may not be: see
        `start`."""
        return self._live(deployment).begin(now, early=early, again=again)

    def next(self, plan: Plan, tried: Sequence[str], error: HeadgateError, now: float, deadline: float, content: bool = False) -> Decision:
        """What after the last of `tried` (ids of all attempts, in order) failed with `error`, which its flight has been told.

        A retry that is granted has been taken from the budget.
        """
        progress, failure = self._progress(plan, tried, now, content), failure_of(error)
        decision = decide_next(plan, progress, failure, self.settings, now, deadline, self.draw())
        if isinstance(decision, Retry) and not self._withdraw(tried[-1], now):
            decision = GiveUp("the retry budget is used up", failure.retry_after, should_retry=False)
        if isinstance(decision, GiveUp) and failure.kind is ErrorKind.RATE_LIMIT and failure.retry_after is None and not content:
            return self._told_when(decision, progress.ready_at - now)
        return decision

    def _told_when(self, decision: GiveUp, wait: float) -> GiveUp:
        """A limit whose provider does not say when it ends: the client hears how long the deployment is left alone for it (case 85)."""
        return msgspec.structs.replace(decision, retry_after=wait) if wait > 0 else decision

    def hedge(self, plan: Plan, tried: Sequence[str], waited: float, now: float) -> Choice | None:
        """Whom to ask as well while the first has been silent for `waited` seconds; it has been taken from that one's retry budget."""
        choice = decide_hedge(plan, self._progress(plan, tried, now, content=False), waited)
        return choice if choice is not None and self._withdraw(choice.deployment.id, now) else None

    def _progress(self, plan: Plan, tried: Sequence[str], now: float, content: bool) -> Progress:
        last = self._lives.get(tried[-1])
        blocked = frozenset(
            choice.deployment.id for choice in plan.order if choice.deployment.id not in tried and not self._open(choice.deployment.id, now)
        )
        return Progress(
            tried=tuple(tried),
            content=content,
            retries=1.0 if last is None else last.retries.left(now),
            ready_at=-math.inf if last is None else last.standing(now).available_at,
            blocked=blocked,
        )

    def _open(self, id: str, now: float) -> bool:
        """Whether a deployment may be asked now, as far as its health goes."""
        live = self._lives.get(id)
        if live is None or now >= live.clear_after:
            return True
        standing = live.standing(now)
        return standing.blocked in ("", "ejected") or standing.available_at <= now

    def _withdraw(self, id: str, now: float) -> bool:
        live = self._lives.get(id)
        return live is None or live.retries.withdraw(now)

    def decided(self, wish: Wish, plan: Plan, at: float, now: float) -> Decided:
        """The line for the log of decisions, as far as it is known when the plan is made. `at` is seconds since the epoch."""
        live = {choice.deployment.id for choice in plan.order} | {one.deployment.id for one in plan.rejected}
        stood = {id: self._lives[id].standing(now) for id in live if id in self._lives}
        kept = {id: standing for id, standing in stood.items() if standing != FRESH}
        first = plan.first
        blind = msgspec.structs.replace(wish, session=digest_of(wish.session), prefix=digest_of(wish.prefix))
        ready = self._ready.get((wish.model, wish.provider, wish.operation, wish.needs, wish.allowed))
        return Decided(
            at=at,
            wish=blind,
            standings=kept,
            draw=self.draw(),
            turn=0 if ready is None else ready.turn,
            now=now,
            chosen=None if first is None else first.id,
            strategy=plan.strategy,
        )

    def refusal(self, plan: Plan, wish: Wish) -> HeadgateError:
        """The error for a plan that nobody takes."""
        return refusal_of(plan, wish.model)

    def turned_away(self, plan: Plan, now: float, name: str = "") -> HeadgateError:
        """The error for a plan whose deployments have all turned the call away since it was made; `name` as for `refusal_of`."""
        lives = [(choice.deployment.id, self._live(choice.deployment)) for choice in plan.order]
        return refusal_of(overtaken(plan, {id: live.standing(now) for id, live in lives}, now), name)

    def headroom(self, id: str, *, rate: float | None = None, budget: int | None = None) -> None:
        """What limits and budgets of a deployment have left: a share of the rate, nano-dollars. None: no such limit."""
        live = self._lives.get(id)
        if live is not None:
            live.rate_headroom, live.budget = rate, budget
            live.settle()

    def replace(self, table: RoutingTable) -> None:
        """Go on with another table. Deployments that are in both keep their health; quarantines end, for keys may have changed."""
        self._table = table
        self._ready.clear()
        for id, live in tuple(self._lives.items()):
            kept = table.deployments.get(id)
            if kept is not None:
                live.renew(kept, self.settings.retry_budget)
            elif not live.in_flight:
                self._forget(id)
        for credential in self._credentials.values():
            credential.pause.reset()
            credential.settle()

    def reset(self) -> None:
        """Forget all that is known of the health of deployments: whoever was ill is taken to be well."""
        self._lives.clear()
        self._credentials.clear()
        self._ready.clear()

    def snapshot(self, now: float) -> dict[str, Standing]:
        """How every deployment stands that was asked, for health pages and metrics."""
        return {id: live.standing(now) for id, live in self._lives.items()}

    def breakers(self) -> dict[str, State]:
        """The breaker of every deployment that was asked and that a route names or the catalog knows."""
        known = self._table.deployments
        return {id: live.breaker.state for id, live in self._lives.items() if id in known or live.deployment.card is not None}

    def _prepared(self, key: tuple[object, ...], wish: Wish) -> Ready:
        entry = self._table.find(wish.model, wish.provider)
        lives = {candidate.deployment.id: self._live(candidate.deployment) for candidate in entry.candidates}
        if len(self._ready) >= REMEMBERED:
            self._ready.clear()
        ready = self._ready[key] = Ready(entry, wish, self.settings, lives)
        return ready

    def _decided(self, wish: Wish, ready: Ready, now: float, panic: bool) -> Plan:
        panic = panic and now - ready.panic_at >= PANIC_EVERY
        plan = decide(wish, ready.entry, self.standings(ready.entry, now), self.settings, self.draw(), now, ready.turn, panic)
        if plan.panic:
            ready.panic_at = now
        return plan

    def _live(self, deployment: Deployment) -> Live:
        live = self._lives.get(deployment.id)
        if live is None:
            if len(self._lives) >= REMEMBERED:
                self._make_room()
            credential = self._credentials.setdefault(deployment.credential, Credential())
            live = Live(deployment, credential, self._health, self.settings.retry_budget)
            self._lives[deployment.id] = live
        return live

    def _make_room(self) -> None:
        """Forget those that are idle and in no route. Plans may hold them, so these are made anew."""
        self._ready.clear()
        for id, live in tuple(self._lives.items()):
            if not live.in_flight and id not in self._table.deployments:
                self._forget(id)

    def _forget(self, id: str) -> None:
        live = self._lives.pop(id)
        live.credential.lives.remove(live)
        if not live.credential.lives and not live.credential.pause.repeated:
            self._credentials.pop(live.deployment.credential, None)
