"""From a request to a plan: whom to ask, for this bearer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import msgspec

from headgate.errors import ConfigError, MissingKey
from headgate.gateway.asking import Ask
from headgate.gateway.parts import GatewayParts
from headgate.gateway.visible import no_such_model
from headgate.ledger.principal import Principal
from headgate.ledger.receipt import Operation
from headgate.ledger.rights import may_call
from headgate.ledger.spending import Spending
from headgate.router import Deployment, Plan, Wants, Wish
from headgate.router.features import Decided
from headgate.router.reading import read_wish
from headgate.router.refusal import refusal_of
from headgate.router.table import AUTO


def check_ready(spending: Spending) -> None:
    """Raises `StoreError` while what requests cost cannot be booked: then none is admitted."""
    trouble = spending.trouble
    if trouble is not None:
        raise trouble


def planned(
    parts: GatewayParts, principal: Principal, ask: Ask, operation: Operation, session: str | None = None
) -> tuple[Plan, Decided | None]:
    """The plan for a request, and the decision as it is noted down where that is wanted.

    Raises `Unsupported` for directions that cannot be followed, `ConfigError` for an unknown model, and `Refused` (404) for one that this
    bearer may not call, known or not.
    """
    wish, now = _wished(parts, principal, ask, operation, session), asyncio.get_running_loop().time()
    plan = _known(parts.router.plan, principal, wish, now)
    return plan, None if parts.decided is None else parts.router.decided(wish, plan, parts.clock(), now)


def foreseen(
    parts: GatewayParts, principal: Principal, ask: Ask, operation: Operation = "chat", session: str | None = None
) -> tuple[Wish, Plan]:
    """What a request needs, and the plan it would get: no turn is taken for it. What the bearer may not call is not among the rejected.

    Raises as `planned` does.
    """
    wish = _wished(parts, principal, ask, operation, session)
    plan = _known(parts.router.explain, principal, wish, asyncio.get_running_loop().time())
    shown = tuple(one for one in plan.rejected if one.reason != "not_allowed")
    return wish, msgspec.structs.replace(plan, rejected=shown)


def first_choice(parts: GatewayParts, principal: Principal, ask: Ask) -> Deployment:
    """Who would be asked first for a request that costs nothing, however long it is: it takes no turn and no try. Raises as `planned` does,
    and what `refusal_of` says when there is nobody."""
    wish = msgspec.structs.replace(_wished(parts, principal, ask, "chat", None), input_tokens=None, max_output=None, budget=None)
    plan = _known(parts.router.explain, principal, wish, asyncio.get_running_loop().time())
    if plan.first is None:
        raise refusal_of(plan, ask.model)
    return plan.first


def _wished(parts: GatewayParts, principal: Principal, ask: Ask, operation: Operation, session: str | None) -> Wish:
    fields = {**ask.fields, **ask.directed} if ask.directed else ask.fields
    wish = read_wish(ask.body, fields, model=ask.model, operation=operation, session=session, allowed=principal.models)
    return _within(parts, principal, wish)


def _known(decide: Callable[[Wish, float], Plan], principal: Principal, wish: Wish, now: float) -> Plan:
    """The plan, when the name stands for something that this bearer may know of."""
    try:
        plan = _affordable(decide, wish, now)
    except MissingKey:
        raise
    except ConfigError as error:
        if principal.models:
            raise no_such_model(wish.model) from error
        raise
    names = (wish.model, *(one.deployment.name for one in plan.rejected))
    if not plan.order and plan.rejected and not any(may_call(principal, name) for name in names):
        raise no_such_model(wish.model)
    return plan


def cheaper(parts: GatewayParts, principal: Principal, ask: Ask, session: str | None = None) -> Iterator[Plan]:
    """Plans for the same request to whom it costs least, for a budget whose action is ``degrade``: the chain of "auto", then the models of
    the grade "low", each with the cheapest first. What a directed request demanded (privacy, region) still holds."""
    fields = {**ask.fields, **ask.directed} if ask.directed else ask.fields
    for name in (AUTO, "low"):
        wish = read_wish(ask.body, fields, model=name, session=session, allowed=principal.models)
        wants = msgspec.structs.replace(wish.wants or Wants(), hint="cheapest", strategy=None)
        wish = _within(parts, principal, msgspec.structs.replace(wish, provider=None, wants=wants))
        try:
            plan = parts.router.plan(wish, asyncio.get_running_loop().time())
        except ConfigError:
            continue  # nothing is set up that such a name could stand for
        if plan.order:
            yield plan


def _affordable(decide: Callable[[Wish, float], Plan], wish: Wish, now: float) -> Plan:
    """The plan, without regard to what a budget has left where that leaves nobody: the reservation has the last word, and its numbers."""
    plan = decide(wish, now)
    if plan.order or not any(one.reason == "budget" for one in plan.rejected):
        return plan
    return decide(msgspec.structs.replace(wish, budget=None), now)


def _within(parts: GatewayParts, principal: Principal, wish: Wish) -> Wish:
    """The wish, with what the bearer's hard budgets have left."""
    left = parts.spending.headroom(principal, "", "")
    return wish if left is None else msgspec.structs.replace(wish, budget=left)
