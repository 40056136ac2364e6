"""``headgate run`` and ``headgate status``."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click
import uvloop

from headgate.assembly.parts import Parts, load_parts
from headgate.assembly.runs import Opened, RunRequest, drive_run, find_run, open_run
from headgate.assembly.status import read_status, status_json
from headgate.batch.control import INTERRUPTED, Control, Stop
from headgate.batch.states import RunState
from headgate.batch.worker import Result
from headgate.cli import sanitize
from headgate.cli.output import ProgressPrinter, money, table
from headgate.domain.cost import NANO
from headgate.wire.json import encode_text

TIMED_OUT = Stop("the time given with --timeout is up", 3)
CONFIRM_OVER = 50
"""Units above which a realtime run with a real provider asks before it spends money (OCT-130)."""


class Duration(click.ParamType[float]):
    """A time such as 90s, 30m or 1h30m, as seconds."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read hours, minutes and seconds, in this order, each with its letter."""
        if isinstance(value, float):
            return value
        found = _DURATION.fullmatch(str(value))
        seconds = sum(int(n or 0) * unit for n, unit in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0
        if not seconds:
            self.fail(f"{value!r} is not a time; write 90s, 30m or 1h30m", param, ctx)
        return float(seconds)


_DURATION = re.compile(r"(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?")


class Dollars(click.ParamType[int]):
    """An amount such as 2.50, as nano-dollars."""

    name = "USD"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a positive decimal number."""
        if isinstance(value, int):
            return value
        try:
            amount = Decimal(str(value).removeprefix("$"))
        except InvalidOperation:
            self.fail(f"{value!r} is not an amount; write 2.50", param, ctx)
        if not amount.is_finite() or amount <= 0:
            self.fail("the amount must be greater than zero", param, ctx)
        return int(amount * NANO)


@click.command()
@click.argument("pipeline")
@click.option("-p", "--provider", help="Use this provider for every step.")
@click.option("-m", "--model", help="Use this model for every step; provider/model works too.")
@click.option("--mode", type=click.Choice(["batch", "realtime"]), default="realtime", show_default=True, help="How calls are made.")
@click.option("--max-units", "--limit", type=click.IntRange(min=1), help="Run at most so many units.")
@click.option("-r", "--run-dir", "run", metavar="RUN", help="The run's folder or name; an existing run is gone on with.")
@click.option("--max-cost", type=Dollars(), help="Stop before more than this is spent.")
@click.option("--seed", help="Seed of the run's random streams.")
@click.option("--concurrency", type=click.IntRange(1, 4096), help="Calls in flight at once, per provider, account and model.")
@click.option("--timeout", type=Duration(), help="Pause after this long (30m, 2h, 1h30m), with exit code 3.")
@click.option("--api-key", help="The provider's key, for once; others on this machine may see it: prefer the environment or .env.")
@click.option("--grace", type=click.FloatRange(min=0), hidden=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def run(
    pipeline: str,
    provider: str | None,
    model: str | None,
    mode: str,
    max_units: int | None,
    run: str | None,
    max_cost: int | None,
    seed: str | None,
    concurrency: int | None,
    grace: float | None,
    timeout: float | None,
    api_key: str | None,
    **flags: bool,
) -> int:
    """Run PIPELINE (a name or a folder), or go on with a run.

    Exit codes: 0 complete, 1 failed, 2 cost limit, 3 timeout, 130 interrupted (run the same command with --run-dir to go on).
    """
    parts = load_parts(key=api_key)
    request = RunRequest(
        pipeline=pipeline,
        provider=provider,
        model=model,
        mode=mode,
        max_units=max_units,
        run=run,
        max_cost_nanos=max_cost,
        seed=seed,
        concurrency=concurrency,
        grace=grace,
    )
    opened = open_run(parts, request)
    announce(opened)
    confirm(opened, max_units, flags["yes"])
    result = drive(parts, opened, flags["quiet"], timeout)
    conclude(opened, result, flags["as_json"])
    return result.exit_code


def announce(opened: Opened) -> None:
    """Say what is about to happen, and where."""
    plan = opened.plan
    verb = "resuming" if opened.resumed else "run"
    targets = ", ".join(sorted({target.name for target in plan.targets.values()})) or "no provider"
    click.echo(f"{verb} {plan.run_id}: {plan.pipeline.name}, {plan.options.mode}, {targets}", err=True)
    click.echo(f"folder {opened.home.folder}", err=True)
    for note in opened.notes:
        click.echo(f"note: {sanitize(note)}", err=True)


def confirm(opened: Opened, max_units: int | None, yes: bool) -> None:
    """Ask before many real calls are made."""
    plan = opened.plan
    units = plan.pipeline.unit_count(max_units)
    real = [target.name for target in plan.targets.values() if not target.provider.simulated]
    if yes or opened.resumed or not real or units <= CONFIRM_OVER or not sys.stdin.isatty():
        return
    if not click.confirm(f"{units} units, {units * len(real)} calls to {', '.join(sorted(set(real)))}. Go on?", err=True):
        opened.home.release()
        raise click.Abort


def drive(parts: Parts, opened: Opened, quiet: bool, limit: float | None = None) -> Result:
    """Drive the run, for at most `limit` seconds; the first Ctrl-C pauses it, the second ends the process at once."""
    printer = ProgressPrinter(quiet)

    async def main() -> Result:
        control = Control()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _interrupt, loop, control, number)
        if limit is not None:
            loop.call_later(limit, control.stop, TIMED_OUT)
        return await drive_run(parts, opened, printer, control)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(main())
    printer.finish()
    return result


def _interrupt(loop: asyncio.AbstractEventLoop, control: Control, number: signal.Signals) -> None:
    click.echo("\npausing: calls in flight get a moment to finish; once more to stop at once", err=True)
    loop.remove_signal_handler(number)
    signal.signal(number, signal.SIG_DFL)
    control.stop(INTERRUPTED)


def conclude(opened: Opened, result: Result, as_json: bool) -> None:
    """Say how it ended, where things lie, and how to go on."""
    progress = result.progress
    if as_json:
        document = {
            "run": opened.plan.run_id,
            "folder": str(opened.home.folder),
            "state": result.state.value,
            "exit_code": result.exit_code,
            "valid": progress.valid,
            "failed": progress.failed,
            "cost_nanos": progress.spent,
            "reason": result.reason,
            "outputs": {name: str(path) for name, path in result.outputs.items()},
        }
        click.echo(encode_text(document))
        return
    click.echo(f"{result.state.value}: {progress.valid} valid, {progress.failed} failed, {money(progress.spent)}")
    for name, path in result.outputs.items():
        click.echo(f"  {name:9} {_short(path)}")
    if result.state is not RunState.COMPLETE:
        click.echo(f"reason: {sanitize(result.reason or 'unknown')}", err=True)
        if result.hint:
            click.echo(f"hint: {sanitize(result.hint)}", err=True)
        click.echo(f"go on with: headgate run {opened.plan.pipeline.name} --run-dir {_short(opened.home.folder)}", err=True)


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


@click.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def status(run: str, as_json: bool) -> int:
    """Show how RUN (a folder, a name, or the beginning of one) stands. Reads only; the run is not disturbed."""
    found = read_status(find_run(load_parts(), run))
    if as_json:
        click.echo(encode_text(status_json(found)))
        return 0
    row = found.run
    total = row.total if row.total is not None else f"{row.planned} planned so far"
    click.echo(f"{row.id}: {row.pipeline}, {row.mode}, {found.state}" + (f" ({sanitize(row.reason)})" if row.reason else ""))
    click.echo(f"units {total}, spent {money(found.spent)}, set aside {money(found.held)}")
    rows = [
        (
            s.name,
            f"{s.provider}/{s.model}" if s.provider else "—",
            str(s.started),
            str(s.valid),
            str(s.failed),
            str(s.pending),
            money(s.cost_nanos),
        )
        for s in found.steps
    ]
    click.echo(table(rows, ("step", "target", "started", "valid", "failed", "pending", "cost"), frozenset({2, 3, 4, 5, 6})))
    for submission in found.submissions:
        seen = submission.raw_status or "not looked at yet"
        click.echo(f"batch {submission.batch_id or '—'}: {submission.state.value}, {seen}, {submission.rows} rows")
    for problem in found.problems:
        click.echo(f"warning: {problem}", err=True)
    return 0
