"""What there is to be said of a pipeline before it is run."""

from __future__ import annotations

import msgspec

from headgate.assembly.runs import pipeline_roots
from headgate.batch.chosen import given_items
from headgate.batch.config_reader import Faults
from headgate.batch.pipeline import Pipeline
from headgate.batch.pipeline_load import STAGES, find_pipeline
from headgate.batch.programs import own_programs
from headgate.batch.rehearsal import Fault, Rehearsal, rehearse
from headgate.errors import ConfigError
from headgate.wire.json import JsonObject


class Checked(msgspec.Struct, frozen=True):
    """A pipeline, its faults, and what it does on a few units; both are None where it cannot be loaded."""

    errors: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    pipeline: Pipeline | None = None
    rehearsal: Rehearsal | None = None
    checks: tuple[tuple[str, bool | None], ...] = ()
    """What was checked, in order, and whether it is right; None: not looked at, because of what was found before."""


TRIAL = "trial"


async def check_pipeline(name_or_path: str, units: int, items: str | None = None) -> Checked:
    """Load a pipeline, with other `items` than its own when a file is named, and try its first `units`.

    Raises `ConfigError` when there is no pipeline of that name, and `UsageError` for a file that cannot be used.
    """
    file = None if items is None else given_items(items)
    passed: list[str] = []
    try:
        pipeline = find_pipeline(name_or_path, pipeline_roots(), file, passed=passed)
    except ConfigError as error:
        if error.where is None:
            raise
        found = error.found if isinstance(error, Faults) else (error,)
        told = tuple(f"{one.message} ({one.hint})" if one.hint else one.message for one in found)
        return Checked(told, checks=_checks(len(passed)))
    rehearsal = await rehearse(pipeline, units)
    faults = [_placed(pipeline, fault) for fault in rehearsal.faults]
    own = "a program of the pipeline's own: run needs --allow-scripts"
    own = "a program of the pipeline's own: run needs --allow-scripts"
    programs = (f"{what} runs {script}, {own}" for what, script in own_programs(pipeline))
    return Checked(tuple(faults), (*pipeline.warnings, *programs), pipeline, rehearsal, _checks(len(passed) + (not faults)))


def _checks(right: int) -> tuple[tuple[str, bool | None], ...]:
    """The first `right` checks passed, the next one failed."""
    return tuple((name, place < right or (None if place > right else False)) for place, name in enumerate((*STAGES, TRIAL)))


def _placed(pipeline: Pipeline, fault: Fault) -> str:
    where = pipeline.step(fault.step).where
    return f"{where}: step {fault.step!r}, unit {fault.unit!r}: {fault.message}"


def checked_json(checked: Checked) -> JsonObject:
    """The findings as plain JSON."""
    told: JsonObject = {"valid": not checked.errors, "errors": list(checked.errors), "warnings": list(checked.warnings)}
    told["checks"] = [{"name": name, "passed": passed} for name, passed in checked.checks]
    pipeline, rehearsal = checked.pipeline, checked.rehearsal
    if pipeline is not None and rehearsal is not None:
        told |= {
            "pipeline": pipeline.name,
            "digest": pipeline.digest,
            "strategy": pipeline.processing.strategy.value,
            "units": pipeline.unit_count(),
            "steps": [{"name": step.name, "scope": step.kind.value} for step in pipeline.steps],
            "tried": {"units": rehearsal.units, "steps": list(rehearsal.steps), "first_prompt": rehearsal.prompt},
        }
    return told
