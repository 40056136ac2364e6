"""What ``headgate run`` says and asks before a run begins, and ``headgate run --plan``."""

from __future__ import annotations

import sys
import time

import click
import msgspec
import uvloop

from headgate.assembly.forecasting import Outlook, foresee
from headgate.assembly.parts import Parts
from headgate.assembly.preflight import local_checks, remote_checks
from headgate.assembly.runs import Opened, RunRequest, draft_run
from headgate.batch.forecast import Forecast, Range, StepForecast, forecast_json
from headgate.batch.progress import duration_text
from headgate.batch.worker import Plan
from headgate.catalog.cards import Lane
from headgate.cli import sanitize
from headgate.cli.actions.output import money, table
from headgate.domain.cost import NANO
from headgate.errors import UsageError
from headgate.wire.json import encode_text

CONFIRM_UNITS = 50
"""Units above which a realtime run with a real provider asks before it spends money (OCT-130)."""


class Look(msgspec.Struct, frozen=True):
    """How a new run is looked at before it begins; `confirm_over` in nano-dollars, None: the setting's."""

    yes: bool = False
    fan_out: float | None = None
    confirm_over: int | None = None
    no_preflight: bool = False


def look_ahead(parts: Parts, drafted: Opened, look: Look) -> None:
    """Announce a new run, estimate it, check what can be checked, and ask where it may cost much. Raises to keep it from being made."""
    announce(drafted)
    plan, now = drafted.plan, time.time()
    real = [target.name for target in plan.targets.values() if not target.provider.simulated]
    if look.no_preflight and (look.yes or not real):
        return
    outlook = uvloop.run(foresee(parts, plan, now, look.fan_out))
    if plan.targets:
        click.echo(brief(outlook.forecast), err=True)
        _notes(outlook.forecast.notes)
    if not look.no_preflight:
        _notes(local_checks(plan, drafted.home.folder, outlook))
    _notes((*_deadline_note(plan), *_cap_note(outlook.forecast, plan.cost_cap_nanos)))
    if real and not look.yes:
        confirm(outlook.forecast, real, look.confirm_over or round(parts.settings.confirm_over * NANO))
    if not look.no_preflight:
        _notes(uvloop.run(remote_checks(parts, plan, now)))


def announce(opened: Opened) -> None:
    """Say what is about to happen, and where."""
    plan = opened.plan
    verb = "resuming" if opened.resumed else "run"
    targets = ", ".join(sorted({target.name for target in plan.targets.values()})) or "no provider"
    click.echo(f"{verb} {plan.run_id}: {plan.pipeline.name}, {plan.options.mode}, {targets}", err=True)
    click.echo(f"folder {opened.home.folder}", err=True)
    _notes(opened.notes)


def _notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        click.echo(f"note: {sanitize(note)}", err=True)


def confirm(found: Forecast, real: list[str], over: int) -> None:
    """Ask before many real calls are made, or calls that may cost much. Raises `UsageError` where nobody can be asked."""
    cost = found.cost[found.mode]
    dear = cost is not None and cost.high > over
    many = found.units > CONFIRM_UNITS and (found.mode == "realtime" or cost is None)
    if not dear and not many:
        return
    calls = f"{round(found.calls.likely):,} calls to {', '.join(sorted(set(real)))}"
    question = f"{found.units:,} units, {cost_text(found, found.mode)}, {calls}"
    if not sys.stdin.isatty():
        if many:
            raise UsageError(f"{question}: too many to be made unasked", hint="add --yes, or --max-units")
        raise UsageError(
            f"{question}: more than {money(over)} is not spent unasked", hint="add --yes, a higher --confirm-over, or --max-units"
        )
    if not click.confirm(f"{question}. Go on?", err=True):
        raise click.Abort


def _deadline_note(plan: Plan) -> tuple[str, ...]:
    if plan.options.mode != "batch" or plan.options.deadline is None:
        return ()
    return ("what cannot be done in batches before the deadline is asked at realtime prices, up to the cost of a realtime run",)


def _cap_note(found: Forecast, cap: int | None) -> tuple[str, ...]:
    cost = found.cost[found.mode]
    if cap is None or cost is None or cap >= cost.likely:
        return ()
    return (f"--max-cost {money(cap)} is less than the {money(round(cost.likely))} that the run is likely to cost: it will stop early",)


def plan_run(parts: Parts, request: RunRequest, fan_out: float | None, as_json: bool) -> int:
    """Print what a run would take. Makes no run, no call, and needs no key."""
    drafted = draft_run(parts, request)
    plan = drafted.plan
    outlook = uvloop.run(foresee(parts, plan, time.time(), fan_out))
    found = outlook.forecast
    notes = (*drafted.notes, *found.notes, *_deadline_note(plan), *_cap_note(found, plan.cost_cap_nanos))
    if as_json:
        click.echo(encode_text({**forecast_json(found), "notes": list(notes), "faults": len(outlook.sampled.faults)}))
        return 0
    tell(outlook)
    _notes(notes)
    return 0


# Text


def brief(found: Forecast) -> str:
    """The estimate in one line."""
    other: Lane = "batch" if found.mode == "realtime" else "realtime"
    also = f"; as {other} {cost_text(found, other)}" if found.cost[other] is not None else ""
    time_text = f", {_times(found.seconds[found.mode])}" if found.mode in found.seconds else ""
    return f"estimate: {_counts(found.calls)} calls, {cost_text(found, found.mode)}{time_text}{also}"


def tell(outlook: Outlook) -> None:
    """The whole estimate."""
    found = outlook.forecast
    click.echo(f"{sanitize(found.pipeline)}: {found.units:,} units, {found.sampled} of them looked at; all numbers are approximate")
    header = ("step", "model", "units", "calls", "tokens in", "tokens out", "learned from")
    click.echo(table([_row(step) for step in found.steps], header, frozenset({2, 3, 4, 5})))
    click.echo(f"tokens: {_counts(found.input_tokens)} in, {_counts(found.output_tokens)} out")
    for lane in ("realtime", "batch"):
        click.echo(_lane_line(found, lane))
    for fault in outlook.sampled.faults[:3]:
        click.echo(f"! step {sanitize(fault.step)!r}, unit {sanitize(fault.unit)!r}: {sanitize(fault.message)}")


def _row(step: StepForecast) -> tuple[str, ...]:
    model = sanitize(step.model or "—")
    if step.model is None:
        return (sanitize(step.step), model, _counts(step.units), "—", "—", "—", step.source)
    parts = (step.units, step.calls, step.input_tokens, step.output_tokens)
    return (sanitize(step.step), model, *map(_counts, parts), step.source)


def _lane_line(found: Forecast, lane: Lane) -> str:
    chosen = "*" if lane == found.mode else " "
    if lane not in found.seconds:
        return f"{chosen} {lane:8}  not offered by every provider here"
    saving = found.saving if lane == "batch" else None
    saved = f", saves {saving:.0%}" if saving is not None and saving > 0 else ""
    bound = found.bound[lane]
    most = f"at most {money(bound)}" if bound is not None else "no upper bound"
    return f"{chosen} {lane:8}  {cost_text(found, lane)}{saved}, {most}; {_times(found.seconds[lane])}"


def cost_text(found: Forecast, lane: Lane) -> str:
    """About what it costs, with the range; what is unknown is said to be."""
    cost, unknown = found.cost[lane], found.unpriced[lane]
    known = found.known(lane) if cost is None else cost
    if cost is None and not known.high:
        return "cost unknown"
    if not known.high:
        return "no cost"
    text = f"about {money(round(known.likely))} ({money(round(known.low))} to {money(round(known.high))})"
    return text if cost is not None else f"{text} and what {sanitize(', '.join(unknown))} costs, which is unknown"


def _times(seconds: Range) -> str:
    return f"about {duration_text(seconds.likely)} ({duration_text(seconds.low)} to {duration_text(seconds.high)})"


def _counts(found: Range) -> str:
    low, likely, high = round(found.low), round(found.likely), round(found.high)
    return f"{likely:,}" if low == high else f"{likely:,} ({low:,} to {high:,})"
