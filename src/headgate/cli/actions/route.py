"""``headgate route``: decides as the gateway does, and prints it."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict, Unpack

import click
import msgspec

from headgate.assembly.parts import load_parts
from headgate.assembly.routing import router_of, routing_table
from headgate.cli.actions.output import money, table
from headgate.config.route_settings import Strategy, read_strategy
from headgate.errors import UsageError
from headgate.router import Need, Plan, Wants, Wish
from headgate.router.explain import explain_plan, why
from headgate.router.features import Comparison, read_decided
from headgate.router.features import simulate as simulated
from headgate.router.values import Hint
from headgate.wire.json import encode_text


class Asked(TypedDict):
    """What a request is said to be like."""

    model: str
    provider: str | None
    hint: Hint | None
    strategy: str | None
    needs: tuple[Need, ...]
    input_tokens: int | None
    max_output: int | None
    max_cost: int | None
    prefer: tuple[str, ...]
    private: bool
    region: str | None
    embed: bool
    session: str | None


def explain(as_json: bool, **asked: Unpack[Asked]) -> int:
    """See `headgate route explain --help`. The exit code is 1 when nobody would be asked."""
    strategy = asked["strategy"]
    wants = Wants(
        strategy=None if strategy is None else _strategy(strategy),
        hint=asked["hint"],
        preferred=tuple(name.lower() for name in asked["prefer"]),
        max_cost=asked["max_cost"],
        private=asked["private"],
        region=asked["region"],
    )
    wish = Wish(
        model=asked["model"],
        provider=asked["provider"],
        operation="embed" if asked["embed"] else "chat",
        needs=frozenset(asked["needs"]),
        input_tokens=asked["input_tokens"],
        max_output=asked["max_output"],
        session=asked["session"],
        wants=None if wants == Wants() else wants,
    )
    plan = router_of(routing_table(load_parts())).explain(wish, 0.0)
    click.echo(encode_text(explain_plan(plan, wish)) if as_json else _text(plan, wish))
    return 0 if plan.order else 1


def _text(plan: Plan, wish: Wish) -> str:
    asked = [
        (
            str(place),
            choice.deployment.id,
            why(plan.strategy, choice),
            money(choice.deployment.estimate(wish.input_tokens or 0, wish.output_tokens)),
        )
        for place, choice in enumerate(plan.order, start=1)
    ]
    left = [("–", one.deployment.id, f"{one.reason}: {one.detail}", "") for one in plan.rejected]
    head = f"{plan.name}: {plan.strategy}, as {plan.because} say" + ("" if plan.because == "the settings" else "s")
    return f"{head}\n\n{table([*asked, *left], ('', 'deployment', 'why', 'about'), frozenset({0, 3}))}"


def _strategy(text: str) -> Strategy:
    try:
        return read_strategy(text)
    except ValueError as error:
        raise UsageError(f"the strategy {text!r} {error}", hint="headgate route explain --strategy cost_optimized") from error


def simulate(log: str, strategy: str, as_json: bool) -> int:
    """See `headgate route simulate --help`."""
    routing = routing_table(load_parts())
    with Path(log).open("rb") as lines:
        found = simulated(read_decided(lines), routing, _strategy(strategy), routing.routing)
    click.echo(msgspec.json.encode(found).decode() if as_json else _compared(found))
    return 0


def _compared(found: Comparison) -> str:
    rows = [(share.id, f"{share.was:,}", f"{share.would_be:,}", f"{share.would_be / max(1, found.requests):.1%}") for share in found.shares]
    lines = [
        f"{found.requests:,} requests, {found.moved:,} would go elsewhere by {found.strategy}",
        "",
        table(rows, ("deployment", "was", "would be", "share"), frozenset({1, 2, 3})),
        "",
        f"about {money(found.cost_was)} then, {money(found.cost_would_be)} so (list prices, {found.priced:,} requests)",
    ]
    if found.seconds_was is not None and found.seconds_would_be is not None:
        lines.append(
            f"about {found.seconds_was:.2f} s then, {found.seconds_would_be:.2f} s so (means of the log, {found.timed:,} requests)"
        )
    if found.unplaced or found.unknown:
        lines.append(f"{found.unplaced:,} could not be placed, {found.unknown:,} ask for names that are not known now")
    return "\n".join(lines)
