"""The functions a compiled expression calls instead of Python's own operators and builtins.

Two promises, kept together: no operation may do work out of proportion to what it charges, and no value may ever exist whose
expansion (as text, as JSON, in a comparison) is larger than `MAX_WEIGHT`. A list that holds itself twice, a thousand times
over, is refused when it is built, not when somebody prints it.

One `Guards` object serves one evaluation scope: it holds the operation budget and the scope's random stream.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from random import Random
from types import GeneratorType
from typing import TypeAlias

from headgate.wire.json import Json

MAX_OPS = 1_000_000
"""Iterations, copied elements (in eighths) and visited nodes one scope may spend."""
MAX_ITEMS = 1_000_000
MAX_TEXT = 4_000_000
MAX_WEIGHT = 1_000_000
MAX_INT_BITS = 4_096
MAX_FORMAT_WIDTH = 1_000

SCALARS = frozenset({int, float, bool, type(None)})
_SEQUENCES = frozenset({str, list, tuple})
_SLICED = frozenset({str, list, tuple, range})
_SIZED = frozenset({str, list, tuple, dict, set, frozenset, range})
_FORMAT = re.compile(r"(?:.?[<>=^])?[+\- ]?z?#?0?(\d{0,9})[,_]?(?:\.(\d{1,9}))?[a-zA-Z%]?", re.DOTALL)
_CONVERSIONS: dict[int, Callable[[Json], Json]] = {-1: lambda value: value, ord("s"): str, ord("r"): repr, ord("a"): ascii}

Operand: TypeAlias = Json
"""A value of an expression: JSON values plus tuples, sets, ranges and generators."""

_TEXT_METHODS = (
    "capitalize", "casefold", "center", "count", "endswith", "find", "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit",
    "islower", "isnumeric", "isspace", "istitle", "isupper", "join", "ljust", "lower", "lstrip", "partition", "removeprefix",
    "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip",
    "swapcase", "title", "upper", "zfill",
)  # fmt: skip

METHODS: dict[type, frozenset[str]] = {
    str: frozenset(_TEXT_METHODS),
    list: frozenset({"copy", "count", "index"}),
    tuple: frozenset({"count", "index"}),
    dict: frozenset({"copy", "get", "items", "keys", "values"}),
    set: frozenset({"copy", "difference", "intersection", "isdisjoint", "issubset", "issuperset", "symmetric_difference", "union"}),
    int: frozenset({"bit_length"}),
    float: frozenset({"is_integer"}),
}
"""Every method an expression may call, by the exact type of the object. Mutating methods are absent: values are shared."""

METHOD_NAMES = frozenset(chain.from_iterable(METHODS.values()))
_PADDING = frozenset({"center", "ljust", "rjust", "zfill"})


class BoundExceeded(ValueError):
    """An expression asked for more work or space than it may have."""


def weigh(value: Operand) -> int:
    """Size of a value's expansion in nodes (text counts an eighth of its length). Raises `BoundExceeded` above `MAX_WEIGHT`."""
    total = 0
    stack: list[Iterable[Operand]] = [(value,)]
    while stack:
        for item in stack.pop():
            kind = type(item)
            if kind in SCALARS:
                total += 1
            elif kind is str:
                total += 1 + len(item) // 8
            else:
                total += 1
                if kind in (list, tuple, set, frozenset):
                    stack.append(item)
                elif kind is dict:
                    stack.append(item.keys())
                    stack.append(item.values())
            if total > MAX_WEIGHT:
                raise BoundExceeded(f"a value has more than {MAX_WEIGHT:,} parts")
    return total


def is_flat(value: Iterable[Operand]) -> bool:
    """True if every element is a number, a boolean or null."""
    return SCALARS.issuperset(map(type, value))


def _require_size(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise BoundExceeded(f"{what} of {size:,} is over the limit of {limit:,}")


class SeededStream(Random):
    """A reproducible random stream for simulations; never a source of secrets."""


class Guards:
    """Bounded operators, builtins and random functions for one scope. The random stream of `seed` begins when it is first drawn from."""

    __slots__ = ("_left", "_seed", "_stream")

    def __init__(self, seed: int, ops: int = MAX_OPS) -> None:
        self._seed = seed
        self._stream: Random | None = None
        self._left = ops

    @property
    def _random(self) -> Random:
        if self._stream is None:
            self._stream = SeededStream(self._seed)
        return self._stream

    def charge(self, amount: int) -> None:
        """Spend `amount` operations. Raises `BoundExceeded` when none are left."""
        self._left -= amount
        if self._left < 0:
            raise BoundExceeded("the expression's operation budget is used up")

    # operators

    def add(self, left: Operand, right: Operand) -> Operand:
        """``left + right``; text and sequences are bounded by length."""
        kind = type(left)
        if kind is int or kind is float:
            return left + right
        if kind in _SEQUENCES and type(right) is kind:
            size = len(left) + len(right)
            if kind is str:
                _require_size(size, MAX_TEXT, "a text")
                self.charge(size >> 5)
                return left + right
            _require_size(size, MAX_ITEMS, "a list")
            self.charge((size >> 3) + 1)
            result = left + right
            return result if is_flat(result) else self.made(result)
        return left + right

    def sub(self, left: Operand, right: Operand) -> Operand:
        """``left - right``."""
        if type(left) is set:
            self.charge(len(left))
        return left - right

    def mul(self, left: Operand, right: Operand) -> Operand:
        """``left * right``; the size of the product is bounded before it is made."""
        if type(left) is float or type(right) is float:
            return left * right
        if type(left) in _SEQUENCES:
            return self._repeat(left, right)
        if type(right) in _SEQUENCES:
            return self._repeat(right, left)
        if isinstance(left, int) and isinstance(right, int):
            _require_size(left.bit_length() + right.bit_length(), MAX_INT_BITS, "an integer (bits)")
        return left * right

    def _repeat(self, sequence: Operand, times: Operand) -> Operand:
        if not isinstance(times, int):
            return sequence * times
        size = len(sequence) * max(times, 0)
        if isinstance(sequence, str):
            _require_size(size, MAX_TEXT, "a text")
            self.charge(size >> 5)
            return sequence * times
        _require_size(size, MAX_ITEMS, "a list")
        self.charge((size >> 3) + 1)
        return self.made(sequence * times)

    def pow(self, left: Operand, right: Operand) -> Operand:
        """``left ** right``; integers up to `MAX_INT_BITS` bits."""
        if isinstance(left, int) and isinstance(right, int) and right > 0 and abs(left) > 1:
            _require_size(left.bit_length() * right, MAX_INT_BITS, "an integer (bits)")
        return left**right

    def lshift(self, left: Operand, right: Operand) -> Operand:
        """``left << right``; integers up to `MAX_INT_BITS` bits."""
        if isinstance(left, int) and isinstance(right, int):
            _require_size(left.bit_length() + right, MAX_INT_BITS, "an integer (bits)")
        return left << right

    def mod(self, left: Operand, right: Operand) -> Operand:
        """``left % right`` of numbers; text formatting with ``%`` is refused."""
        if type(left) is str:
            raise TypeError("'%' does not format text here: use an f-string")
        return left % right

    def _joint(self, left: Operand, right: Operand) -> None:
        if type(left) in (set, dict):
            self.charge(len(left) + (len(right) if type(right) in (set, dict) else 0))

    def bitor(self, left: Operand, right: Operand) -> Operand:
        """``left | right``: numbers, sets, or dictionaries (right wins)."""
        self._joint(left, right)
        result = left | right
        return result if type(result) in SCALARS else self.made(result)

    def bitand(self, left: Operand, right: Operand) -> Operand:
        """``left & right``."""
        self._joint(left, right)
        return left & right

    def bitxor(self, left: Operand, right: Operand) -> Operand:
        """``left ^ right``."""
        self._joint(left, right)
        return left ^ right

    def operand(self, value: Operand) -> Operand:
        """`value`, charged for what comparing or hashing it may cost."""
        kind = type(value)
        if kind in SCALARS:
            return value
        if kind is str:
            self.charge(len(value) >> 6)
        else:
            self.charge(weigh(value))
        return value

    def contains(self, item: Operand, container: Operand) -> bool:
        """``item in container``."""
        self.operand(item)
        if type(container) in (list, tuple):
            self.charge(weigh(container))
        elif type(container) is str:
            self.charge(len(container) >> 4)
        elif type(container) is GeneratorType:
            raise TypeError("'in' needs a list, a text or a dictionary")
        return item in container

    def slice(self, value: Operand, start: Operand, stop: Operand, step: Operand) -> Operand:
        """``value[start:stop:step]``."""
        if type(value) not in _SLICED:
            raise TypeError(f"a {type(value).__name__} cannot be sliced")
        bounds = slice(start, stop, step)
        self.charge((len(range(*bounds.indices(len(value)))) >> 3) + 1)
        return value[bounds]

    # building

    def made(self, value: Operand) -> Operand:
        """`value`, a container just built, once its expansion is known to be bounded."""
        if type(value) is not dict and is_flat(value):
            self.charge((len(value) >> 3) + 1)
        else:
            self.charge(weigh(value))
        return value

    def iterate(self, value: Operand) -> Operand:
        """`value`, charged for one pass over it. A generator was paid for when it was made."""
        kind = type(value)
        if kind in _SIZED:
            self.charge(len(value))
        elif kind is not GeneratorType:
            raise TypeError(f"a {kind.__name__} is not iterable")
        return value

    def format(self, value: Operand, conversion: int, spec: str) -> str:
        """One ``{value!conversion:spec}`` of an f-string; width and precision up to `MAX_FORMAT_WIDTH`."""
        if spec:
            found = _FORMAT.fullmatch(spec)
            if found is None:
                raise ValueError(f"format {spec[:40]!r} is not allowed")
            for part in found.groups():
                _require_size(int(part or 0), MAX_FORMAT_WIDTH, "a format width")
        self.operand(value)
        return format(_CONVERSIONS[conversion](value), spec)

    def fstring(self, *pieces: str) -> str:
        """The pieces of an f-string, joined."""
        size = sum(map(len, pieces))
        _require_size(size, MAX_TEXT, "a text")
        self.charge(size >> 5)
        return "".join(pieces)

    def method(self, value: Operand, name: str, *args: Operand, **options: Operand) -> Operand:
        """``value.name(...)`` for the pairs in `METHODS`."""
        kind = type(value)
        if name not in METHODS.get(kind, ()):
            raise AttributeError(f"a {kind.__name__} has no method {name!r} here")
        if name == "join":
            return self._join(value, *args)
        for argument in args:
            self.operand(argument)
        if kind is str:
            self.charge(len(value) >> 4)
            self._bound_text_method(value, name, args)
        elif kind in _SIZED:
            self.charge(weigh(value))
        result = getattr(value, name)(*args, **options)
        if kind is dict and name in ("items", "keys", "values"):
            return self.made(list(result))
        return self.made(result) if type(result) in (list, tuple, set) else result

    @staticmethod
    def _bound_text_method(value: str, name: str, args: tuple[Operand, ...]) -> None:
        if name in _PADDING and args and isinstance(args[0], int):
            _require_size(args[0], MAX_TEXT, "a text")
        elif name == "replace" and len(args) > 1 and isinstance(args[0], str) and isinstance(args[1], str):
            _require_size(len(value) + value.count(args[0]) * len(args[1]), MAX_TEXT, "a text")

    def _join(self, separator: str, parts: Operand) -> str:
        texts = list(self.iterate(parts))
        size = sum(len(text) if isinstance(text, str) else 0 for text in texts) + len(separator) * len(texts)
        _require_size(size, MAX_TEXT, "a text")
        self.charge(size >> 5)
        return separator.join(texts)

    # builtins

    def call_str(self, value: Operand = "") -> str:
        """``str(value)``."""
        self.operand(value)
        return str(value)

    def call_int(self, value: Operand = 0, *base: int) -> int:
        """``int(value, base)``."""
        return int(self._numeral(value), *base)

    def call_float(self, value: Operand = 0.0) -> float:
        """``float(value)``."""
        return float(self._numeral(value))

    @staticmethod
    def _numeral(value: Operand) -> Operand:
        if type(value) is str:
            _require_size(len(value), MAX_INT_BITS, "a numeral")
        return value

    def call_round(self, value: Operand, ndigits: int | None = None) -> Operand:
        """``round(value, ndigits)``, digits within ±`MAX_FORMAT_WIDTH`."""
        _require_size(abs(ndigits or 0), MAX_FORMAT_WIDTH, "a number of digits")
        return round(value, ndigits)

    def call_min(self, *values: Operand, **options: Operand) -> Operand:
        """``min(...)`` with ``key`` and ``default``."""
        return min(*self._compared(values), **options)

    def call_max(self, *values: Operand, **options: Operand) -> Operand:
        """``max(...)`` with ``key`` and ``default``."""
        return max(*self._compared(values), **options)

    def _compared(self, values: tuple[Operand, ...]) -> Iterator[Operand]:
        for value in values:
            yield self.iterate(value) if len(values) == 1 else self.operand(value)
            if type(value) in (list, tuple):
                self.charge(weigh(value))

    def call_sorted(self, values: Operand, **options: Operand) -> list[Operand]:
        """``sorted(values, key=…, reverse=…)``."""
        items = list(self.iterate(values))
        self.charge(4 * weigh(items))
        return sorted(items, **options)

    def call_sum(self, values: Operand, start: Operand = 0) -> Operand:
        """``sum(values, start)``; lists are joined in one pass."""
        items = list(self.iterate(values))
        if type(start) is list and all(type(item) is list for item in items):
            self.charge(sum(map(len, items)))
            return self.made([*start, *chain.from_iterable(items)])
        if type(start) not in SCALARS:
            raise TypeError("sum() adds numbers, or lists when it starts with a list")
        return sum(items, start)

    def call_any(self, values: Operand) -> bool:
        """``any(values)``."""
        return any(self.iterate(values))

    def call_all(self, values: Operand) -> bool:
        """``all(values)``."""
        return all(self.iterate(values))

    def call_list(self, values: Operand = ()) -> Operand:
        """``list(values)``."""
        return self.made(list(self.iterate(values)))

    def call_tuple(self, values: Operand = ()) -> Operand:
        """``tuple(values)``."""
        return self.made(tuple(self.iterate(values)))

    def call_set(self, values: Operand = ()) -> Operand:
        """``set(values)``."""
        items = list(self.iterate(values))
        self.charge(weigh(items))
        return set(items)

    def call_dict(self, values: Operand = (), **options: Operand) -> Operand:
        """``dict(pairs, name=value)``."""
        return self.made(dict(self.iterate(values), **options))

    def call_enumerate(self, values: Operand, start: int = 0) -> Operand:
        """``enumerate(values, start)`` as a list of pairs."""
        return self.made(list(enumerate(self.iterate(values), start)))

    def call_zip(self, *values: Operand, strict: bool = False) -> Operand:
        """``zip(...)`` as a list of tuples."""
        return self.made(list(zip(*map(self.iterate, values), strict=strict)))

    def call_map(self, function: Callable[..., Operand], *values: Operand) -> Operand:
        """``map(function, ...)`` as a list."""
        return self.made(list(map(function, *map(self.iterate, values))))

    def call_filter(self, function: Callable[..., Operand] | None, values: Operand) -> Operand:
        """``filter(function, values)`` as a list."""
        return self.made(list(filter(function, self.iterate(values))))

    # the random stream

    def choice(self, values: Operand) -> Operand:
        """``random.choice(values)``."""
        return self._random.choice(values)

    def randint(self, a: int, b: int) -> int:
        """``random.randint(a, b)``, both ends included."""
        return self._random.randint(a, b)

    def random(self) -> float:
        """``random.random()``."""
        return self._random.random()

    def uniform(self, a: float, b: float) -> float:
        """``random.uniform(a, b)``."""
        return self._random.uniform(a, b)

    def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        """``random.gauss(mu, sigma)``."""
        return self._random.gauss(mu, sigma)

    def sample(self, values: Operand, k: int) -> Operand:
        """``random.sample(values, k)``: `k` distinct positions."""
        self.charge((len(values) >> 3) + max(k, 0) + 1)
        return self.made(self._random.sample(values, k))

    def shuffle(self, values: Operand) -> None:
        """``random.shuffle(values)``: the list is reordered in place, and the result is null, as in Python."""
        if type(values) is not list:
            raise TypeError("random.shuffle() needs a list")
        self.charge(len(values))
        self._random.shuffle(values)


PREFIX = "__guard_"
"""Compiled code reaches guards under names no expression can spell: identifiers with two leading underscores are refused."""

OPERATORS = ("add", "sub", "mul", "pow", "lshift", "mod", "bitor", "bitand", "bitxor", "operand", "contains", "slice", "made", "iterate")
SUPPORT = ("format", "fstring", "method")
RANDOM = ("choice", "randint", "random", "uniform", "gauss", "sample", "shuffle")
CALLS = (
    "str", "int", "float", "round", "min", "max", "sorted", "sum", "any",
    "all", "list", "tuple", "set", "dict", "enumerate", "zip", "map", "filter",
)  # fmt: skip
NATIVE: dict[str, Callable[..., Json]] = {"len": len, "bool": bool, "abs": abs, "range": range, "isinstance": isinstance}
NATIVE |= {"sqrt": math.sqrt, "log": math.log, "exp": math.exp}
TYPES: dict[str, type] = {"int": int, "str": str, "float": float, "bool": bool, "list": list, "dict": dict, "tuple": tuple, "set": set}
FUNCTIONS = frozenset(CALLS) | frozenset(NATIVE)

_FIXED: dict[str, Json] = {
    **{f"{PREFIX}call_{name}": function for name, function in NATIVE.items()},
    **{f"{PREFIX}type_{name}": kind for name, kind in TYPES.items()},
}
_BOUND = {
    **{f"{PREFIX}{name}": name for name in (*OPERATORS, *SUPPORT)},
    **{f"{PREFIX}random_{name}": name for name in RANDOM},
    **{f"{PREFIX}call_{name}": f"call_{name}" for name in CALLS},
}


def guard(guards: Guards, name: str) -> Json:
    """What compiled code finds under the reserved `name`. Raises `KeyError` for any other name."""
    attribute = _BOUND.get(name)
    return _FIXED[name] if attribute is None else getattr(guards, attribute)
