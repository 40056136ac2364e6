"""What must hold between the parts of a pipeline: the four links, and that every name is provided before it is used (OCT-54 to OCT-56)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from headgate.batch.compiled import CompiledPipeline
from headgate.batch.config_reader import Findings, Section, did_you_mean
from headgate.batch.gathering import COUNT, FAN_FIELDS
from headgate.batch.items import field_names
from headgate.batch.pipeline import Pipeline, Step, StepKind, system_key
from headgate.batch.plan import REPETITION_ID, REPETITION_SEED, UNIT_ID
from headgate.batch.template_check import TemplateFacts

_ALWAYS = frozenset({UNIT_ID})
_TEMPLATE_ONLY = frozenset({"_retry", "_metadata", REPETITION_ID, REPETITION_SEED})
_REPEATED = frozenset({REPETITION_ID})


def check_links(steps: Iterable[Step], linked: Mapping[str, Section]) -> Findings:
    """The four-point link: every LLM step has an entry of its name in each of `linked` (OCT-54)."""
    found = Findings()
    names = [step.name for step in steps]
    for label, section in linked.items():
        for step in steps:
            if step.kind is StepKind.LLM and step.name and step.name not in section.value:
                close = did_you_mean(step.name, set(section.value) - set(names))
                found.error(f"step {step.name!r} has no entry under {label}", step.where, close or f"add {label}.{step.name}")
        for name in section.value:
            if name not in names:
                found.error(f"{label} names {name!r}, which is no step", section.where(name), did_you_mean(name, names))
    return found


class NameFlow:
    """Follows a record through the steps: which names exist when."""

    def __init__(self, pipeline: Pipeline, compiled: CompiledPipeline, facts: Mapping[str, TemplateFacts], findings: Findings) -> None:
        self._pipeline = pipeline
        self._compiled = compiled
        self._facts = facts
        self._findings = findings
        self._known = set(_ALWAYS | (_REPEATED if pipeline.processing.repeat > 1 else frozenset()))
        self._later: dict[str, str] = {}
        """Names that only a step to come provides, with that step."""
        self._spread: dict[str, frozenset[str]] = {}
        fields = field_names(pipeline.items)
        self._open = fields is None
        self._known |= fields or frozenset()

    def check(self) -> None:
        """Note every name that is read but not provided: an error, or a warning where an earlier answer might bring it."""
        if not len(self._pipeline.items):
            return
        for index, step in enumerate(self._pipeline.steps):
            self._later = _later(self._pipeline, self._compiled, index)
            self._condition(step)
            _CHECKS.get(step.kind, _unchanged)(self, step)
            self._rules(step)
        self._post_process()

    def _post_process(self) -> None:
        """A report over fields that no result has comes out empty."""
        for entry in self._pipeline.post_process:
            for name in sorted(_named_fields(entry.args) - self._known):
                unless = " unless an answer has it" if self._open else ""
                message = f"post_process {entry.name!r} looks at {name!r}, which no result has{unless}"
                close = did_you_mean(name, self._known) if not self._open else None
                self._findings.warn(f"{message} ({close})" if close else message, entry.where or None)

    def _condition(self, step: Step) -> None:
        condition = self._compiled.conditions.get(step.name)
        if condition is not None:
            self._missing(condition.reads, f"'when' of step {step.name!r}", step.place("when"))

    def _missing(self, names: Iterable[str], what: str, where: str | None) -> None:
        for name in sorted(set(names) - self._known):
            message, hint = f"{what} needs {name!r}, which nothing before it provides", did_you_mean(name, self._known)
            if name in self._later:
                message = f"{what} needs {name!r}, which only a later step, {self._later[name]!r}, provides"
                hint = "change the order of the steps"
            if self._open:
                self._findings.warn(f"{message} (unless an answer has it)", where)
            else:
                self._findings.error(message, where, hint)

    def _expression_step(self, step: Step) -> None:
        compiled = self._compiled.expression_steps[step.name]
        for key, expressions in (("init", compiled.init), ("expressions", compiled.expressions)):
            for expression in expressions:
                self._missing(expression.reads, f"expression {expression.name!r} of step {step.name!r}", step.place(key, expression.name))
                self._known.add(expression.name)
        if compiled.loop_until is not None:
            self._missing(compiled.loop_until.reads, f"loop_until of step {step.name!r}", step.place("loop_until"))

    def _llm_step(self, step: Step) -> None:
        before = set(self._known)
        for expression in self._compiled.prompt_values:
            place = self._pipeline.processing.places.get(expression.name) or step.where
            self._missing(expression.reads, f"processing.expressions.{expression.name}", place)
            self._known.add(expression.name)
        self._known |= _TEMPLATE_ONLY | self._pipeline.global_context.keys()
        for name, where in self._facts[step.name].required.items():
            self._missing([name], f"the template of step {step.name!r}", where)
        system = self._facts.get(system_key(step))
        for name, where in {} if system is None else system.required.items():
            self._missing([name], f"the system prompt of step {step.name!r}", where)
        for expression in self._compiled.images[step.name]:
            self._missing(expression.reads, f"the {expression.name} of step {step.name!r}", step.where)
        self._known = before
        schema = self._compiled.validators[step.name].schema
        if schema is not None:
            self._known |= schema.top_names
            self._open |= schema.schema.get("additionalProperties", True) is not False

    def _fan_out_step(self, step: Step) -> None:
        spread = step.fan_out
        assert spread is not None
        self._missing([spread.field], f"fan_out step {step.name!r}", step.where)
        self._spread[step.name] = frozenset(self._known)
        self._known = (self._known if spread.keep_field else self._known - {spread.field}) | FAN_FIELDS | {spread.child_field}

    def _fan_in_step(self, step: Step) -> None:
        gather = step.gather
        assert gather is not None and gather.of is not None
        self._missing(gather.collect, f"'collect' of step {step.name!r}", step.where)
        self._known = set(self._spread.get(gather.of, frozenset())) | {gather.field, COUNT}

    def _aggregate_step(self, step: Step) -> None:
        gather = step.gather
        assert gather is not None
        self._missing((*gather.group_by, *gather.collect), f"aggregate step {step.name!r}", step.where)
        self._known = {*_ALWAYS, *gather.group_by, gather.field, COUNT}
        self._open = False

    def _dedupe_step(self, step: Step) -> None:
        self._missing(step.by, f"dedupe step {step.name!r}", step.where)

    def _run_step(self, step: Step) -> None:
        for expression in self._compiled.script_expressions.get(step.name, ()):
            self._missing(expression.reads, f"{expression.name} of step {step.name!r}", step.place(expression.name))

    def _rules(self, step: Step) -> None:
        validator = self._compiled.validators.get(step.name)
        if validator is None:
            return
        for compiled in validator.rules.compiled:
            parts = (compiled.expr, *((compiled.when,) if compiled.when else ()))
            for part in parts:
                self._missing(part.reads, f"rule {compiled.rule.name!r} of step {step.name!r}", compiled.rule.where)
        named = {*validator.rules.rules.required, *validator.rules.rules.types, *validator.rules.rules.ranges, *validator.rules.rules.enums}
        for name in sorted(named - self._known):
            self._findings.warn(f"the validation of step {step.name!r} speaks of {name!r}, which no schema or step declares", step.where)


FIELD_OPTIONS = ("--group-by", "--count-field", "--numeric-field")
"""Arguments of `post_process` that name fields of results."""


def _named_fields(args: Sequence[str]) -> set[str]:
    """The fields that arguments name: ``--group-by a``, ``--group-by=a``, several with commas; of ``a.b`` the first."""
    words: list[str] = []
    for here, following in pairwise((*args, "")):
        option, equals, value = here.partition("=")
        if option in FIELD_OPTIONS:
            words += (value if equals else following).split(",")
    return {word.strip().partition(".")[0] for word in words if word.strip() and not word.startswith("-")}


def _later(pipeline: Pipeline, compiled: CompiledPipeline, index: int) -> dict[str, str]:
    """The names that the steps behind number `index` provide, each with the first that does."""
    found: dict[str, str] = {}
    for step in pipeline.steps[index + 1 :]:
        for name in _provides(step, compiled):
            found.setdefault(name, step.name)
    return found


def _provides(step: Step, compiled: CompiledPipeline) -> frozenset[str]:
    if step.kind is StepKind.EXPRESSION:
        return frozenset(compiled.expression_steps[step.name].assigns)
    if step.fan_out is not None:
        return frozenset({step.fan_out.child_field}) | FAN_FIELDS
    if step.gather is not None:
        return frozenset({step.gather.field, COUNT})
    validator = compiled.validators.get(step.name)
    schema = validator.schema if validator is not None and step.kind is StepKind.LLM else None
    return frozenset() if schema is None else schema.top_names


def _unchanged(_flow: NameFlow, _step: Step) -> None:
    """A step after which a unit's names are the same."""


_CHECKS: dict[StepKind, Callable[[NameFlow, Step], None]] = {
    StepKind.EXPRESSION: NameFlow._expression_step,
    StepKind.LLM: NameFlow._llm_step,
    StepKind.FAN_OUT: NameFlow._fan_out_step,
    StepKind.FAN_IN: NameFlow._fan_in_step,
    StepKind.AGGREGATE: NameFlow._aggregate_step,
    StepKind.DEDUPE: NameFlow._dedupe_step,
    StepKind.RUN: NameFlow._run_step,
}
