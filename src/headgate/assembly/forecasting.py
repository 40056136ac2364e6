"""The forecast of a run that is planned: requests made for a few of its units, and what earlier runs taught."""

from __future__ import annotations

import msgspec

from headgate.assembly.parts import Parts
from headgate.batch.forecast import Forecast, Inputs, forecast
from headgate.batch.lessons import learned
from headgate.batch.sampling import Sampled, sample_pipeline
from headgate.batch.worker import Plan
from headgate.catalog.cards import Lane, day_of


class Outlook(msgspec.Struct, frozen=True):
    """What a run will take, and the units that were looked at for it."""

    forecast: Forecast
    sampled: Sampled


async def foresee(parts: Parts, plan: Plan, now: float, fan_out: float | None = None) -> Outlook:
    """Estimate a run without a call. `fan_out`: units that one becomes at a fan-out. Raises `RunError` if nothing can be rendered."""
    pipeline = plan.pipeline
    sampled = await sample_pipeline(pipeline, plan.targets, plan.max_units)
    mode: Lane = "batch" if plan.options.mode == "batch" else "realtime"
    inputs = Inputs(
        pipeline=pipeline,
        targets=plan.targets,
        sampled=sampled,
        lessons=learned(parts.settings.run_dir, pipeline.digest),
        mode=mode,
        day=day_of(now),
        concurrency=plan.options.concurrency,
        max_units=plan.max_units,
        fan_out=fan_out,
    )
    return Outlook(forecast(inputs), sampled)
