"""Expression text to a checked syntax tree whose every risky operation is a guard call.

Only listed node types pass. Operators that can grow a value, iteration, containers, slices, f-strings and all calls are
rewritten to the functions of `expression_guards`. What remains as plain Python (names, comparisons of numbers, conditionals,
boolean logic, division) costs the same as in Python and cannot grow anything.
"""

from __future__ import annotations

import ast
from typing import NoReturn, TypeVar

from headgate.batch.expression_guards import CALLS, FUNCTIONS, METHOD_NAMES, PREFIX, RANDOM, TYPES

MAX_SOURCE = 10_000
MAX_NODES = 2_000

HIDDEN_NAMES = frozenset({"_metadata", "_raw_text", "_repetition_seed"})
"""Bookkeeping fields of a unit that expressions do not see (OCT-70)."""

_Node = TypeVar("_Node", bound=ast.AST)

_PLAIN = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Store, ast.IfExp, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.UAdd, ast.USub,
    ast.Not, ast.Invert, ast.BinOp, ast.Div, ast.FloorDiv, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is,
    ast.IsNot, ast.In, ast.NotIn, ast.Subscript, ast.Slice, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Call, ast.keyword, ast.Attribute,
    ast.JoinedStr, ast.FormattedValue, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension, ast.Lambda,
    ast.arguments, ast.arg,
)  # fmt: skip
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Pow: "pow", ast.LShift: "lshift", ast.RShift: "", ast.Mod: "mod",
    ast.BitOr: "bitor", ast.BitAnd: "bitand", ast.BitXor: "bitxor", ast.Div: "", ast.FloorDiv: "",
}  # fmt: skip
_KEYWORDS: dict[str, frozenset[str]] = {
    "sorted": frozenset({"key", "reverse"}),
    "min": frozenset({"key", "default"}),
    "max": frozenset({"key", "default"}),
    "sum": frozenset({"start"}),
    "enumerate": frozenset({"start"}),
    "zip": frozenset({"strict"}),
    "round": frozenset({"ndigits"}),
    "random.sample": frozenset({"k"}),
    "random.gauss": frozenset({"mu", "sigma"}),
    "random.randint": frozenset({"a", "b"}),
    "random.uniform": frozenset({"a", "b"}),
}
_METHOD_KEYWORDS = frozenset({"sep", "maxsplit", "keepends"})
_TAKES_FUNCTION = frozenset({"map", "filter"})
_HINTS: dict[type[ast.AST], str] = {
    ast.NamedExpr: "assignments inside an expression are not allowed; give the value a name of its own in the step",
    ast.Starred: "'*' unpacking is not allowed; join lists with +",
    ast.Await: "await is not allowed",
    ast.Yield: "yield is not allowed",
    ast.YieldFrom: "yield is not allowed",
}


class ExpressionRefused(ValueError):
    """An expression uses something outside the allowed language. `column` counts from 1."""

    def __init__(self, message: str, column: int = 1) -> None:
        super().__init__(message)
        self.column = column


class CheckedExpression:
    """A rewritten tree, the data names it reads, and whether it reorders a list in place."""

    __slots__ = ("mutates", "names", "tree")

    def __init__(self, tree: ast.expr, names: frozenset[str], mutates: bool) -> None:
        self.tree = tree
        self.names = names
        self.mutates = mutates


def parse_source(source: str) -> ast.expr:
    """Python's own parse of an expression. Raises `ExpressionRefused`."""
    if len(source) > MAX_SOURCE:
        raise ExpressionRefused(f"the expression is longer than {MAX_SOURCE:,} characters")
    try:
        tree = ast.parse(source.strip(), "<expression>", mode="eval")
    except SyntaxError as error:
        raise ExpressionRefused(f"not an expression: {error.msg}", error.offset or 1) from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise ExpressionRefused(f"not an expression: {error or type(error).__name__}") from error
    nodes = sum(1 for _ in ast.walk(tree))
    if nodes > MAX_NODES:
        raise ExpressionRefused(f"the expression has more than {MAX_NODES:,} parts")
    return tree.body


def check(source: str) -> CheckedExpression:
    """Check and rewrite `source`. Raises `ExpressionRefused`."""
    rewriter = _Rewriter()
    try:
        tree = rewriter.rewrite(parse_source(source))
    except RecursionError as error:
        raise ExpressionRefused("the expression is nested too deeply") from error
    return CheckedExpression(tree, frozenset(rewriter.names), rewriter.mutates)


def left_of_comparison(source: str) -> str | None:
    """The text left of the top-level comparison of `source`, if it is one."""
    tree = parse_source(source)
    return ast.unparse(tree.left) if isinstance(tree, ast.Compare) else None


def check_name(name: str) -> str | None:
    """Why `name` cannot be given to a value, or None if it can."""
    if not name.isidentifier() or name in ("True", "False", "None"):
        return f"{name!r} is not a name an expression could use"
    if name.startswith("__") or name in HIDDEN_NAMES or name == "random":
        return f"the name {name!r} is reserved"
    return None


def _refuse(node: ast.AST, message: str) -> NoReturn:
    raise ExpressionRefused(message, getattr(node, "col_offset", 0) + 1)


class _Rewriter(ast.NodeTransformer):
    def __init__(self) -> None:
        self.names: set[str] = set()
        self.mutates = False
        self._scopes: list[set[str]] = []

    def rewrite(self, tree: ast.expr) -> ast.expr:
        return ast.fix_missing_locations(self._expr(tree))

    def _expr(self, node: ast.expr) -> ast.expr:
        result = self.visit(node)
        assert isinstance(result, ast.expr)
        return result

    def visit(self, node: ast.AST) -> ast.AST:
        if not isinstance(node, (*_PLAIN, *_OPERATORS)):
            _refuse(node, _HINTS.get(type(node), f"{type(node).__name__} is not allowed in an expression"))
        result = super().visit(node)
        assert isinstance(result, ast.AST)
        return result

    # names and constants

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if node.value is not None and not isinstance(node.value, bool | int | float | str):
            _refuse(node, f"a {type(node.value).__name__} constant is not allowed")
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id.startswith("__"):
            _refuse(node, f"the name {node.id!r} is not allowed")
        if isinstance(node.ctx, ast.Load) and not any(node.id in scope for scope in self._scopes):
            self.names.add(node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        hint = "" if node.attr.startswith("_") else f"; write value[{node.attr!r}] for a field"
        _refuse(node, f"attribute {node.attr!r} is not allowed{hint}")

    # operators

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        guard = _OPERATORS.get(type(node.op))
        if guard is None:
            _refuse(node, f"operator {type(node.op).__name__} is not allowed")
        left, right = self._expr(node.left), self._expr(node.right)
        if not guard:
            return _at(node, ast.BinOp(left, node.op, right))
        return _call(node, guard, left, right)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if any(isinstance(op, ast.In | ast.NotIn) for op in node.ops):
            return self._membership(node)
        for op, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, ast.Is | ast.IsNot) and not _is_singleton(right):
                _refuse(node, "'is' compares only with None, True or False; use ==")
        operands = [node.left, *node.comparators]
        cheap = len(operands) == 2 and any(isinstance(operand, ast.Constant) for operand in operands)
        done = [self._expr(operand) if cheap else _call(operand, "operand", self._expr(operand)) for operand in operands]
        return _at(node, ast.Compare(done[0], node.ops, done[1:]))

    def _membership(self, node: ast.Compare) -> ast.AST:
        if len(node.ops) != 1:
            _refuse(node, "'in' cannot be chained with another comparison; use parentheses and 'and'")
        found = _call(node, "contains", self._expr(node.left), self._expr(node.comparators[0]))
        return _at(node, ast.UnaryOp(ast.Not(), found)) if isinstance(node.ops[0], ast.NotIn) else found

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        value = self._expr(node.value)
        if isinstance(node.slice, ast.Slice):
            limits = (node.slice.lower, node.slice.upper, node.slice.step)
            bounds = [self._expr(limit) if limit is not None else ast.Constant(None) for limit in limits]
            return _call(node, "slice", value, *bounds)
        key = self._expr(node.slice)
        index = key if isinstance(node.slice, ast.Constant) else _call(node, "operand", key)
        return _at(node, ast.Subscript(value, index, ast.Load()))

    # containers and comprehensions

    def visit_List(self, node: ast.List) -> ast.AST:
        return self._built(node, node.elts)

    def visit_Tuple(self, node: ast.Tuple) -> ast.AST:
        return node if isinstance(node.ctx, ast.Store) else self._built(node, node.elts)

    def visit_Set(self, node: ast.Set) -> ast.AST:
        return self._built(node, node.elts)

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        if any(key is None for key in node.keys):
            _refuse(node, "'**' unpacking is not allowed; join dictionaries with |")
        return self._built(node, node.values)

    def _built(self, node: ast.List | ast.Tuple | ast.Set | ast.Dict, parts: list[ast.expr]) -> ast.AST:
        constant = all(_is_constant(part) for part in parts)
        self.generic_visit(node)
        return node if constant else _call(node, "made", node)

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return _call(node, "made", self._comprehension(node))

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return _call(node, "made", self._comprehension(node))

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        return _call(node, "made", self._comprehension(node))

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._comprehension(node)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> ast.expr:
        self._scopes.append(set())
        for clause in node.generators:
            if clause.is_async:
                _refuse(node, "async is not allowed")
            clause.iter = _call(clause.iter, "iterate", self._expr(clause.iter))
            self._scopes[-1] |= _targets(clause.target)
            clause.ifs = [self._expr(condition) for condition in clause.ifs]
        if isinstance(node, ast.DictComp):
            node.key, node.value = self._expr(node.key), self._expr(node.value)
        else:
            node.elt = self._expr(node.elt)
        self._scopes.pop()
        return node

    # text

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return _call(node, "fstring", *(self._expr(part) for part in node.values))

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        spec = self._expr(node.format_spec) if node.format_spec is not None else ast.Constant("")
        return _call(node, "format", self._expr(node.value), ast.Constant(node.conversion), spec)

    # calls

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        _refuse(node, "a lambda may only be given to map, filter, or as key= of sorted, min and max")

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function = node.func
        if isinstance(function, ast.Name):
            return self._function(node, function.id)
        if isinstance(function, ast.Attribute):
            if isinstance(function.value, ast.Name) and function.value.id == "random":
                return self._random(node, function.attr)
            return self._method(node, function)
        _refuse(node, "only named functions and methods can be called")

    def _function(self, node: ast.Call, name: str) -> ast.expr:
        if name not in FUNCTIONS:
            _refuse(node, f"there is no function {name!r}; available: {', '.join(sorted(FUNCTIONS))}")
        if name == "isinstance":
            return self._isinstance(node)
        args = list(node.args)
        first = [self._callable(args.pop(0))] if name in _TAKES_FUNCTION and args else []
        keywords = self._keywords(node, name, _KEYWORDS.get(name, frozenset()), free=name == "dict")
        return _at(node, ast.Call(_guard(f"call_{name}"), [*first, *map(self._expr, args)], keywords))

    def _random(self, node: ast.Call, name: str) -> ast.expr:
        if name not in RANDOM:
            _refuse(node, f"there is no random.{name}(); available: {', '.join(RANDOM)}")
        self.mutates |= name == "shuffle"
        keywords = self._keywords(node, f"random.{name}", _KEYWORDS.get(f"random.{name}", frozenset()))
        return _at(node, ast.Call(_guard(f"random_{name}"), [self._expr(argument) for argument in node.args], keywords))

    def _method(self, node: ast.Call, function: ast.Attribute) -> ast.expr:
        if function.attr not in METHOD_NAMES:
            hint = "; use an f-string" if function.attr.startswith("format") else ""
            _refuse(node, f"method {function.attr!r} is not allowed{hint}")
        keywords = self._keywords(node, f".{function.attr}", _METHOD_KEYWORDS)
        args = [self._expr(function.value), ast.Constant(function.attr), *map(self._expr, node.args)]
        return _at(node, ast.Call(_guard("method"), args, keywords))

    def _isinstance(self, node: ast.Call) -> ast.expr:
        if len(node.args) != 2 or node.keywords:
            _refuse(node, "isinstance() takes a value and a type")
        wanted = node.args[1]
        named = wanted.elts if isinstance(wanted, ast.Tuple) else [wanted]
        kinds: list[ast.expr] = []
        for item in named:
            if not isinstance(item, ast.Name) or item.id not in TYPES:
                _refuse(node, f"isinstance() knows the types {', '.join(TYPES)}")
            kinds.append(_guard(f"type_{item.id}"))
        return _at(node, ast.Call(_guard("call_isinstance"), [self._expr(node.args[0]), ast.Tuple(kinds, ast.Load())], []))

    def _keywords(self, node: ast.Call, name: str, allowed: frozenset[str], *, free: bool = False) -> list[ast.keyword]:
        result = []
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg.startswith("__") or not (free or keyword.arg in allowed):
                _refuse(node, f"{name}() takes no argument {keyword.arg!r}")
            is_function = keyword.arg == "key" and not free
            result.append(ast.keyword(keyword.arg, self._callable(keyword.value) if is_function else self._expr(keyword.value)))
        return result

    def _callable(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Name) and node.id in FUNCTIONS:
            return _guard(f"call_{node.id}")
        if isinstance(node, ast.Constant) and node.value is None:
            return node
        if isinstance(node, ast.Lambda):
            return self._lambda(node)
        _refuse(node, "a function is given by its name or as a lambda")

    def _lambda(self, node: ast.Lambda) -> ast.expr:
        arguments = node.args
        if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults or arguments.posonlyargs:
            _refuse(node, "a lambda takes plain arguments only")
        names = {argument.arg for argument in arguments.args}
        if any(name.startswith("__") for name in names):
            _refuse(node, "the name of a lambda's argument is not allowed")
        self._scopes.append(names)
        node.body = self._expr(node.body)
        self._scopes.pop()
        return node


def _targets(target: ast.expr) -> set[str]:
    if isinstance(target, ast.Name) and not target.id.startswith("__"):
        return {target.id}
    if isinstance(target, ast.Tuple | ast.List):
        return set().union(*(_targets(item) for item in target.elts))
    _refuse(target, "a loop variable must be a plain name")


def _is_singleton(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool))


def _guard(name: str) -> ast.Name:
    return ast.Name(f"{PREFIX}{name}", ast.Load())


def _at(node: ast.AST, new: _Node) -> _Node:
    return ast.copy_location(new, node)


def _is_constant(part: ast.expr) -> bool:
    """Whether an element is written out: a constant, or a number with a sign."""
    signed = isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.USub | ast.UAdd)
    inner = part.operand if isinstance(part, ast.UnaryOp) and signed else part
    return isinstance(inner, ast.Constant) and (not signed or type(inner.value) in (int, float))


def _call(node: ast.AST, guard: str, *args: ast.expr) -> ast.Call:
    return _at(node, ast.Call(_guard(guard), list(args), []))


assert frozenset(CALLS) <= FUNCTIONS
