"""Expressions of a pipeline: compiled once per step, evaluated per unit, never raising out (OCT-70 to OCT-75, OCT-78, OCT-79).

A compiled expression is a code object of the rewritten tree (`expression_syntax`) that runs with an empty ``__builtins__`` and the guard
functions of `expression_guards`; about 0.3 µs for ``position + direction``. All failures are values.
"""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from math import isfinite
from types import CodeType, FunctionType

import msgspec

from headgate.batch.expression_guards import MAX_OPS, PREFIX, SCALARS, BoundExceeded, Guards, guard
from headgate.batch.expression_syntax import HIDDEN_NAMES, ExpressionRefused, check, check_name
from headgate.errors import ConfigError
from headgate.wire.json import Json, JsonObject

DEFAULT_MAX_ITERATIONS = 1_000
MAX_DEPTH = 64
_INT_RANGE = (-(2**63), 2**64 - 1)
_MESSAGE = 500
_OUTPUT_CONTAINERS = frozenset({list, tuple, set, frozenset, range})

EVALUATION_ERRORS = (ArithmeticError, LookupError, TypeError, ValueError, NameError, AttributeError, RuntimeError, MemoryError)
"""Everything the allowed language can raise."""


class CompiledExpression(msgspec.Struct, frozen=True):
    """One named expression, ready to run.

    `reads` are the data names it needs, `guards` the reserved ones; `mutates` says that it reorders lists in place.
    """

    name: str
    source: str
    code: CodeType
    reads: frozenset[str]
    guards: frozenset[str] = frozenset()
    mutates: bool = False


class ExpressionFailure(msgspec.Struct, frozen=True):
    """Why an expression gave no value. `kind` is ``error``, ``limit`` or ``timeout``."""

    name: str
    kind: str
    message: str


class StepValues(msgspec.Struct, frozen=True):
    """What an expression step produced: its named values (helpers left out), loop turns, and whether the loop hit its limit."""

    values: JsonObject
    iterations: int
    timed_out: bool

    def fields(self, step: str) -> JsonObject:
        """The fields to add to a unit's record, `_metadata` included (OCT-75)."""
        metadata = {"iterations": self.iterations, "timeout": self.timed_out, "expression_step": step}
        return {**self.values, "_metadata": metadata}


class CompiledStep(msgspec.Struct, frozen=True):
    """An expression step: `init` once, then `expressions` until `loop_until` holds or `max_iterations` turns are done."""

    name: str
    init: tuple[CompiledExpression, ...]
    expressions: tuple[CompiledExpression, ...]
    loop_until: CompiledExpression | None = None
    max_iterations: int = DEFAULT_MAX_ITERATIONS
    fail_on_timeout: bool = False

    @property
    def assigns(self) -> tuple[str, ...]:
        """The names this step gives values to, in order, each once."""
        return tuple(dict.fromkeys(expression.name for expression in (*self.init, *self.expressions)))

    @property
    def mutates(self) -> bool:
        """True if some expression reorders a list in place: the unit's fields are copied first."""
        parts = (*self.init, *self.expressions, *((self.loop_until,) if self.loop_until else ()))
        return any(part.mutates for part in parts)


def compile_expression(source: str, *, name: str = "expression", where: str | None = None) -> CompiledExpression:
    """Compile `source`. Raises `ConfigError` at `where` with the column inside the expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checked = check(source)
            code = _code_of(checked.tree, name)
    except ExpressionRefused as error:
        raise ConfigError(f"expression {name!r}: {error} (column {error.column} of {_clip(source, 80)!r})", where=where) from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"expression {name!r} cannot be compiled: {error}", where=where) from error
    return CompiledExpression(name=name, source=source, code=code, reads=checked.names, guards=_guards_of(code), mutates=checked.mutates)


def _code_of(tree: ast.expr, name: str) -> CodeType:
    empty = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    wrapped = ast.fix_missing_locations(ast.Expression(ast.copy_location(ast.Lambda(empty, tree), tree)))
    outer = compile(wrapped, f"<{name}>", "eval")
    return next(constant for constant in outer.co_consts if isinstance(constant, CodeType))


def _guards_of(code: CodeType) -> frozenset[str]:
    inner = (_guards_of(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return frozenset(name for name in code.co_names if name.startswith(PREFIX)).union(*inner)


def compile_named(
    sources: Iterable[tuple[str, str]], where: Callable[[str], str | None] = lambda _: None
) -> tuple[CompiledExpression, ...]:
    """Compile ``(name, source)`` pairs in order; `where` maps a name to its position. Raises `ConfigError`."""
    compiled = []
    for name, source in sources:
        fault = check_name(name)
        if fault:
            raise ConfigError(fault, where=where(name))
        compiled.append(compile_expression(source, name=name, where=where(name)))
    return tuple(compiled)


class Scope:
    """The names one unit's expressions see, and one random stream. Values assigned here are visible to later expressions."""

    __slots__ = ("_guards", "_names")

    def __init__(self, fields: Mapping[str, Json], seed: int, *, ops: int = MAX_OPS) -> None:
        self._guards = Guards(seed, ops)
        self._names = {name: value for name, value in fields.items() if not name.startswith("__") and name not in HIDDEN_NAMES}
        self._names["__builtins__"] = {}

    def bind(self, expression: CompiledExpression) -> Callable[[], Json]:
        """`expression` as a function of this scope's current values; it may raise any of `EVALUATION_ERRORS`."""
        for name in expression.guards:
            if name not in self._names:
                self._names[name] = guard(self._guards, name)
        return FunctionType(expression.code, self._names)

    @property
    def names(self) -> dict[str, Json]:
        """Every name and its current value, to be changed by whoever evaluates in a loop."""
        return self._names

    def assign(self, name: str, value: Json) -> None:
        """Give `name` a value."""
        self._names[name] = value

    def value(self, name: str) -> Json:
        """The current value of `name`. Raises `KeyError`."""
        return self._names[name]

    def evaluate(self, expression: CompiledExpression) -> Json | ExpressionFailure:
        """The expression's value as plain JSON, or why there is none."""
        try:
            return plain(self.bind(expression)())
        except EVALUATION_ERRORS as error:
            return failure_of(expression.name, error)

    def truth(self, expression: CompiledExpression) -> bool | ExpressionFailure:
        """Whether the expression holds, or why that cannot be said."""
        try:
            return bool(self.bind(expression)())
        except EVALUATION_ERRORS as error:
            return failure_of(expression.name, error)


def failure_of(name: str, error: BaseException) -> ExpressionFailure:
    """The failure an exception of `EVALUATION_ERRORS` stands for; its text is clipped."""
    kind = "limit" if isinstance(error, BoundExceeded | MemoryError | RecursionError) else "error"
    return ExpressionFailure(name=name, kind=kind, message=_clip(f"{type(error).__name__}: {error}", _MESSAGE))


def _clip(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"


def plain(value: Json, depth: int = 0) -> Json:
    """`value` as plain JSON: tuples, sets and ranges become lists. Raises `TypeError` or `ValueError` for what JSON cannot hold."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        if not _INT_RANGE[0] <= value <= _INT_RANGE[1]:
            raise ValueError("the result is an integer of more than 64 bits")
        return value
    if kind is float:
        if not isfinite(value):
            raise ValueError(f"the result is not a finite number: {value}")
        return value
    return _plain_container(value, depth)


def _plain_container(value: Json, depth: int) -> Json:
    kind = type(value)
    if depth > MAX_DEPTH:
        raise ValueError(f"the result is nested more than {MAX_DEPTH} deep")
    if kind is dict:
        return {_plain_key(key): plain(item, depth + 1) for key, item in value.items()}
    if kind in (set, frozenset):
        return [plain(item, depth + 1) for item in sorted(value)]
    if kind in _OUTPUT_CONTAINERS:
        return [plain(item, depth + 1) for item in value]
    raise TypeError(f"the result is a {kind.__name__}, which JSON cannot hold")


def _plain_key(key: Json) -> str:
    if isinstance(key, str):
        return key
    if type(key) in SCALARS:
        return str(key)
    raise TypeError("a dictionary's keys must be text or numbers")


def run_expression_step(step: CompiledStep, fields: JsonObject, seed: int, *, ops: int = MAX_OPS) -> StepValues | ExpressionFailure:
    """Run `step` on a unit's fields with one random stream of `seed`; `fields` is never changed. Never raises."""
    scope = Scope(deepcopy(fields) if step.mutates else fields, seed, ops=ops)
    name = step.name
    try:
        for expression in step.init:
            name = expression.name
            scope.assign(name, scope.bind(expression)())
        bound = [(expression.name, scope.bind(expression)) for expression in step.expressions]
        until = scope.bind(step.loop_until) if step.loop_until else None
        iterations, done, most, names = 0, False, step.max_iterations if until else 1, scope.names
        while not done and iterations < most:
            for name, evaluate in bound:
                names[name] = evaluate()
            iterations += 1
            if until is None:
                done = True
            else:
                name = "loop_until"
                done = bool(until())
        values = _outputs(step, scope)
    except EVALUATION_ERRORS as error:
        return failure_of(name, error)
    if not done and step.fail_on_timeout:
        return ExpressionFailure("loop_until", "timeout", f"loop_until was still false after {iterations} iterations")
    return StepValues(values=values, iterations=iterations, timed_out=not done)


def _outputs(step: CompiledStep, scope: Scope) -> JsonObject:
    values: JsonObject = {}
    for name in step.assigns:
        if not name.startswith("_"):
            try:
                values[name] = plain(scope.value(name))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{name}: {error}") from error
    return values


def run_named(expressions: Iterable[CompiledExpression], fields: JsonObject, seed: int) -> JsonObject | ExpressionFailure:
    """Evaluate `expressions` once, in order, each seeing the earlier ones (`processing.expressions`). Never raises."""
    return _values_of(run_expression_step(CompiledStep(name="expressions", init=(), expressions=tuple(expressions)), fields, seed))


def _values_of(outcome: StepValues | ExpressionFailure) -> JsonObject | ExpressionFailure:
    return outcome.values if isinstance(outcome, StepValues) else outcome


def derive_seed(run_seed: int | str, unit_id: str, step: str, purpose: str) -> int:
    """A 64-bit seed of its own for each (run, unit, step, purpose) (OCT-73)."""
    parts = (str(run_seed), unit_id, step, purpose)
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def octobatch_seed(unit_id: str, step: str, repetition_seed: int | None = None) -> int:
    """The seed Octobatch uses, for replaying its runs: the repetition's seed if there is one, else a hash of unit and step (OCT-72)."""
    if repetition_seed is not None:
        return repetition_seed
    return int(hashlib.sha256(f"{unit_id}{step}".encode()).hexdigest(), 16) & 0x7FFFFFFF
