"""``headgate demo``: install, one command, a result."""

from __future__ import annotations

from pathlib import Path

import click

from headgate.assembly.demo import LEGS, PIPELINE, TIME_SCALE, Bill, Outcomes, run_bill, simulated, walk_outcomes
from headgate.assembly.parts import Parts, load_parts
from headgate.assembly.runs import RunRequest, open_run
from headgate.batch.states import RunState
from headgate.batch.worker import Result
from headgate.cli.actions.output import money, table
from headgate.cli.actions.runs import drive
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings


def demo(units: int, quiet: bool) -> int:
    """See `headgate demo --help`."""
    parts = load_parts()
    with Simulator(SimSettings(time_scale=TIME_SCALE)).run_in_thread() as simulator:
        click.echo(f"provider simulator on {simulator.url}; every dollar below is simulated\n")
        legs = [_leg(simulated(parts, simulator.url), mode, provider, units, quiet) for mode, provider in LEGS]
        billed = simulator.bill.total
    if any(result.state is not RunState.COMPLETE for _, _, result in legs):
        return max(result.exit_code for _, _, result in legs)
    _report([(mode, folder) for mode, folder, _ in legs], billed)
    return 0


def _leg(parts: Parts, mode: str, provider: str, units: int, quiet: bool) -> tuple[str, Path, Result]:
    opened = open_run(parts, RunRequest(pipeline=PIPELINE, provider=provider, mode=mode, max_units=units))
    wire = next(iter(opened.plan.targets.values())).provider.label
    click.echo(f"{units} units, {mode}: {wire}")
    result = drive(parts, opened, quiet)
    progress = result.progress
    click.echo(
        f"{result.state.value}: {progress.valid} valid, {progress.failed} failed, {progress.elapsed:.1f} s, {money(progress.spent)}\n"
    )
    if result.reason:
        click.echo(f"reason: {result.reason}", err=True)
    return mode, opened.home.folder, result


def _report(legs: list[tuple[str, Path]], billed: int) -> None:
    for mode, folder in legs:
        click.echo(f"{PIPELINE}, {mode}")
        click.echo(outcome_text(walk_outcomes(folder)) + "\n")
    bills = [(mode, run_bill(folder)) for mode, folder in legs]
    click.echo(cost_text(bills))
    spent = sum(bill.spent for _, bill in bills)
    verdict = "equal to the nano-dollar" if spent == billed else "NOT EQUAL"
    click.echo(f"\nour receipts {money(spent)}, the simulator's own bill {money(billed)}: {verdict}\n")
    for mode, folder in legs:
        click.echo(f"{mode:9} results  {_short(folder / 'outputs' / 'results.jsonl')}")
        click.echo(f"{'':9} receipts {_short(folder / 'outputs' / 'receipts.jsonl')}")
    click.echo(f"\nlook at one: headgate status {_short(legs[0][1])}")


def outcome_text(outcomes: Outcomes) -> str:
    """The outcome table with intervals of 95 % beside the exact theory."""
    theory = outcomes.theory
    exact = {"reached_ship": theory.upper_share, "fell_in_water": 1 - theory.upper_share}
    rows = [
        (value, str(count), f"{share.value:6.1%}", f"{share.low:.1%} to {share.high:.1%}", f"{exact.get(value, 0.0):.1%}")
        for value, count, share in outcomes.shares
    ]
    steps = outcomes.steps
    interval = f"{steps.low:.1f} to {steps.high:.1f}"
    rows.append(("steps (mean)", str(outcomes.walks), f"{steps.value:.1f}", interval, f"{theory.mean_steps:.1f}"))
    return table(rows, ("outcome", "n", "observed", "95 % interval", "theory"), frozenset({1, 2, 4}))


def cost_text(bills: list[tuple[str, Bill]]) -> str:
    """What each run cost, and what its tokens cost at batch and at realtime prices."""
    rows = [
        (
            mode,
            str(bill.calls),
            f"{bill.usage.input_total:,}",
            f"{bill.usage.output_total:,}",
            money(bill.spent),
            money(bill.at_batch),
            money(bill.at_realtime),
        )
        for mode, bill in bills
    ]
    return table(rows, ("run", "calls", "tokens in", "out", "cost", "at batch price", "at realtime price"), frozenset(range(1, 7)))


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
