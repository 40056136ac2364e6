"""The requests of a few units, made before a run: real ones for the first step that asks a model, with made-up answers behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import msgspec

from headgate.batch.compiled import CompiledPipeline, compile_pipeline
from headgate.batch.gathering import FAN_PARENT, aggregated, children_of, fingerprint, first_of_each, grouped, joined
from headgate.batch.pipeline import Pipeline, Step, StepKind
from headgate.batch.plan import UNIT_ID
from headgate.batch.rehearsal import Fault, computed, prompts_of
from headgate.batch.request import step_request
from headgate.batch.samples import Sampler, array_bounds, kind_of, narrowed, resolved
from headgate.batch.templates import RenderPool
from headgate.batch.wording import Wording
from headgate.client import Target
from headgate.client.chat import prepare
from headgate.errors import Unsupported
from headgate.wire.json import Json, JsonObject, encode

FIRST = 10
SPREAD = 10
CHILDREN = 20
"""Of the units that one becomes, so many go on."""
REACH = 50_000
"""Units that are gone through to find some that lie apart; a run may have thousands of millions."""


class Fan(msgspec.Struct, frozen=True):
    """Into how many units one becomes at a fan-out: counted in the units themselves, or read from a schema that bounds the array.

    `low` and `high` are None where nothing bounds them.
    """

    source: str
    low: float | None = None
    likely: float | None = None
    high: float | None = None


class StepSample(msgspec.Struct, frozen=True):
    """The requests of a step: bytes of each, as they would be sent. `made_up`: they hold answers that no model gave.

    `share` of the units is asked at all (`when`). `grown`: how many times more units than were looked at come together in a request.
    """

    sizes: tuple[int, ...]
    made_up: bool = False
    prompt: str = ""
    share: float = 1.0
    grown: float = 1.0


class Sampled(msgspec.Struct, frozen=True):
    """What `units` became. `faults` are those of real units, up to the first step that asks a model; `record_bytes` is what one weighs
    in the end. `groups` says of a step that groups units, or drops copies, how many it had and how many it left."""

    units: int
    steps: dict[str, StepSample]
    fans: dict[str, Fan]
    faults: tuple[Fault, ...]
    record_bytes: float = 0.0
    groups: dict[str, tuple[int, int]] = {}


def places(total: int, first: int = FIRST, spread: int = SPREAD) -> tuple[int, ...]:
    """Which units to look at: the first ones, and some evenly spaced among those within reach."""
    reach = min(total, REACH)
    even = (n * reach // spread for n in range(spread)) if spread else ()
    return tuple(sorted({*range(min(first, total)), *even} if reach else ()))


async def sample_pipeline(pipeline: Pipeline, targets: Mapping[str, Target], max_units: int | None = None) -> Sampled:
    """Take a few units through the pipeline without a call. Raises `RunError` when templates cannot be rendered at all."""
    chosen = places(pipeline.unit_count(max_units))
    async with RenderPool(pipeline.templates, pipeline.template_of) as pool:
        walk = _Walk(pipeline, targets, pool, list(_records(pipeline, chosen)), pipeline.unit_count(max_units))
        return await walk.go()


def _records(pipeline: Pipeline, chosen: Sequence[int]) -> Iterator[JsonObject]:
    wanted = frozenset(chosen)
    for unit in islice(pipeline.units(), chosen[-1] + 1 if chosen else 0):
        if unit.seq in wanted:
            yield dict(unit.fields)


class _Walk:
    """The units on their way through the steps."""

    def __init__(self, pipeline: Pipeline, targets: Mapping[str, Target], pool: RenderPool, records: list[JsonObject], total: int) -> None:
        self._pipeline = pipeline
        self._compiled: CompiledPipeline = compile_pipeline(pipeline)
        self._targets = targets
        self._pool = pool
        self._records = records
        self._units = len(records)
        self._more = total / len(records) if records else 1.0
        """How many units stand behind each that is looked at."""
        self._grown = 1.0
        self._parents: dict[str, list[JsonObject]] = {}
        self._groups: dict[str, tuple[int, int]] = {}
        self._steps: dict[str, StepSample] = {}
        self._fans: dict[str, Fan] = {}
        self._faults: list[Fault] = []
        self._made: dict[str, Json] = {}
        """Fields of made-up answers, each with its part of the schema."""
        self._asked = False

    async def go(self) -> Sampled:
        for step in self._pipeline.steps:
            if step.kind is StepKind.LLM:
                await self._ask(step)
            else:
                _LOCAL.get(step.kind, _Walk._pass)(self, step)
        sizes = [len(encode(record)) for record in self._records]
        mean = sum(sizes) / len(sizes) if sizes else 0.0
        return Sampled(self._units, self._steps, self._fans, tuple(self._faults), mean, self._groups)

    async def _ask(self, step: Step) -> None:
        texts, faults = await prompts_of(self._pool, self._pipeline, self._compiled, step, self._records)
        sizes = [self._size(step, text, record) for text, record in zip(texts, self._records, strict=True) if text is not None]
        first = next((text.prompt for text in texts if text is not None), "")
        able = len(texts) - len(faults)
        share = len(sizes) / able if step.when is not None and able else 1.0
        made = tuple(size for size in sizes if size is not None)
        self._steps[step.name] = StepSample(made, self._asked, first, share, self._grown)
        if not self._asked:
            self._faults += faults
        self._asked = True
        schema = self._schema(step)
        answer = Sampler(schema).value()
        if isinstance(answer, dict):
            properties = resolved(schema, schema).get("properties") or {}
            self._made |= {name: resolved(schema, properties.get(name)) for name in answer}
            self._records = [{**record, **answer} for record in self._records]

    def _schema(self, step: Step) -> JsonObject:
        schema: JsonObject = self._pipeline.schemas.get(step.name) or {}
        rules = self._pipeline.rules.get(step.name)
        return schema if rules is None else narrowed(schema, rules)

    def _size(self, step: Step, text: Wording, record: JsonObject) -> int | None:
        """Bytes of the request; None when the target cannot be asked this way, which the run says of every unit."""
        target = self._targets[step.name]
        schema = self._pipeline.schemas.get(step.name)
        try:
            return len(prepare(target, step_request(step, self._pipeline.api, target.model, text, schema, target.capabilities)).body)
        except Unsupported as error:
            self._faults.append(Fault(step.name, str(record[UNIT_ID]), error.message))
            return None

    def _compute(self, step: Step) -> None:
        kept: list[JsonObject] = []
        for record in self._records:
            found = computed(self._pipeline, self._compiled, step, record)
            if not isinstance(found, Fault):
                kept.append(found)
            elif not self._asked:
                self._faults.append(found)
        self._records = kept

    def _fan_out(self, step: Step) -> None:
        spread = step.fan_out
        assert spread is not None
        lists = [record[spread.field] for record in self._records if isinstance(record.get(spread.field), list)]
        self._fans[step.name] = self._fan(spread.field, lists)
        self._parents[step.name] = self._records
        found = [children_of(record, spread) for record in self._records]
        self._records = [dict(child) for children in found if not isinstance(children, str) for child in children[:CHILDREN]]

    def _fan_in(self, step: Step) -> None:
        gather = step.gather
        assert gather is not None and gather.of is not None
        spread = self._pipeline.step(gather.of).fan_out
        assert spread is not None
        children: dict[Json, list[JsonObject]] = {}
        for record in self._records:
            children.setdefault(record.get(FAN_PARENT), []).append(record)
        parents = self._parents.get(gather.of, [])
        self._records = [joined(parent, children.get(parent[UNIT_ID], []), gather, spread.child_field) for parent in parents]

    def _aggregate(self, step: Step) -> None:
        assert step.gather is not None
        keys = [(place, fingerprint(record, step.gather.group_by)) for place, record in enumerate(self._records)]
        groups = grouped(keys)
        if 2 * len(groups) <= len(keys) or not step.gather.group_by:
            self._grown *= self._more
            self._more = 1.0
        self._groups[step.name] = (len(keys), len(groups))
        self._records = [aggregated([self._records[place] for place in members], step.gather, step.name) for members in groups.values()]

    def _dedupe(self, step: Step) -> None:
        kept = first_of_each((place, fingerprint(record, step.by)) for place, record in enumerate(self._records))
        self._groups[step.name] = (len(self._records), len(kept))
        self._records = [record for place, record in enumerate(self._records) if place in kept]

    def _fan(self, field: str, lists: Sequence[list[Json]]) -> Fan:
        node = self._made.get(field)
        if isinstance(node, dict):
            if kind_of(node) != "array" or not {"minItems", "maxItems"} & node.keys():
                return Fan("assumed")
            low, high = array_bounds(node)
            return Fan("schema", low, None if high is None else (low + high) / 2, high)
        lengths = [len(one) for one in lists]
        if not lengths:
            return Fan("assumed")
        return Fan("assumed" if self._asked else "counted", min(lengths), sum(lengths) / len(lengths), max(lengths))

    def _pass(self, step: Step) -> None:
        """A step that changes nothing of a unit, as far as can be said beforehand."""


_LOCAL: dict[StepKind, Callable[[_Walk, Step], None]] = {
    StepKind.EXPRESSION: _Walk._compute,
    StepKind.FAN_OUT: _Walk._fan_out,
    StepKind.FAN_IN: _Walk._fan_in,
    StepKind.AGGREGATE: _Walk._aggregate,
    StepKind.DEDUPE: _Walk._dedupe,
}
