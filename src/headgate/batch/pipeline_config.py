"""The configuration file of a pipeline, section by section, to the values of `pipeline`."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from headgate.batch.config_reader import Section, did_you_mean
from headgate.batch.expressions import DEFAULT_MAX_ITERATIONS
from headgate.batch.pipeline import (
    DEFAULT_COERCIONS,
    ApiSettings,
    Coercion,
    Level,
    Position,
    Processing,
    Retry,
    Rule,
    Rules,
    SeedMode,
    Step,
    StepKind,
    StepParams,
    Strategy,
    TimeoutPolicy,
)
from headgate.wire.json import Json, type_name

MAX_ITERATIONS = 1_000_000
RULE_TYPES = frozenset({"string", "number", "integer", "float", "boolean", "array", "list", "object", "dict"})

_KIND_KEYS: dict[StepKind, tuple[str, ...]] = {
    StepKind.LLM: ("prompt_template", "provider", "model", "params", "max_attempts", "retry_from"),
    StepKind.EXPRESSION: ("expressions", "init", "loop_until", "max_iterations", "on_timeout", "retry_from", "max_attempts"),
    StepKind.FAN_OUT: ("field", "child_field"),
    StepKind.RUN: ("script", "output_dir", "filename_expression", "content_expression", "compression", "upload"),
}


class ItemsSource(NamedTuple):
    """Where the items are: file, key inside it, and the field that names one."""

    source: str
    key: str | None
    name_field: str | None
    where: str


def read_steps(pipeline: Section) -> tuple[Step, ...]:
    """`pipeline.steps`; names must be unique (OCT-50)."""
    steps = [_step(section) for section in pipeline.sections("steps")]
    if not steps:
        pipeline.error("a pipeline needs at least one step", "steps")
    seen: set[str] = set()
    for step, index in zip(steps, range(len(steps)), strict=True):
        if step.name in seen:
            pipeline.error(f"two steps are called {step.name!r}", "steps", index, "name")
        if step.retry_from is not None and step.retry_from not in seen:
            pipeline.error(
                f"retry_from names {step.retry_from!r}, which is no earlier step",
                "steps",
                index,
                "retry_from",
                hint=did_you_mean(step.retry_from, seen),
            )
        seen.add(step.name)
    return tuple(steps)


def _step(section: Section) -> Step:
    kind = section.choice("scope", StepKind, StepKind.LLM)
    section.ignore(*_KIND_KEYS[kind])
    step = _BUILDERS[kind](section, section.required_text("name"), section.text("description") or "")
    section.close()
    return step


def _llm_step(section: Section, name: str, description: str) -> Step:
    return Step(
        name=name,
        description=description,
        where=section.where("name"),
        template=section.text("prompt_template"),
        provider=section.text("provider"),
        model=section.text("model"),
        params=_params(section.section("params")),
        max_attempts=section.optional_integer("max_attempts", least=1),
        retry_from=section.text("retry_from"),
    )


def _expression_step(section: Section, name: str, description: str) -> Step:
    expressions = section.sources("expressions")
    if not expressions:
        section.error(f"expression step {name!r} needs 'expressions'", "expressions")
    limit = section.integer("max_iterations", DEFAULT_MAX_ITERATIONS, least=1)
    if limit > MAX_ITERATIONS:
        section.error(f"'max_iterations' must be at most {MAX_ITERATIONS:,}", "max_iterations")
    return Step(
        name=name,
        kind=StepKind.EXPRESSION,
        description=description,
        where=section.where("name"),
        init=section.sources("init"),
        expressions=expressions,
        loop_until=section.text("loop_until"),
        max_iterations=limit,
        on_timeout=section.choice("on_timeout", TimeoutPolicy, TimeoutPolicy.CONTINUE),
        max_attempts=section.optional_integer("max_attempts", least=1),
        retry_from=section.text("retry_from"),
    )


def _fan_out_step(section: Section, name: str, description: str) -> Step:
    field = section.required_text("field")
    options = {"field": field, "child_field": section.text("child_field") or field}
    return Step(name=name, kind=StepKind.FAN_OUT, description=description, where=section.where("name"), options=options)


def _run_step(section: Section, name: str, description: str) -> Step:
    options = {key: section.value[key] for key in _KIND_KEYS[StepKind.RUN] if key in section.value}
    return Step(name=name, kind=StepKind.RUN, description=description, where=section.where("name"), options=options)


_BUILDERS = {
    StepKind.LLM: _llm_step,
    StepKind.EXPRESSION: _expression_step,
    StepKind.FAN_OUT: _fan_out_step,
    StepKind.RUN: _run_step,
}


def _params(section: Section) -> StepParams:
    params = StepParams(
        system=section.text("system"),
        temperature=section.number("temperature"),
        top_p=section.number("top_p"),
        max_tokens=section.optional_integer("max_tokens", least=1),
        stop=section.texts("stop"),
        native_schema=section.boolean("native_schema", True),
    )
    section.close()
    return params


def read_api(section: Section) -> ApiSettings:
    """The `api` section (OCT-51)."""
    retry, realtime = section.section("retry"), section.section("realtime")
    section.ignore("subprocess_timeout_seconds")
    settings = ApiSettings(
        provider=section.text("provider"),
        model=section.text("model"),
        retry=Retry(
            retry.integer("max_attempts", 3, least=1),
            retry.number("initial_delay_seconds", 30.0) or 0.0,
            retry.number("backoff_multiplier", 2.0, least=1.0) or 1.0,
        ),
        poll_interval=section.number("poll_interval_seconds", 5.0, least=0.01) or 5.0,
        max_inflight_batches=section.integer("max_inflight_batches", 10, least=1),
        max_tokens=section.optional_integer("max_tokens", least=1),
        cost_cap_nanos=_nanos(realtime.number("cost_cap_usd")),
        auto_retry=realtime.boolean("auto_retry", True),
        concurrency=realtime.optional_integer("concurrency", least=1),
    )
    for part in (section, retry, realtime):
        part.close()
    return settings


def _nanos(dollars: float | None) -> int | None:
    return None if dollars is None else int(Decimal(repr(dollars)) * 10**9)


def read_processing(section: Section) -> tuple[Processing, ItemsSource]:
    """The `processing` section (OCT-52) and where its items are."""
    items, retry = section.section("items"), section.section("validation_retry")
    processing = Processing(
        strategy=section.choice("strategy", Strategy, Strategy.PERMUTATION),
        chunk_size=section.integer("chunk_size", 100, least=1),
        repeat=section.integer("repeat", 1, least=1),
        expressions=section.sources("expressions"),
        positions=tuple(_position(position) for position in section.sections("positions")),
        max_attempts=retry.integer("max_attempts", 3, least=1),
        seed=section.integer("seed", 0),
        seed_mode=section.choice("seed_mode", SeedMode, SeedMode.HEADGATE),
    )
    understood = section.value.get("strategy") in (None, processing.strategy.value)
    if understood and processing.strategy is not Strategy.DIRECT and not processing.positions:
        section.error(f"strategy {processing.strategy.value!r} needs 'positions'", "strategy")
    source = ItemsSource(items.text("source") or "items.yaml", items.text("key"), items.text("name_field"), items.where("source"))
    for part in (section, items, retry):
        part.close()
    return processing, source


def _position(section: Section) -> Position:
    name = section.required_text("name")
    position = Position(name, section.text("source_key") or f"{name}s", section.text("name_field"))
    section.close()
    return position


def read_coercions(section: Section) -> frozenset[Coercion]:
    """`schemas.coercions`: which repairs are made; the general ones unless listed (OCT-91)."""
    if not section.has("coercions"):
        return DEFAULT_COERCIONS
    wanted = set()
    for word in section.texts("coercions"):
        if word in set(Coercion):
            wanted.add(Coercion(word))
        else:
            section.error(f"there is no coercion {word!r}", "coercions", hint=did_you_mean(word, [known.value for known in Coercion]))
    return frozenset(wanted)


def read_rules(section: Section) -> Rules:
    """One step's entry under `validation` (OCT-92)."""
    types = {name: str(kind) for name, kind in section.mapping("types").items()}
    for name, kind in types.items():
        if kind not in RULE_TYPES:
            section.error(f"there is no type {kind!r}", "types", name, hint=did_you_mean(kind, RULE_TYPES))
    rules = Rules(
        required=section.texts("required"),
        types=types,
        ranges=_ranges(section),
        enums=_enums(section),
        rules=tuple(_rule(rule, index) for index, rule in enumerate(section.sections("rules"))),
    )
    section.close()
    return rules


def _ranges(section: Section) -> dict[str, tuple[float | None, float | None]]:
    result = {}
    for name, bounds in section.mapping("ranges").items():
        if isinstance(bounds, list) and len(bounds) == 2 and all(_is_bound(bound) for bound in bounds):
            result[name] = (bounds[0], bounds[1])
        else:
            section.error(f"the range of {name!r} must be [least, most]", "ranges", name)
    return result


def _is_bound(value: Json) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _enums(section: Section) -> dict[str, tuple[Json, ...]]:
    result: dict[str, tuple[Json, ...]] = {}
    for name, values in section.mapping("enums").items():
        if isinstance(values, list):
            result[name] = tuple(values)
        else:
            section.error(f"the values of {name!r} must be a list, not {type_name(values)}", "enums", name)
    return result


def _rule(section: Section, index: int) -> Rule:
    rule = Rule(
        name=section.text("name") or f"rule_{index + 1}",
        expr=section.required_text("expr"),
        error=section.text("error") or "",
        level=section.choice("level", Level, Level.ERROR),
        when=section.text("when"),
        where=section.where("expr"),
    )
    section.close()
    return rule
