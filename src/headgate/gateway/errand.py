"""One logical request on its way: who asks what, whom it was taken to, what that cost, and the one receipt of it all.

An errand goes to one deployment after another (an *attempt* each) and is settled once. Everything here is synchronous: the ways by callback
and by task share it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import msgspec

from headgate.catalog.cards import Price, day_of
from headgate.catalog.prices import price, unit_prices
from headgate.client import Target
from headgate.dialects.base import Note
from headgate.domain.cost import Cost
from headgate.domain.usage import Usage
from headgate.gateway.labels import UNLABELLED, Labels
from headgate.gateway.outline import Outline
from headgate.gateway.parts import GatewayParts
from headgate.ledger import Attempt, Receipt
from headgate.ledger.intent import asker_of
from headgate.ledger.labels import agent_tag
from headgate.ledger.limit_gates import Permit
from headgate.ledger.principal import Principal
from headgate.ledger.receipt import Operation
from headgate.ledger.spending import Hold
from headgate.ledger.upstream_quota import quotas_of, tells_quotas
from headgate.router import WELL, Flight, Plan, Report, report_of
from headgate.router.features import Decided
from headgate.router.values import Deployment
from headgate.serving.metering import MOST, Call, Outcome, charged_usage, error_kind, lists_price, status_of, unbilled, wire_of

T = TypeVar("T")
R = TypeVar("R")
NOTHING = Cost(0)
NO_USAGE = Usage()
UNCALLED = Outcome(called=False)


class Errand:
    """See above. `at` is seconds since the epoch, `clock` loop time, `id` that of the receipt. `content`: the client has seen some.

    `named` are id and time where they were taken before.
    """

    __slots__ = (
        "at",
        "attempts",
        "clock",
        "content",
        "decided",
        "degraded",
        "dialect_in",
        "holds",
        "id",
        "labels",
        "operation",
        "outline",
        "parts",
        "permit",
        "plan",
        "principal",
        "receipt",
        "rivalry",
        "route",
        "stream",
        "told",
        "tried",
    )

    def __init__(
        self,
        parts: GatewayParts,
        principal: Principal,
        outline: Outline,
        plan: Plan,
        *,
        route: str,
        dialect_in: str,
        clock: float,
        labels: Labels = UNLABELLED,
        operation: Operation = "chat",
        told: Callable[[Receipt], None] | None = None,
        decided: Decided | None = None,
        named: tuple[str, float] | None = None,
    ) -> None:
        self.parts = parts
        self.principal = principal
        self.outline = outline
        self.plan = plan
        self.route = route
        self.dialect_in = dialect_in
        self.stream = outline.stream
        self.clock = clock
        self.labels = labels
        self.operation: Operation = operation
        self.told = told
        self.decided = decided
        self.id, self.at = (parts.new_id(), parts.clock()) if named is None else named
        self.attempts: list[Attempt] = []
        self.tried: list[str] = []
        self.holds: list[tuple[Hold, int | None]] = []
        self.content = False
        self.receipt: Receipt | None = None
        self.permit: Permit | None = None
        self.degraded = False
        """A budget has only room for a model that costs less."""
        self.rivalry = False
        """Several visits are under way: none of them settles anything by itself."""

    def settle(self, last: Visit | None, now: float) -> Receipt | None:
        """The errand is over: its receipt, written in the background. None when nobody was ever visited. A second time changes nothing.

        `last` is the visit that answered, or the last that failed.
        """
        if self.receipt is not None or self.rivalry:
            return self.receipt
        usage = NO_USAGE if last is None else last.usage
        permit, self.permit = self.permit, None
        if permit is not None:
            permit.settle(usage.input_total, usage.output_total)
            permit.release()
        if last is None:
            return None
        self.receipt = receipt = self._made(last, usage, now)
        self.parts.spending.close(receipt, self.holds)
        self.parts.settled(receipt, self.route, self.labels.trace)
        if self.told is not None:
            self.told(receipt)
        if self.decided is not None and self.parts.decided is not None:
            self.parts.decided(ended(self.decided, receipt))
        return receipt

    def _made(self, last: Visit, usage: Usage, now: float) -> Receipt:
        outcome, target = last.outcome, last.target
        response, asker, labels = outcome.response, _asker(self.principal), self.labels
        return Receipt(
            id=self.id,
            at=self.at,
            face="gateway",
            provider=target.provider.name,
            account=target.credential.account,
            model=target.model,
            model_answered=response.model or None,
            dialect_in=self.dialect_in,
            dialect_out=last.wire or wire_of(last.call),
            operation=self.operation,
            stream=self.stream,
            status=status_of(outcome),
            finish=None if response.finish is None else response.finish.value,
            error=error_kind(outcome.error),
            attempts=tuple(self.attempts),
            usage=usage,
            cost_nanos=self.spent(),
            price_rule=last.cost.rule,
            price_digest=last.cost.digest,
            unit_prices=unit_prices(last.prices, usage),
            notes=last.notes,
            run=labels.run,
            request_id=self.attempts[-1].request_id,
            duration=now - self.clock,
            first_byte=None if outcome.first_byte is None else last.began - self.clock + outcome.first_byte,
            key=asker.key,
            team=asker.team,
            user=asker.user,
            tags=asker.tags if labels.agent is None else (*asker.tags, agent_tag(labels.agent)),
            tenant=asker.tenant,
            session=labels.session,
            explanation=_explanation(self.plan),
            bound_nanos=last.hold.bound or None,
        )

    def spent(self) -> int | None:
        """What all attempts so far cost together, in nano-dollars; None as soon as one of them has no price."""
        total = 0
        for attempt in self.attempts:
            if attempt.cost_nanos is None:
                return None
            total += attempt.cost_nanos
        return total


def ended(decided: Decided, receipt: Receipt) -> Decided:
    """A routing decision with what came of it."""
    return msgspec.structs.replace(
        decided,
        attempts=len(receipt.attempts),
        cost_nanos=receipt.cost_nanos,
        first_byte=receipt.first_byte,
        duration=receipt.duration,
    )


class Remembered(Generic[T, R]):
    """A function of one frozen value, its results remembered by identity, a bounded number of them."""

    def __init__(self, function: Callable[[T], R], most: int = 1024) -> None:
        self._function = function
        self._most = most
        self._known: dict[int, tuple[T, R]] = {}

    def __call__(self, value: T) -> R:
        """The result for `value`."""
        known = self._known.get(id(value))
        if known is not None and known[0] is value:
            return known[1]
        if len(self._known) >= self._most:
            self._known.clear()
        found = self._function(value)
        self._known[id(value)] = value, found
        return found


def _explained(plan: Plan) -> str:
    return plan.explanation


_explanation = Remembered(_explained)
_asker = Remembered(asker_of)


def hear(parts: GatewayParts, deployment: Deployment, headers: Mapping[str, str], now: float) -> None:
    """Have the limiter know what a provider's headers say is left. `now` is loop time."""
    if tells_quotas(headers):
        parts.limiter.heard(f"deployment:{deployment.id}", quotas_of(headers, parts.clock()), now)


class Visit:
    """One attempt: a deployment is asked. It ends once, by `over`, which gives back what it held and notes what it cost."""

    __slots__ = (
        "began",
        "cost",
        "deployment",
        "ended",
        "errand",
        "flight",
        "hold",
        "left",
        "notes",
        "outcome",
        "place",
        "prices",
        "size",
        "target",
        "usage",
        "wire",
    )

    def __init__(
        self,
        errand: Errand,
        deployment: Deployment,
        target: Target,
        flight: Flight,
        hold: Hold,
        place: Permit | None,
        now: float,
        wire: str = "",
    ) -> None:
        self.errand = errand
        self.deployment = deployment
        self.target = target
        self.flight = flight
        self.hold = hold
        self.place = place
        self.began = now
        self.ended = False
        self.left = False
        self.outcome = UNCALLED
        self.usage = NO_USAGE
        self.cost = NOTHING
        self.prices: Price | None = None
        self.size = 0
        self.notes: tuple[Note, ...] = ()
        self.wire = wire
        errand.tried.append(deployment.id)

    @property
    def call(self) -> Call:
        """What is asked, as receipts describe it."""
        errand = self.errand
        return Call(
            id=errand.id,
            at=errand.at,
            clock=errand.clock,
            face="gateway",
            target=self.target,
            dialect_in=errand.dialect_in,
            stream=errand.stream,
            operation=errand.operation,
            request_bytes=self.size,
            notes=self.notes,
        )

    def leaves(self) -> None:
        """Bytes leave now: from here on it may cost. A second time says nothing new."""
        if not self.left:
            self.left = True
            self.errand.parts.spending.sent(self.hold)

    def hear(self, headers: Mapping[str, str], now: float) -> None:
        """What the provider's headers say is left of its own limits holds for those who come after."""
        hear(self.errand.parts, self.deployment, headers, now)

    def over(self, outcome: Outcome, now: float) -> None:
        """It is over. A second time changes nothing."""
        if self.ended:
            return
        self.ended = True
        errand = self.errand
        self.outcome = outcome
        if not unbilled(outcome):
            self._charge(outcome)
        self._tell_health(now)
        if outcome.error is not None and not outcome.cancelled:
            errand.parts.count("attempt_failed", error_kind(outcome.error) or "unknown", 1)
        place, self.place = self.place, None
        if place is not None:
            place.settle(self.usage.input_total, self.usage.output_total)
            place.release()
        if outcome.called:
            errand.holds.append((self.hold, self.cost.nanos))
        else:
            errand.parts.spending.refund(self.hold)
        errand.attempts.append(self._attempt(now))

    def costs(self, outcome: Outcome) -> Cost:
        """What the errand costs if it ends with this visit, and the visit so."""
        before = self.errand.spent()
        own = price(self._prices(outcome), self._counted(outcome)).nanos
        return Cost(None if own is None or before is None else before + own)

    def _charge(self, outcome: Outcome) -> None:
        self.usage, self.prices = self._counted(outcome), self._prices(outcome)
        self.cost = price(self.prices, self.usage)

    def _counted(self, outcome: Outcome) -> Usage:
        counted = outcome.response.usage
        plain = outcome.whole and counted is not None and 0 < counted.output_total <= MOST and 0 < counted.input_total <= MOST
        found = counted if plain and counted is not None and not counted.fees else charged_usage(self.call, outcome)
        return found if found.native is None else self.target.chat.plain_usage(found)

    def _prices(self, outcome: Outcome) -> Price | None:
        card = self.target.card
        return card.price_on(day_of(self.errand.at)) if card is not None and lists_price(outcome.response.service_tier) else None

    def _tell_health(self, now: float) -> None:
        outcome, flight, draw = self.outcome, self.flight, self.errand.parts.router.draw()
        if outcome.first_byte is not None:
            flight.first_byte(self.began + outcome.first_byte)
        if outcome.error is not None and not outcome.cancelled:
            flight.ended(report_of(outcome.error), now, draw)
            return
        if outcome.first_byte is None:
            if outcome.whole:
                flight.first_byte(now)
            flight.ended(WELL, now, draw)
        else:
            spoke = now - self.began - outcome.first_byte
            flight.ended(Report(output_tokens=self.usage.output_total, seconds=spoke), now, draw)

    def _attempt(self, now: float) -> Attempt:
        outcome, error, deployment = self.outcome, self.outcome.error, self.deployment
        return Attempt(
            provider=deployment.provider,
            model=deployment.model,
            account=self.target.credential.account,
            deployment=deployment.id,
            status=outcome.status if outcome.status is not None else getattr(error, "status", None),
            kind=error_kind(error),
            started=self.errand.at + (self.began - self.errand.clock),
            duration=now - self.began,
            first_byte=outcome.first_byte,
            request_id=outcome.upstream_id or getattr(error, "request_id", None),
            cost_nanos=self.cost.nanos,
        )
