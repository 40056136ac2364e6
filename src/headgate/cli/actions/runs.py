"""``headgate run`` and ``validate``."""

from __future__ import annotations

import asyncio
import gc
import signal
from pathlib import Path

import click
import msgspec
import uvloop

from headgate.assembly.parts import Parts, load_parts
from headgate.assembly.pipelines import Checked, check_pipeline, checked_json
from headgate.assembly.run_words import spent_text
from headgate.assembly.runs import Opened, RunRequest, ask_for_mode, drive_run, find_run, open_run
from headgate.batch.control import INTERRUPTED, TIMED_OUT, Control
from headgate.batch.pipeline_load import STAGES
from headgate.batch.progress import Progress
from headgate.batch.states import RunState
from headgate.batch.worker import Result
from headgate.cli import sanitize
from headgate.cli.actions.output import ProgressPrinter
from headgate.cli.actions.plan import Look, announce, look_ahead, plan_run
from headgate.cli.actions.signals import listen
from headgate.domain.printable import counted
from headgate.wire.json import Json, encode_text

COLLECTED = (20_000, 20, 20)
"""How seldom a run looks for rings of garbage (see `gc.set_threshold`): it makes few, and hundreds of objects for each unit. What was
loaded before it is not looked at again."""


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of ``headgate run``, named as the command declares them; `max_cost` in nano-dollars, `timeout` in seconds."""

    pipeline: str
    yes: bool
    quiet: bool
    as_json: bool
    mode: str | None = None
    deadline: float | None = None
    provider: str | None = None
    model: str | None = None
    max_units: int | None = None
    run: str | None = None
    max_cost: int | None = None
    seed: str | None = None
    concurrency: int | None = None
    grace: float | None = None
    timeout: float | None = None
    account: str | None = None
    api_key: str | None = None
    allow_scripts: bool = False
    items: str | None = None
    units_file: str | None = None
    cache: bool | None = None
    plan: bool = False
    fan_out: float | None = None
    confirm_over: int | None = None
    no_preflight: bool = False

    @property
    def request(self) -> RunRequest:
        """What is asked of the composition root."""
        return RunRequest(
            pipeline=self.pipeline,
            provider=self.provider,
            model=self.model,
            mode=self.mode,
            max_units=self.max_units,
            run=self.run,
            max_cost_nanos=self.max_cost,
            seed=self.seed,
            concurrency=self.concurrency,
            grace=self.grace,
            allow_scripts=self.allow_scripts,
            deadline=self.deadline,
            items=self.items,
            units_file=self.units_file,
            cache=self.cache,
        )


def run(**given: Json) -> int:
    """See `headgate run --help`."""
    options = msgspec.convert(given, RunOptions)
    parts = load_parts(key=options.api_key, account=options.account)
    if options.plan:
        return plan_run(parts, options.request, options.fan_out, options.as_json)
    look = Look(options.yes, options.fan_out, options.confirm_over, options.no_preflight)
    opened = open_run(parts, options.request, lambda drafted: look_ahead(parts, drafted, look))
    if opened.resumed:
        announce(opened)
    result = drive(parts, opened, options.quiet, options.timeout)
    conclude(opened, result, options.as_json)
    return result.exit_code


def drive(parts: Parts, opened: Opened, quiet: bool, limit: float | None = None) -> Result:
    """Drive the run, for at most `limit` seconds; the first Ctrl-C pauses it, the second ends the process at once."""
    printer = ProgressPrinter(quiet)

    async def main() -> Result:
        control = Control()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _interrupt, loop, control, number)
        listen(loop, opened.home.folder, printer)
        if limit is not None:
            loop.call_later(limit, control.stop, TIMED_OUT)
        return await drive_run(parts, opened, printer, control)

    gc.freeze()
    gc.set_threshold(*COLLECTED)
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
    for notice in result.notices:
        click.echo(f"note: {sanitize(notice)}", err=True)
    if as_json:
        document = {
            "run": opened.plan.run_id,
            "folder": str(opened.home.folder),
            "state": result.state.value,
            "exit_code": result.exit_code,
            "valid": progress.valid,
            "failed": progress.failed,
            "cost_nanos": None if progress.unpriced else progress.spent,
            "unpriced_calls": progress.unpriced,
            "reason": result.reason,
            "outputs": {name: str(path) for name, path in result.outputs.items()},
        }
        click.echo(encode_text(document))
        return
    click.echo(ended(result.state, progress))
    width = max(map(len, result.outputs), default=0)
    for name, path in result.outputs.items():
        click.echo(f"  {sanitize(name):{width}}  {sanitize(short(path))}")
    if result.reason:
        click.echo(f"reason: {sanitize(result.reason)}", err=True)
    if result.hint:
        click.echo(f"hint: {sanitize(result.hint)}", err=True)
    if result.state is not RunState.COMPLETE:
        click.echo(f"go on with: headgate run {opened.plan.pipeline.name} --run-dir {short(opened.home.folder)}", err=True)


def ended(state: RunState, progress: Progress, reason: str | None = None) -> str:
    """How a run ended, in a line."""
    told = f" ({sanitize(reason)})" if reason else ""
    cost = "cost " * (progress.unpriced > 0) + spent_text(progress.spent, progress.unpriced)
    return f"{state.value}{told}: {progress.valid:,} valid, {progress.failed:,} failed, {cost}"


def short(path: Path) -> str:
    """A path as people may type it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def switch(run: str, mode: str) -> int:
    """See `headgate switch --help`."""
    parts = load_parts()
    folder = find_run(parts, run)
    now = ask_for_mode(parts, folder, mode)
    click.echo(f"{folder.name} goes on as {mode}" + ("" if now else ", when it is run again"))
    return 0


def validate(pipeline: str, units: int, show_prompt: bool, as_json: bool, items: str | None = None) -> int:
    """See `headgate validate --help`."""
    checked = asyncio.run(check_pipeline(pipeline, units, items))
    if as_json:
        click.echo(encode_text(checked_json(checked)))
    else:
        _tell_checked(checked, show_prompt)
    return 3 if checked.errors else 0


def _tell_checked(checked: Checked, show_prompt: bool) -> None:
    found, tried = checked.pipeline, checked.rehearsal
    for name, passed in checked.checks:
        if passed and name in STAGES:
            click.echo(f"✓ {name}: {STAGES[name]}")
    if found is not None and tried is not None:
        size = f"{counted(len(found.steps), 'step')}, {counted(found.unit_count(), 'unit')}"
        click.echo(f"✓ {sanitize(found.name)}: {size} ({found.processing.strategy.value})")
        if tried.steps and not tried.faults:
            click.echo(f"✓ {counted(tried.units, 'unit')} tried at {', '.join(map(sanitize, tried.steps))}")
        if show_prompt and tried.prompt:
            click.echo(sanitize(tried.prompt))
    for warning in checked.warnings:
        click.echo(f"! {sanitize(warning)}")
    for name, passed in checked.checks:
        if passed is False:
            click.echo(f"✗ {name}: {counted(len(checked.errors), 'error')}", err=True)
    for error in checked.errors:
        click.echo(f"  {sanitize(error)}", err=True)
    unseen = [name for name, passed in checked.checks if passed is None]
    if unseen:
        click.echo(f"not looked at yet: {', '.join(unseen)}", err=True)
