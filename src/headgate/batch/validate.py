"""From a parsed answer to a verdict: coercion, schema, rules (OCT-90 to OCT-92, OCT-96, OCT-77).

The answer is validated by itself, so strict schemas work; fields the schema asks for and the unit already has are lent to it, so that
schemas written for Octobatch's merged records work too. Rules see the merged record, with coerced values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from headgate.batch.coerce import Coercer
from headgate.batch.expression_syntax import left_of_comparison
from headgate.batch.expressions import CompiledExpression, ExpressionFailure, Scope, compile_expression, plain
from headgate.batch.gathering import FAN_FIELDS
from headgate.batch.pipeline import DEFAULT_COERCIONS, Coercion, Level, Rule, Rules
from headgate.batch.reasons import Reason
from headgate.batch.schemas import CompiledSchema
from headgate.wire.json import Json, JsonObject, encode_text, type_name

RESERVED = frozenset({"unit_id", "_repetition_id", "_repetition_seed", "_metadata", "_raw_text", "_warnings", "_retry"}) | FAN_FIELDS
"""Fields that belong to the run: an answer cannot set them."""

_PLACEHOLDER = re.compile(r"\{(\w{1,64})\}")
_NAMED = 200
_FLAT = frozenset({str, int, bool, type(None)})
_NUMBER_TYPES = (int, float)


class Problem(msgspec.Struct, frozen=True):
    """One complaint about an answer: JSON path, rule name (``schema_type``, ``required_score``, or the author's), message."""

    path: str
    rule: str
    message: str


class Valid(msgspec.Struct, frozen=True):
    """A good answer. `answer` is the coerced answer alone, `record` the unit's fields with it merged in (and `_warnings`, if any)."""

    answer: Json
    record: JsonObject
    warnings: tuple[str, ...] = ()
    coercions: tuple[str, ...] = ()


class Invalid(msgspec.Struct, frozen=True):
    """A bad answer: `reason` is `schema` or `rule`."""

    reason: Reason
    problems: tuple[Problem, ...]
    coercions: tuple[str, ...] = ()


Verdict: TypeAlias = Valid | Invalid


class _CompiledRule(msgspec.Struct, frozen=True):
    rule: Rule
    expr: CompiledExpression
    when: CompiledExpression | None
    left: CompiledExpression | None


class CompiledRules:
    """The `validation` entry of a step, ready to check records."""

    def __init__(self, rules: Rules) -> None:
        """Compile the expressions. Raises `ConfigError`."""
        self.rules = rules
        self.compiled = tuple(_compile_rule(rule) for rule in rules.rules)

    def check(self, record: JsonObject, seed: int) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
        """The errors and the warnings of a record. `seed` feeds `random` in rules."""
        problems = [
            *(_required(name, record) for name in self.rules.required),
            *(_typed(name, kind, record) for name, kind in self.rules.types.items()),
            *(_ranged(name, bounds, record) for name, bounds in self.rules.ranges.items()),
            *(_enumerated(name, allowed, record) for name, allowed in self.rules.enums.items()),
        ]
        errors = [problem for problem in problems if problem is not None]
        warnings: list[str] = []
        if self.compiled:
            scope = Scope(record, seed)
            for compiled in self.compiled:
                _check_rule(compiled, scope, record, errors, warnings)
        return tuple(errors), tuple(warnings)


class StepValidator:
    """Everything that decides whether a step's answer is good. `schema` None: any object (expression gates, OCT-77)."""

    def __init__(self, schema: CompiledSchema | None, rules: CompiledRules, coercions: frozenset[Coercion] = DEFAULT_COERCIONS) -> None:
        self.schema = schema
        self.rules = rules
        self._coercer = Coercer(schema.schema, coercions) if schema else None

    @property
    def draws(self) -> bool:
        """Whether there are rules that may draw random numbers: without, no seed is needed."""
        return bool(self.rules.compiled)

    def validate(self, answer: Json, fields: JsonObject, *, seed: int = 0) -> Verdict:
        """Judge a parsed answer of a unit with `fields`. Never raises; neither argument is changed."""
        notes: tuple[str, ...] = ()
        if self._coercer is not None and not self._is_settled(answer):
            answer, notes = self._coercer.apply(answer)
        if not isinstance(answer, dict):
            problem = Problem("$", "schema_type", f"the answer must be an object, not {type_name(answer)}")
            return Invalid(Reason.SCHEMA, (problem,), notes)
        problems = self._schema_problems(answer, fields)
        if problems:
            return Invalid(Reason.SCHEMA, problems, notes)
        own = {name: value for name, value in answer.items() if name not in RESERVED}
        return self._ruled(answer, {**fields, **own}, notes, seed)

    def validate_record(self, record: JsonObject, *, seed: int = 0) -> Verdict:
        """Judge a record by the rules alone: what an expression step produced."""
        return self._ruled(record, dict(record), (), seed)

    def _is_settled(self, answer: Json) -> bool:
        """True if no coercion could change `answer`: it is valid, flat, and holds no float that might be meant as an integer."""
        return (
            isinstance(answer, dict)
            and _FLAT.issuperset(map(type, answer.values()))
            and self.schema is not None
            and self.schema.accepts(answer)
        )

    def _ruled(self, answer: Json, record: JsonObject, notes: tuple[str, ...], seed: int) -> Verdict:
        errors, warnings = self.rules.check(record, seed)
        if errors:
            return Invalid(Reason.RULE, errors, notes)
        if warnings:
            record["_warnings"] = list(warnings)
        return Valid(answer, record, warnings, notes)

    def _schema_problems(self, answer: JsonObject, fields: JsonObject) -> tuple[Problem, ...]:
        schema = self.schema
        if schema is None or schema.accepts(answer):
            return ()
        lent = {name: fields[name] for name in schema.top_names if name in fields and name not in answer}
        completed = {**lent, **answer} if lent else answer
        found = schema.problems(completed)
        return tuple(Problem(problem.path, f"schema_{problem.keyword}", problem.message) for problem in found)


def _compile_rule(rule: Rule) -> _CompiledRule:
    where = rule.where or None
    expr = compile_expression(rule.expr, name=rule.name, where=where)
    left = left_of_comparison(rule.expr) if "{_computed}" in rule.error else None
    return _CompiledRule(
        rule=rule,
        expr=expr,
        when=compile_expression(rule.when, name=f"{rule.name} (when)", where=where) if rule.when is not None else None,
        left=compile_expression(left, name=f"{rule.name} (computed)", where=where) if left else None,
    )


def _check_rule(compiled: _CompiledRule, scope: Scope, record: JsonObject, errors: list[Problem], warnings: list[str]) -> None:
    rule = compiled.rule
    if compiled.when is not None:
        applies = scope.truth(compiled.when)
        if isinstance(applies, ExpressionFailure):
            warnings.append(f"{rule.name}: skipped, its 'when' failed: {applies.message}")
            return
        if not applies:
            return
    holds = scope.truth(compiled.expr)
    if holds is True:
        return
    message = _message(compiled, scope, record)
    if isinstance(holds, ExpressionFailure):
        message = f"{message} ({holds.message})"
    if rule.level is Level.WARNING:
        warnings.append(f"{rule.name}: {message}")
    else:
        errors.append(Problem("$", rule.name, message))


def _message(compiled: _CompiledRule, scope: Scope, record: JsonObject) -> str:
    rule = compiled.rule
    computed = scope.evaluate(compiled.left) if compiled.left is not None else None

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        if name == "_computed" and compiled.left is not None:
            return computed.message if isinstance(computed, ExpressionFailure) else _shown(computed)
        return _shown(record[name]) if name in record else match[0]

    return _PLACEHOLDER.sub(replaced, rule.error) if rule.error else f"{rule.expr} is false"


def _shown(value: Json) -> str:
    text = value if isinstance(value, str) else encode_text(plain(value))
    return text if len(text) <= _NAMED else f"{text[: _NAMED - 1]}…"


def _required(name: str, record: JsonObject) -> Problem | None:
    return None if record.get(name) is not None else Problem(f"$.{name}", f"required_{name}", f"{name} is missing or null")


def _is_number(value: Json) -> bool:
    return isinstance(value, _NUMBER_TYPES) and not isinstance(value, bool)


def _is_integer(value: Json) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


_TYPE_CHECKS: dict[str, Callable[[Json], bool]] = {
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "float": _is_number,
    "integer": _is_integer,
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "dict": lambda value: isinstance(value, dict),
}


def _typed(name: str, kind: str, record: JsonObject) -> Problem | None:
    value = record.get(name)
    if value is None or _TYPE_CHECKS[kind](value):
        return None
    return Problem(f"$.{name}", f"type_{name}", f"{name} must be {kind}, not {type_name(value)}")


def _ranged(name: str, bounds: tuple[float | None, float | None], record: JsonObject) -> Problem | None:
    value = record.get(name)
    if value is None:
        return None
    least, most = bounds
    if _is_number(value) and (least is None or value >= least) and (most is None or value <= most):
        return None
    return Problem(f"$.{name}", f"range_{name}", f"{name} must be within [{least}, {most}], not {_shown(value)}")


def _enumerated(name: str, allowed: tuple[Json, ...], record: JsonObject) -> Problem | None:
    value = record.get(name)
    if value is None or value in allowed or (isinstance(value, str) and value.casefold() in {_folded(item) for item in allowed}):
        return None
    return Problem(f"$.{name}", f"enum_{name}", f"{name} must be one of {', '.join(map(_shown, allowed))}, not {_shown(value)}")


def _folded(value: Json) -> Json:
    return value.casefold() if isinstance(value, str) else _shown(value)
