"""What a run will take: units, calls, tokens, money and time, each as a range. Estimates all, and sums of estimates. Pure.

The sources of a number, the better one first: earlier runs of the same pipeline with the same model, requests made for a few units, the
step's schema, and assumptions, which stand in this module by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from headgate.batch.lessons import Lesson, Lessons, Moments
from headgate.batch.pipeline import Pipeline, Step, StepKind
from headgate.batch.samples import Sampler, Size, narrowed
from headgate.batch.sampling import Fan, Sampled, StepSample
from headgate.catalog.cards import Lane, Price
from headgate.catalog.prices import price, upper_bound
from headgate.client import Target
from headgate.domain.cost import usd_text
from headgate.domain.estimate import BYTES_PER_TOKEN
from headgate.domain.usage import Usage
from headgate.wire.json import JsonObject

LANES: tuple[Lane, ...] = ("realtime", "batch")
HOUR = 3600.0


class Range(msgspec.Struct, frozen=True):
    """The least, the likely and the most of a quantity, as far as can be said."""

    low: float
    likely: float
    high: float

    def __mul__(self, other: Range) -> Range:
        return Range(self.low * other.low, self.likely * other.likely, self.high * other.high)

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def over(self, divisor: float) -> Range:
        """Each divided by `divisor`."""
        return Range(self.low / divisor, self.likely / divisor, self.high / divisor)

    def at_most(self, most: float | None) -> Range:
        """None above `most`."""
        return self if most is None else Range(min(self.low, most), min(self.likely, most), min(self.high, most))


NOTHING = Range(0.0, 0.0, 0.0)
ONCE = Range(1.0, 1.0, 1.0)
TOKENIZER = Range(0.8, 1.0, 1.25)
"""How far four bytes a token may be off, for the text of a request."""
MADE_UP = Range(0.6, 1.0, 1.6)
"""The same for requests that hold answers which no model gave."""
ASKED_AGAIN = Range(1.0, 1.0, 1.25)
"""Answers that a unit needs where it may be asked again."""
FAN_OUT = Range(1.0, 5.0, 20.0)
"""Units that one becomes where nothing says more."""
THINKING = Range(0.0, 300.0, 2000.0)
"""Tokens of thinking before an answer, of models that always think."""
FIRST_TOKEN = Range(0.3, 1.0, 3.0)
"""Seconds until an answer begins."""
TOKENS_PER_SECOND = Range(150.0, 60.0, 25.0)
BATCH_SECONDS = Range(0.2 * HOUR, 2 * HOUR, 24 * HOUR)
"""What a batch takes; the most is the provider's."""
SIMULATED_SECONDS = Range(30.0, 60.0, 120.0)
UNSEEN = 2
"""How much longer than the longest request that was made the longest of all may be, for the upper bound."""


class StepForecast(msgspec.Struct, frozen=True, kw_only=True):
    """One step. Tokens and seconds are those of one call; money (nano-dollars) is that of the step, None where it is unknown.

    `source` says where its numbers come from. `bound` is what it costs when every unit is asked as often as it may be, with the longest
    request and the longest answer.
    """

    step: str
    kind: str
    units: Range
    model: str | None = None
    calls: Range = NOTHING
    input_tokens: Range = NOTHING
    output_tokens: Range = NOTHING
    seconds: Range = NOTHING
    cost: dict[Lane, Range | None] = {}
    bound: dict[Lane, int | None] = {}
    source: str = ""
    notes: tuple[str, ...] = ()


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run in `mode`. Times are seconds; a lane that some target has not is left out of `seconds`."""

    pipeline: str
    mode: Lane
    units: int
    sampled: int
    concurrency: int
    steps: tuple[StepForecast, ...]
    cost: dict[Lane, Range | None]
    bound: dict[Lane, int | None]
    seconds: dict[Lane, Range]
    unpriced: dict[Lane, tuple[str, ...]]
    record_bytes: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def calls(self) -> Range:
        """All calls."""
        return sum((step.calls for step in self.steps), NOTHING)

    @property
    def input_tokens(self) -> Range:
        """Input tokens of all calls."""
        return sum((step.calls * step.input_tokens for step in self.steps), NOTHING)

    @property
    def output_tokens(self) -> Range:
        """Output tokens of all calls."""
        return sum((step.calls * step.output_tokens for step in self.steps), NOTHING)

    def known(self, lane: Lane) -> Range:
        """What the steps whose price is known cost together, in nano-dollars."""
        return sum((cost for step in self.steps if (cost := step.cost.get(lane)) is not None), NOTHING)

    @property
    def saving(self) -> float | None:
        """The share of the realtime cost that a batch saves; None where either is unknown or nothing."""
        realtime, batch = self.cost["realtime"], self.cost["batch"]
        return None if realtime is None or batch is None or not realtime.likely else 1.0 - batch.likely / realtime.likely


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a forecast is made of. `day` (``YYYY-MM-DD``) is that of the prices; `fan_out` what the user says one unit becomes."""

    pipeline: Pipeline
    targets: Mapping[str, Target]
    sampled: Sampled
    lessons: Lessons
    mode: Lane
    day: str
    concurrency: int
    max_units: int | None = None
    fan_out: float | None = None


def forecast(given: Inputs) -> Forecast:
    """Put the forecast of a run together, step by step."""
    units = given.pipeline.unit_count(given.max_units)
    flowing = Range(units, units, units)
    steps: list[StepForecast] = []
    for step in given.pipeline.unit_steps:
        if step.kind is StepKind.LLM:
            steps.append(_asked(given, step, flowing))
            continue
        before = {done.step: done.units for done in steps}
        after = _AFTER.get(step.kind, _as_many)(given, step, flowing, before)
        steps.append(StepForecast(step=step.name, kind=step.kind.value, units=flowing, source=after.source, notes=after.notes))
        flowing = after.units
    cost = {lane: _summed([step.cost[lane] for step in steps if step.cost]) for lane in LANES}
    bounds = {lane: [step.bound[lane] for step in steps if step.bound] for lane in LANES}
    return Forecast(
        pipeline=given.pipeline.name,
        mode=given.mode,
        units=units,
        sampled=given.sampled.units,
        concurrency=given.concurrency,
        steps=tuple(steps),
        cost=cost,
        bound={lane: None if None in found else sum(one or 0 for one in found) for lane, found in bounds.items()},
        seconds=_seconds(given, steps),
        unpriced={lane: _unpriced(steps, lane) for lane in LANES},
        record_bytes=given.sampled.record_bytes,
        notes=tuple(note for step in steps for note in step.notes),
    )


def _summed(costs: Sequence[Range | None]) -> Range | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known, NOTHING) if len(known) == len(costs) else None


def _unpriced(steps: Sequence[StepForecast], lane: Lane) -> tuple[str, ...]:
    return tuple(dict.fromkeys(step.model for step in steps if step.model and step.cost[lane] is None))


# A step that asks a model


def _asked(given: Inputs, step: Step, units: Range) -> StepForecast:
    target = given.targets[step.name]
    lesson = given.lessons.get((step.name, target.name))
    sample = given.sampled.steps.get(step.name, StepSample(()))
    notes: list[str] = []
    attempts = given.pipeline.max_attempts(step)
    tokens_in, tokens_out, source = _tokens(given, step, target, sample, lesson)
    if lesson is None and target.capabilities.reasoning_required:
        tokens_out = (tokens_out + THINKING).at_most(_most_output(given.pipeline, step, target))
        notes.append(f"step {step.name!r}: {target.name} thinks before it answers; how many tokens that takes is a guess")
    calls = units * _tries(lesson, attempts)
    if lesson is None and step.when is not None:
        calls = calls * _share(sample)
    record = None if target.card is None else target.card.price_on(given.day)
    has_batch = target.provider.batch is not None
    cost = {lane: _cost(record, tokens_in, tokens_out, calls, lane) if lane == "realtime" or has_batch else None for lane in LANES}
    longest = max((round(size * sample.grown) for size in sample.sizes), default=round(tokens_in.high * BYTES_PER_TOKEN))
    whole = given.sampled.units >= given.pipeline.unit_count(given.max_units) and not sample.made_up and bool(sample.sizes)
    at_most = longest if whole and attempts == 1 else longest * UNSEEN
    return StepForecast(
        step=step.name,
        kind=step.kind.value,
        units=units,
        model=target.name,
        calls=calls,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        seconds=_call_seconds(lesson, tokens_out),
        cost=cost,
        bound={lane: _bound(given, step, target, at_most, units.high * attempts, lane) for lane in LANES},
        source=source,
        notes=tuple(notes),
    )


def _tokens(given: Inputs, step: Step, target: Target, sample: StepSample, lesson: Lesson | None) -> tuple[Range, Range, str]:
    """Tokens in and out of one call, and where they come from."""
    if lesson is not None and lesson.calls:
        runs = "an earlier run" if lesson.runs == 1 else f"{lesson.runs} earlier runs"
        return _around(lesson.input), _around(lesson.output), f"{lesson.calls:,} calls of {runs}"
    out = _answer(given.pipeline, step).at_most(_most_output(given.pipeline, step, target))
    if not sample.sizes:
        text = len(given.pipeline.templates.get(given.pipeline.template_of.get(step.name, ""), "").encode())
        return Range(text / 8, text / 4, text), out, "the length of the template: no prompt could be made"
    mean = sum(sample.sizes) / len(sample.sizes) / BYTES_PER_TOKEN
    even = Range(mean, mean * sample.grown, mean * sample.grown)
    if sample.made_up:
        return even * MADE_UP, out, f"{len(sample.sizes)} prompts with made-up answers, and the schema"
    return even * TOKENIZER, out, f"{len(sample.sizes)} prompts, and the schema"


def _around(seen: Moments) -> Range:
    doubt = max(seen.doubt, 0.05 * seen.mean)
    return Range(max(0.0, seen.mean - doubt), seen.mean, seen.mean + doubt)


def _answer(pipeline: Pipeline, step: Step) -> Range:
    """Tokens of an answer that fits the step's schema."""
    schema = pipeline.schemas.get(step.name) or {}
    rules = pipeline.rules.get(step.name)
    whole = schema if rules is None else narrowed(schema, rules)
    short, usual, long = sorted(Sampler(whole, size).length() / BYTES_PER_TOKEN for size in Size)
    return Range(short, usual, long)


def _limit(pipeline: Pipeline, step: Step) -> int | None:
    return step.params.max_tokens or pipeline.api.max_tokens


def _most_output(pipeline: Pipeline, step: Step, target: Target) -> int | None:
    return _limit(pipeline, step) or target.capabilities.max_output


def _tries(lesson: Lesson | None, attempts: int) -> Range:
    if lesson is not None and lesson.calls and lesson.units:
        often = lesson.calls / lesson.units
        return Range(often * 0.95, often, often * 1.05)
    return ASKED_AGAIN if attempts > 1 else ONCE


def _cost(record: Price | None, tokens_in: Range, tokens_out: Range, calls: Range, lane: Lane) -> Range | None:
    """Nano-dollars of all calls; None when they are unpriced."""
    ends = [
        (price(record, Usage(input_uncached=round(into), output_text=round(out)), lane).nanos, count)
        for into, out, count in zip(ends_of(tokens_in), ends_of(tokens_out), ends_of(calls), strict=True)
    ]
    low, likely, high = (None if nanos is None else nanos * count for nanos, count in ends)
    return None if low is None or likely is None or high is None else Range(low, likely, high)


def ends_of(range_: Range) -> tuple[float, float, float]:
    """The three numbers of a range."""
    return range_.low, range_.likely, range_.high


def _bound(given: Inputs, step: Step, target: Target, request_bytes: int, calls: float, lane: Lane) -> int | None:
    each = upper_bound(target.card, given.day, request_bytes, _limit(given.pipeline, step), lane).nanos
    return None if each is None or (lane == "batch" and target.provider.batch is None) else round(each * calls)


def _call_seconds(lesson: Lesson | None, tokens_out: Range) -> Range:
    if lesson is not None and lesson.seconds.n:
        mean = lesson.seconds.mean
        return Range(mean * 0.7, mean, mean * 1.5)
    speed = TOKENS_PER_SECOND
    writing = Range(tokens_out.low / speed.low, tokens_out.likely / speed.likely, tokens_out.high / speed.high)
    return FIRST_TOKEN + writing


def _share(sample: StepSample) -> Range:
    """How many of the units are asked where a step has a `when`."""
    if sample.made_up:
        return Range(0.0, sample.share, 1.0)
    return Range(sample.share * 0.8, sample.share, sample.share * 1.25).at_most(1.0)


# Steps that call nothing


class After(msgspec.Struct, frozen=True):
    """The units that a step leaves, where that comes from, and what is to be said of it."""

    units: Range
    source: str = ""
    notes: tuple[str, ...] = ()


def _as_many(given: Inputs, step: Step, units: Range, before: Mapping[str, Range]) -> After:
    return After(units)


def _spread(given: Inputs, step: Step, units: Range, before: Mapping[str, Range]) -> After:
    """A fan_out."""
    if given.fan_out is not None:
        return After(units * Range(given.fan_out, given.fan_out, given.fan_out), "--fan-out")
    lesson = given.lessons.get((step.name, ""))
    if lesson is not None and lesson.units:
        mean = lesson.children / lesson.units
        return After(units * Range(mean * 0.8, mean, mean * 1.25), "earlier runs")
    fan = given.sampled.fans.get(step.name, Fan("assumed"))
    low = FAN_OUT.low if fan.low is None else fan.low
    likely = max(low, FAN_OUT.likely) if fan.likely is None else fan.likely
    high = max(likely, FAN_OUT.high) if fan.high is None else fan.high
    if fan.source == "counted":
        return After(units * Range(low, likely, high), f"counted in {given.sampled.units} units")
    why = "the bounds of its schema" if fan.source == "schema" else "an assumption"
    note = f"step {step.name!r} makes {_few(low)} to {_few(high)} units of each, which is a guess ({why}): give --fan-out N"
    return After(units * Range(low, likely, high), why, (note,))


def _together(given: Inputs, step: Step, units: Range, before: Mapping[str, Range]) -> After:
    """A fan_in: as many as there were before its fan_out."""
    of = None if step.gather is None else step.gather.of
    return After(before.get(of or "", units))


def _grouped(given: Inputs, step: Step, units: Range, before: Mapping[str, Range]) -> After:
    """Groups, or what is left without copies: as many as were seen, up to as many as there would be if all units went on like these."""
    if step.gather is not None and not step.gather.group_by:
        return After(Range(min(units.low, 1), min(units.likely, 1), min(units.high, 1)))
    had, left = given.sampled.groups.get(step.name, (1, 1))
    share = left / had if had else 1.0
    few = 2 * left <= had
    likely = min(units.likely, left) if few else units.likely * share
    note = f"step {step.name!r} leaves {left} of the {had} units looked at; how many of all is a guess"
    return After(Range(min(units.low, left), likely, max(likely, units.high * share)), "units looked at", (note,))


def _drawn(given: Inputs, step: Step, units: Range, before: Mapping[str, Range]) -> After:
    """A sample."""
    assert step.sample is not None
    if step.sample.count is not None:
        return After(units.at_most(step.sample.count))
    share = step.sample.share or 0.0
    return After(units * Range(share, share, share))


_AFTER: dict[StepKind, Callable[[Inputs, Step, Range, Mapping[str, Range]], After]] = {
    StepKind.FAN_OUT: _spread,
    StepKind.FAN_IN: _together,
    StepKind.AGGREGATE: _grouped,
    StepKind.DEDUPE: _grouped,
    StepKind.SAMPLE: _drawn,
}


def _few(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


# Time


def _seconds(given: Inputs, steps: Sequence[StepForecast]) -> dict[Lane, Range]:
    """Wall time in each lane. In realtime the busiest target decides, and a unit passes through all steps; batches follow one another."""
    asked = [step for step in steps if step.model is not None]
    busy: dict[str, Range] = {}
    for step in asked:
        busy[step.model or ""] = busy.get(step.model or "", NOTHING) + step.calls * step.seconds
    chain = sum((step.seconds for step in asked), NOTHING)
    widths = [work.over(given.concurrency) for work in busy.values()]
    realtime = Range(
        max((work.low for work in widths), default=0.0),
        max((work.likely for work in widths), default=0.0),
        max((work.high for work in widths), default=0.0),
    )
    found: dict[Lane, Range] = {"realtime": realtime + chain}
    targets = [given.targets[step.step] for step in asked]
    if all(target.provider.batch is not None for target in targets):
        found["batch"] = sum((_batch_seconds(target) for target in targets), NOTHING)
    return found


def _batch_seconds(target: Target) -> Range:
    if target.provider.simulated:
        return SIMULATED_SECONDS
    return Range(BATCH_SECONDS.low, BATCH_SECONDS.likely, max(BATCH_SECONDS.likely, target.provider.max_age))


# As JSON


def forecast_json(found: Forecast) -> JsonObject:
    """The forecast as plain JSON: ranges as low, likely, high; money as dollars in decimal text, null where it is unknown."""
    return {
        "approximate": True,
        "pipeline": found.pipeline,
        "mode": found.mode,
        "units": found.units,
        "sampled_units": found.sampled,
        "concurrency": found.concurrency,
        "calls": _counted(found.calls),
        "input_tokens": _counted(found.input_tokens),
        "output_tokens": _counted(found.output_tokens),
        "cost_usd": {lane: _dollars(cost) for lane, cost in found.cost.items()},
        "at_most_usd": {lane: None if bound is None else usd_text(bound) for lane, bound in found.bound.items()},
        "batch_saving": None if found.saving is None else round(found.saving, 4),
        "unpriced": {lane: list(names) for lane, names in found.unpriced.items()},
        "seconds": {lane: _counted(seconds) for lane, seconds in found.seconds.items()},
        "steps": [_step_json(step) for step in found.steps],
        "notes": list(found.notes),
    }


def _step_json(step: StepForecast) -> JsonObject:
    told: JsonObject = {"name": step.step, "scope": step.kind, "units": _counted(step.units), "source": step.source}
    if step.model is not None:
        told |= {
            "model": step.model,
            "calls": _counted(step.calls),
            "input_tokens_per_call": _counted(step.input_tokens),
            "output_tokens_per_call": _counted(step.output_tokens),
            "seconds_per_call": {name: round(value, 2) for name, value in msgspec.structs.asdict(step.seconds).items()},
            "cost_usd": {lane: _dollars(cost) for lane, cost in step.cost.items()},
        }
    return told


def _counted(found: Range) -> JsonObject:
    return {name: round(value) for name, value in msgspec.structs.asdict(found).items()}


def _dollars(cost: Range | None) -> JsonObject | None:
    return None if cost is None else {name: usd_text(round(value)) for name, value in msgspec.structs.asdict(cost).items()}
