"""``headgate demo``: install, one command, a result."""

from __future__ import annotations

from pathlib import Path

import click

from headgate.assembly.demo import DEMOS, TIME_SCALE, Bill, run_bill, simulated
from headgate.assembly.parts import Parts, load_parts
from headgate.assembly.runs import RunRequest, open_run
from headgate.batch.states import RunState
from headgate.batch.worker import Result
from headgate.cli.actions.demo_tables import REPORTS
from headgate.cli.actions.output import money, table
from headgate.cli.actions.runs import drive
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings


def demo(pipeline: str, units: int | None, quiet: bool) -> int:
    """See `headgate demo --help`."""
    parts, shown = load_parts(), DEMOS[pipeline]
    wanted = shown.units if units is None else units
    with Simulator(SimSettings(time_scale=TIME_SCALE)).run_in_thread() as simulator:
        click.echo(f"provider simulator on {simulator.url}; every dollar below is simulated\n")
        there = simulated(parts, simulator.url)
        legs = [_leg(there, RunRequest(pipeline=pipeline, provider=name, mode=mode, max_units=wanted), quiet) for mode, name in shown.legs]
        billed = simulator.bill.total
    if any(result.state is not RunState.COMPLETE for _, _, result in legs):
        return max(result.exit_code for _, _, result in legs)
    _report(pipeline, [(mode, folder) for mode, folder, _ in legs], billed)
    return 0


def _leg(parts: Parts, request: RunRequest, quiet: bool) -> tuple[str, Path, Result]:
    opened = open_run(parts, request)
    wire = next(iter(opened.plan.targets.values())).provider.label
    click.echo(f"{opened.plan.pipeline.unit_count(request.max_units)} units, {opened.plan.options.mode}: {wire}")
    result = drive(parts, opened, quiet)
    progress = result.progress
    click.echo(
        f"{result.state.value}: {progress.valid} valid, {progress.failed} failed, {progress.elapsed:.1f} s, {money(progress.spent)}\n"
    )
    if result.reason:
        click.echo(f"reason: {result.reason}", err=True)
    return opened.plan.options.mode, opened.home.folder, result


def _report(pipeline: str, legs: list[tuple[str, Path]], billed: int) -> None:
    for mode, folder in legs:
        click.echo(f"{pipeline}, {mode}")
        click.echo(REPORTS[pipeline](folder) + "\n")
    bills = [(mode, run_bill(folder)) for mode, folder in legs]
    click.echo(cost_text(bills))
    spent = sum(bill.spent for _, bill in bills)
    verdict = "equal to the nano-dollar" if spent == billed else "NOT EQUAL"
    click.echo(f"\nour receipts {money(spent)}, the simulator's own bill {money(billed)}: {verdict}\n")
    for mode, folder in legs:
        click.echo(f"{mode:9} results  {_short(folder / 'outputs' / 'results.jsonl')}")
        click.echo(f"{'':9} receipts {_short(folder / 'outputs' / 'receipts.jsonl')}")
    click.echo(f"\nlook at one: headgate status {_short(legs[0][1])}")


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
