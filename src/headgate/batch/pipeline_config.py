"""The configuration file of a pipeline, section by section, to the values of `pipeline`."""

from __future__ import annotations

import re
import shlex
from decimal import Decimal
from pathlib import PurePosixPath
from typing import NamedTuple

import msgspec

from headgate.batch.config_reader import Section, did_you_mean
from headgate.batch.expressions import DEFAULT_MAX_ITERATIONS
from headgate.batch.lanes import OnStuck
from headgate.batch.pipeline import (
    DEFAULT_COERCIONS,
    RESHAPING,
    ApiSettings,
    Coercion,
    FanOut,
    Gather,
    Level,
    Position,
    PostProcess,
    Processing,
    Retry,
    Rule,
    Rules,
    Sample,
    Script,
    SeedMode,
    Step,
    StepKind,
    StepParams,
    StepTool,
    Strategy,
    TimeoutPolicy,
)
from headgate.wire.json import Json, type_name

MAX_ITERATIONS = 1_000_000
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
TOOL_CHOICES = ("auto", "none", "required")
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
RULE_TYPES = frozenset({"string", "number", "integer", "float", "boolean", "array", "list", "object", "dict"})

_KIND_KEYS: dict[StepKind, tuple[str, ...]] = {
    StepKind.LLM: ("prompt_template", "provider", "model", "params", "max_attempts", "retry_from", "when"),
    StepKind.EXPRESSION: ("expressions", "init", "loop_until", "max_iterations", "on_timeout", "retry_from", "max_attempts", "when"),
    StepKind.FAN_OUT: ("field", "child_field", "keep_field"),
    StepKind.FAN_IN: ("of", "field", "collect"),
    StepKind.AGGREGATE: ("group_by", "field", "collect"),
    StepKind.DEDUPE: ("by",),
    StepKind.SAMPLE: ("count", "share"),
    StepKind.RUN: ("script", "output_dir", "filename_expression", "content_expression", "compression", "upload"),
}


class ItemsSource(NamedTuple):
    """Where the items are: file, key inside it, and the field that names one. `replaced`: the file is not the pipeline's own."""

    source: str
    key: str | None
    name_field: str | None
    where: str
    replaced: bool = False


def read_steps(pipeline: Section) -> tuple[Step, ...]:
    """`pipeline.steps`, in an order in which each comes after those it needs; names must be unique (OCT-50)."""
    sections = pipeline.sections("steps")
    steps = [read_step(section) for section in sections]
    if not steps:
        pipeline.error("a pipeline needs at least one step", "steps")
    places: dict[str, Section] = {}
    for step, section in zip(steps, sections, strict=True):
        if step.name in places:
            section.error(f"two steps are called {step.name!r}", "name")
        places[step.name] = section
    ordered = _paired(order_steps(steps, places), places)
    for index, step in enumerate(ordered):
        _check_return(step, ordered[:index], places[step.name])
    if steps and all(step.kind is StepKind.RUN for step in steps):
        pipeline.error("a pipeline needs a step that units go through", "steps")
    return ordered


def order_steps(steps: list[Step], places: dict[str, Section]) -> tuple[Step, ...]:
    """The steps, each after those it `needs`; without needs they stay as they are written, and those done once come last."""
    left, ordered, known = list(steps), list[Step](), {step.name for step in steps}
    for step in steps:
        for name in step.needs:
            if name not in known or name == step.name:
                places[step.name].error(f"'needs' names {name!r}, which is no other step", "needs", hint=did_you_mean(name, known))
    while left:
        placed = {step.name for step in ordered}
        ready = next((step for step in left if placed.issuperset(set(step.needs) & known - {step.name})), None)
        if ready is None:
            places[left[0].name].error(f"'needs' goes round in a circle: {', '.join(step.name for step in left)}", "needs")
            return tuple(steps)
        left.remove(ready)
        ordered.append(ready)
    return tuple(sorted(ordered, key=lambda step: step.kind is StepKind.RUN))


def _paired(steps: tuple[Step, ...], places: dict[str, Section]) -> tuple[Step, ...]:
    """Each fan_in with the fan_out whose units it brings together: the last one that is still open."""
    spread: list[Step] = []
    paired = []
    for step in steps:
        if step.kind is StepKind.FAN_OUT:
            spread.append(step)
        elif step.kind is StepKind.AGGREGATE:
            spread.clear()
        elif step.kind is StepKind.FAN_IN:
            step = _fan_in_of(step, spread, places[step.name])
        paired.append(step)
    return tuple(paired)


def _fan_in_of(step: Step, spread: list[Step], section: Section) -> Step:
    assert step.gather is not None
    if not spread:
        section.error(f"fan_in step {step.name!r} has no fan_out before it that it could bring together", "name")
        return step
    last = spread.pop()
    if step.gather.of not in (None, last.name):
        section.error(f"'of' names {step.gather.of!r}; the fan_out to be brought together is {last.name!r}", "of")
    assert last.fan_out is not None
    gather = msgspec.structs.replace(step.gather, of=last.name, field=step.gather.field or last.fan_out.field)
    return msgspec.structs.replace(step, gather=gather)


def _check_return(step: Step, earlier: tuple[Step, ...], section: Section) -> None:
    """`retry_from` must name an earlier step that makes something, with the same units in between (OCT-103)."""
    if step.retry_from is None:
        return
    names = [one.name for one in earlier]
    if step.retry_from not in names:
        message = f"retry_from names {step.retry_from!r}, which is no earlier step"
        section.error(message, "retry_from", hint=did_you_mean(step.retry_from, names))
        return
    between = next((one for one in earlier[names.index(step.retry_from) :] if one.kind in RESHAPING), None)
    if between is not None:
        message = f"retry_from cannot reach {step.retry_from!r}: units are no longer the same after step {between.name!r}"
        section.error(message, "retry_from", hint="name a later step")


def read_step(section: Section) -> Step:
    """One entry of `pipeline.steps`."""
    kind = section.choice("scope", StepKind, StepKind.LLM)
    section.ignore(*_KIND_KEYS[kind])
    needs = section.texts("needs")
    step = _BUILDERS[kind](section, section.required_text("name"), section.text("description") or "")
    section.close()
    return msgspec.structs.replace(step, where=section.where("name"), needs=needs, places=_places(section))


def _places(section: Section) -> dict[str, str]:
    """Where the expressions of a step stand."""
    alone = ("when", "loop_until", "filename_expression", "content_expression")
    found = {key: section.where(key) for key in alone if key in section.value}
    for key in ("init", "expressions"):
        found |= {f"{key}.{name}": section.where(key, name) for name in section.mapping_names(key)}
    return found


def _llm_step(section: Section, name: str, description: str) -> Step:
    return Step(
        name=name,
        description=description,
        when=section.text("when"),
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
        when=section.text("when"),
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
    spread = FanOut(field, section.text("child_field") or field, section.boolean("keep_field", False))
    return Step(name=name, kind=StepKind.FAN_OUT, description=description, fan_out=spread)


def _fan_in_step(section: Section, name: str, description: str) -> Step:
    gather = Gather(section.text("field") or "", of=section.text("of"), collect=section.texts("collect"))
    return Step(name=name, kind=StepKind.FAN_IN, description=description, gather=gather)


def _aggregate_step(section: Section, name: str, description: str) -> Step:
    gather = Gather(section.text("field") or "items", group_by=section.texts("group_by"), collect=section.texts("collect"))
    return Step(name=name, kind=StepKind.AGGREGATE, description=description, gather=gather)


def _dedupe_step(section: Section, name: str, description: str) -> Step:
    by = section.texts("by")
    if not by:
        section.error(f"dedupe step {name!r} needs 'by': the fields in which no two units may agree", "by")
    return Step(name=name, kind=StepKind.DEDUPE, description=description, by=by)


def _sample_step(section: Section, name: str, description: str) -> Step:
    sample = Sample(section.optional_integer("count", least=1), section.number("share"))
    if (sample.count is None) == (sample.share is None):
        section.error(f"sample step {name!r} needs 'count' or 'share', one of them", "count")
    if sample.share is not None and sample.share > 1:
        section.error(f"'share' must be from 0 to 1, not {sample.share:g}", "share")
    return Step(name=name, kind=StepKind.SAMPLE, description=description, sample=sample)


def _run_step(section: Section, name: str, description: str) -> Step:
    if section.has("upload"):
        section.findings.warn("'upload' is left out: the files stay in the run's folder", section.where("upload"))
    compression = section.text("compression")
    if compression not in (None, "none", "gzip"):
        section.error(f"'compression' cannot be {compression!r}", "compression", hint="known: gzip")
    script = Script(
        script=section.required_text("script"),
        output_dir=below(section, "output_dir", section.text("output_dir") or name),
        filename=section.text("filename_expression"),
        content=section.text("content_expression"),
        gzip=compression == "gzip",
    )
    return Step(name=name, kind=StepKind.RUN, description=description, script=script)


def read_post_process(section: Section) -> PostProcess:
    """One entry of `post_process` (OCT-143)."""
    name, kind = section.text("name") or "unnamed", section.text("type")
    script, args = section.text("script"), section.texts("args")
    if script is None and section.has("command"):
        words = _words(section)
        script, args = (words[0] if words else None), (*words[1:], *args)
    output, files = section.text("output"), section.texts("files")
    if kind not in (None, "script", "gzip"):
        section.error(f"'type' cannot be {kind!r}", "type", hint="known: gzip, script")
    if script is None and not files:
        section.error(f"post_process entry {name!r} needs 'script', or 'files' to compress", "name")
    entry = PostProcess(
        name=name,
        script=script,
        args=args,
        output=None if output is None else below(section, "output", output),
        files=tuple(below(section, "files", pattern) for pattern in files),
        keep_originals=section.boolean("keep_originals", False),
        where=section.where("name") if section.has("name") else section.where(),
    )
    section.ignore("description")
    section.close()
    return entry


def _words(section: Section) -> tuple[str, ...]:
    """`command`: a list of words, or a line of them."""
    command = section.raw("command")
    if isinstance(command, list):
        return section.texts("command")
    try:
        return tuple(shlex.split(str(command)))
    except ValueError as error:
        section.error(f"'command' cannot be read: {error}", "command")
        return ()


def below(section: Section, key: str, path: str) -> str:
    """A path inside the run's outputs: relative, and with no way out."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\\" in path or "\0" in path:
        section.error(f"{key!r} must name a place below the run's outputs, not {path!r}", key)
    return path


_BUILDERS = {
    StepKind.LLM: _llm_step,
    StepKind.EXPRESSION: _expression_step,
    StepKind.FAN_OUT: _fan_out_step,
    StepKind.FAN_IN: _fan_in_step,
    StepKind.AGGREGATE: _aggregate_step,
    StepKind.DEDUPE: _dedupe_step,
    StepKind.SAMPLE: _sample_step,
    StepKind.RUN: _run_step,
}


def _params(section: Section) -> StepParams:
    tools = tuple(_tool(tool) for tool in section.sections("tools"))
    params = StepParams(
        system=section.text("system"),
        temperature=section.number("temperature"),
        top_p=section.number("top_p"),
        top_k=section.optional_integer("top_k", least=1),
        max_tokens=section.optional_integer("max_tokens", least=1),
        stop=section.texts("stop"),
        seed=section.optional_integer("seed"),
        presence_penalty=section.number("presence_penalty", least=-2.0),
        frequency_penalty=section.number("frequency_penalty", least=-2.0),
        reasoning_effort=_effort(section),
        thinking_budget=section.optional_integer("thinking_budget", least=-1),
        images=section.texts("images"),
        tools=tools,
        tool_choice=_tool_choice(section, [tool.name for tool in tools]),
        answer_tool=_answer_tool(section, [tool.name for tool in tools]),
        native_schema=section.boolean("native_schema", True),
    )
    for index, tool in enumerate(tools):
        if tool.parameters is None and tool.name != params.answer_tool:
            section.error(f"tool {tool.name!r} needs 'parameters', a JSON Schema", "tools", index)
    section.close()
    return params


def _effort(section: Section) -> str | None:
    word = section.text("reasoning_effort")
    if word is not None and word not in EFFORTS:
        section.error(f"'reasoning_effort' cannot be {word!r}", "reasoning_effort", hint=did_you_mean(word, EFFORTS))
    return word


def _tool(section: Section) -> StepTool:
    name = section.required_text("name")
    if name and not _TOOL_NAME.fullmatch(name):
        section.error(f"{name!r} cannot be the name of a tool: 1 to 64 letters, digits, _ or -", "name")
    parameters = section.mapping("parameters") if section.has("parameters") else None
    tool = StepTool(name, section.text("description"), parameters)
    section.close()
    return tool


def _tool_choice(section: Section, names: list[str]) -> str | None:
    for name in {name for name in names if names.count(name) > 1}:
        section.error(f"two tools are called {name!r}", "tools")
    word = section.text("tool_choice")
    if word is not None and word not in (*TOOL_CHOICES, *names):
        section.error(f"'tool_choice' cannot be {word!r}", "tool_choice", hint=did_you_mean(word, (*TOOL_CHOICES, *names)))
    if word is not None and not names:
        section.error("'tool_choice' needs 'tools'", "tool_choice")
    return word


def _answer_tool(section: Section, names: list[str]) -> str | None:
    """The NAME of ``answer_from: tool NAME``."""
    words = (section.text("answer_from") or "").split()
    if not words:
        return None
    if len(words) != 2 or words[0] != "tool":
        section.error(f"'answer_from' cannot be {' '.join(words)!r}", "answer_from", hint="answer_from: tool NAME")
        return None
    if words[1] not in names:
        section.error(f"answer_from names {words[1]!r}, which is no tool of the step", "answer_from", hint=did_you_mean(words[1], names))
    return words[1]


def read_api(section: Section) -> ApiSettings:
    """The `api` section (OCT-51)."""
    retry, realtime, batch = section.section("retry"), section.section("realtime"), section.section("batch")
    hours = batch.number("max_age_hours")
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
        script_seconds=section.number("subprocess_timeout_seconds", 600.0, least=1.0) or 600.0,
        batch_max_age=None if hours is None else hours * 3600.0,
        on_stuck=batch.choice("on_stuck", OnStuck, OnStuck.CANCEL_RESUBMIT),
        cache=section.boolean("cache", False),
    )
    for part in (section, retry, realtime, batch):
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
        places={name: section.where("expressions", name) for name in section.mapping_names("expressions")},
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
