#!/usr/bin/env python3
"""Hold a package to fourteen limits of style: sizes, cycles, typing, documentation, escapes.

    tools/style_gate.py                     # src/headgate, as a table of value and limit
    tools/style_gate.py PACKAGE_DIR --top 5 # another package, and its longest functions
    tools/style_gate.py --json              # for a machine

The source is only parsed, never imported. The exit status is 1 when a limit is broken.

Definitions
-----------
sloc         Lines that carry code: not blank, not only a comment, not part of a docstring.
function     Every ``def`` and ``async def``, nested ones and methods too; ``@overload`` stubs have no body and are left out.
branches     1 + each if, loop, except, case, conditional expression, comprehension clause and further operand of and/or.
parameters   All but ``self`` and ``cls``; ``*args`` and ``**kwargs`` count one each.
typed        Every parameter and the return value are annotated.
documented   Share of the public functions and methods that have a docstring; dunders and what lies inside a function are not public.
load cycle   A module from which a chain of imports at load time leads back to itself; "all" follows imports inside functions too.
             What stands under ``if TYPE_CHECKING`` counts in neither.
broad        ``except:``, ``except Exception`` or ``except BaseException``, alone or in a tuple, in which nothing is raised.
deferred     An import statement inside a function.
any          A use of ``Any`` (its import is none).
suppression  A comment that silences a checker.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
DECISIONS = (
    *(ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While),
    *(ast.ExceptHandler, ast.match_case, ast.comprehension),
)
LAYOUT = frozenset({tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER})
SUPPRESSION = re.compile(r"#\s*(type:\s*ignore|mypy:|pyright:\s*ignore|noqa|ruff:\s*noqa|pragma:\s*no\s*cover)")
DEFAULT_PACKAGE = Path(__file__).resolve().parent.parent / "src" / "headgate"


class Function(NamedTuple):
    """One function or method. `where` is ``path:line name``."""

    where: str
    sloc: int
    branches: int
    parameters: int
    typed: bool
    public: bool
    documented: bool


class Module(NamedTuple):
    """One source file. `load` and `deferred` are candidate names of imported modules, one entry for each imported name."""

    name: str
    path: Path
    length: int
    sloc: int
    suppressions: int
    broad_excepts: int
    any_uses: int
    deferred_imports: int
    functions: tuple[Function, ...]
    load: frozenset[str]
    deferred: frozenset[str]


class Limit(NamedTuple):
    """A figure's name, its bound, and whether the bound is the least allowed value (else the greatest)."""

    name: str
    bound: float
    least: bool = False

    def holds(self, value: float) -> bool:
        """Whether `value` keeps the limit."""
        return value >= self.bound if self.least else value <= self.bound


LIMITS = (
    Limit("function_sloc_p90", 25),
    Limit("function_sloc_p99", 60),
    Limit("function_sloc_max", 100),
    Limit("branches_max", 20),
    Limit("parameters_max", 12),
    Limit("module_length_max", 800),
    Limit("cyclic_modules_load", 0),
    Limit("cyclic_modules_all", 0),
    Limit("all_typed_pct", 100, least=True),
    Limit("public_documented_pct", 80, least=True),
    Limit("suppressions_per_ksloc", 5),
    Limit("broad_excepts_per_ksloc", 0.5),
    Limit("deferred_imports_per_ksloc", 0.5),
    Limit("any_uses_per_ksloc", 10),
)


# --- reading one file ----------------------------------------------------------------------------------------------------


def read_package(root: Path) -> list[Module]:
    """Every module below `root`, a package's own directory. Raises `SyntaxError` for a file that is not Python."""
    return [read_module(path, root) for path in sorted(root.rglob("*.py"))]


def read_module(path: Path, root: Path) -> Module:
    """One file of the package at `root`."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source, filename=str(path))
    parts = path.relative_to(root.parent).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if is_package else parts)
    package = name if is_package else name.rpartition(".")[0]
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    code = code_lines(tokens, tree)
    imports = list(walk_imports(tree, deferred=False))
    nodes = list(ast.walk(tree))
    return Module(
        name=name,
        path=path,
        length=len(source.splitlines()),
        sloc=len(code),
        suppressions=sum(token.type == tokenize.COMMENT and bool(SUPPRESSION.search(token.string)) for token in tokens),
        broad_excepts=sum(isinstance(node, ast.ExceptHandler) and is_broad(node) for node in nodes),
        any_uses=sum(is_any(node) for node in nodes),
        deferred_imports=sum(deferred for _, deferred in imports),
        functions=tuple(walk_functions(tree, str(path), code)),
        load=frozenset(name for node, deferred in imports if not deferred for name in imported_names(node, package)),
        deferred=frozenset(name for node, deferred in imports if deferred for name in imported_names(node, package)),
    )


def code_lines(tokens: Iterable[tokenize.TokenInfo], tree: ast.Module) -> set[int]:
    """Numbers of the lines that carry code."""
    lines: set[int] = set()
    for token in tokens:
        if token.type != tokenize.COMMENT and token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        text = docstring(node)
        if text is not None:
            lines.difference_update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return lines


def docstring(node: ast.AST) -> ast.Expr | None:
    """The statement that is the docstring of a module, class or function."""
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or not node.body:
        return None
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return first
    return None


def walk_functions(tree: ast.Module, path: str, code: set[int]) -> Iterator[Function]:
    """Every function below `tree`, outer ones before inner ones."""

    def visit(node: ast.AST, prefix: str, public: bool) -> Iterator[Function]:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, DEFINITIONS):
                yield from visit(child, prefix, public)
                continue
            is_public = public and not child.name.startswith("_")
            if not isinstance(child, ast.ClassDef) and not is_overload(child):
                yield measure(child, f"{path}:{child.lineno} {prefix}{child.name}", is_public, code)
            yield from visit(child, f"{prefix}{child.name}.", is_public and isinstance(child, ast.ClassDef))

    yield from visit(tree, "", True)


def measure(node: FunctionNode, where: str, public: bool, code: set[int]) -> Function:
    """The figures of one function."""
    names = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    if names and names[0].arg in ("self", "cls"):
        del names[0]
    names += [arg for arg in (node.args.vararg, node.args.kwarg) if arg is not None]
    return Function(
        where=where,
        sloc=sum(line in code for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)),
        branches=count_branches(node),
        parameters=len(names),
        typed=node.returns is not None and all(arg.annotation is not None for arg in names),
        public=public,
        documented=docstring(node) is not None,
    )


def count_branches(node: FunctionNode) -> int:
    """Cyclomatic complexity, nested functions included."""
    operands = sum(len(child.values) - 1 for child in ast.walk(node) if isinstance(child, ast.BoolOp))
    return 1 + operands + sum(isinstance(child, DECISIONS) for child in ast.walk(node))


def is_overload(node: FunctionNode) -> bool:
    """Whether a decorator is ``overload``, however it was imported."""
    return any(ast.unparse(decorator).rpartition(".")[2] == "overload" for decorator in node.decorator_list)


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Whether the handler catches everything and raises nothing."""
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {ast.unparse(item) if item is not None else "BaseException" for item in caught}
    return bool(names & {"Exception", "BaseException"}) and not any(isinstance(child, ast.Raise) for child in ast.walk(handler))


def is_any(node: ast.AST) -> bool:
    """Whether the node uses ``Any`` or ``typing.Any``."""
    return (isinstance(node, ast.Name) and node.id == "Any") or (isinstance(node, ast.Attribute) and node.attr == "Any")


# --- imports -------------------------------------------------------------------------------------------------------------


def walk_imports(node: ast.AST, *, deferred: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Every import statement below `node`, and whether it stands inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, deferred
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from walk_imports(ast.Module(child.orelse, []), deferred=deferred)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from walk_imports(child, deferred=deferred or inside)


def imported_names(node: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    """Absolute dotted names that the statement may load; ``from a import b`` gives ``a.b``."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        parents = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*parents, node.module] if node.module else parents)
    return [f"{base}.{alias.name}" for alias in node.names]


def import_graph(modules: Sequence[Module], *, deferred: bool) -> dict[str, frozenset[str]]:
    """Which modules of the package each of them imports; a name that is no module stands for the module that defines it."""
    known = {module.name for module in modules}

    def resolve(name: str) -> str:
        return name if name in known else name.rpartition(".")[0]

    return {
        module.name: frozenset(map(resolve, module.load | module.deferred if deferred else module.load)) & known - {module.name}
        for module in modules
    }


def cyclic(graph: Mapping[str, frozenset[str]]) -> list[str]:
    """The nodes that can reach themselves."""

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(graph[start])
        while todo:
            node = todo.pop()
            if node not in seen:
                seen.add(node)
                todo.extend(graph[node])
        return seen

    return [node for node in graph if node in reachable(node)]


# --- figures -------------------------------------------------------------------------------------------------------------


def percentile(values: Iterable[int], percent: int) -> int:
    """Nearest-rank percentile, 0 of nothing.

    >>> percentile([1, 2, 3, 4], 50), percentile([1, 2, 3, 4], 90), percentile([], 50)
    (2, 4, 0)
    """
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[rank - 1] if ordered else 0


def share(flags: Iterable[bool]) -> float:
    """Per cent of true ones, rounded down to one decimal so that 99.96 is not 100; 100 of nothing."""
    listed = list(flags)
    return 100 * sum(listed) * 10 // len(listed) / 10 if listed else 100.0


def figures(modules: Sequence[Module]) -> dict[str, float]:
    """One value for each limit, by the limit's name."""
    functions = [function for module in modules for function in module.functions]
    ksloc = sum(module.sloc for module in modules) / 1000 or 1.0

    def per_ksloc(count: Callable[[Module], int]) -> float:
        return round(sum(map(count, modules)) / ksloc, 2)

    return {
        "function_sloc_p90": percentile((f.sloc for f in functions), 90),
        "function_sloc_p99": percentile((f.sloc for f in functions), 99),
        "function_sloc_max": max((f.sloc for f in functions), default=0),
        "branches_max": max((f.branches for f in functions), default=0),
        "parameters_max": max((f.parameters for f in functions), default=0),
        "module_length_max": max((m.length for m in modules), default=0),
        "cyclic_modules_load": len(cyclic(import_graph(modules, deferred=False))),
        "cyclic_modules_all": len(cyclic(import_graph(modules, deferred=True))),
        "all_typed_pct": share(f.typed for f in functions),
        "public_documented_pct": share(f.documented for f in functions if f.public),
        "suppressions_per_ksloc": per_ksloc(lambda m: m.suppressions),
        "broad_excepts_per_ksloc": per_ksloc(lambda m: m.broad_excepts),
        "deferred_imports_per_ksloc": per_ksloc(lambda m: m.deferred_imports),
        "any_uses_per_ksloc": per_ksloc(lambda m: m.any_uses),
    }


def broken(values: Mapping[str, float]) -> list[str]:
    """Names of the limits that `values` do not keep."""
    return [limit.name for limit in LIMITS if not limit.holds(values[limit.name])]


# --- the command ---------------------------------------------------------------------------------------------------------


def render_table(values: Mapping[str, float], size: str) -> Iterator[str]:
    """Lines of a table: figure, value, limit, verdict."""
    yield f"{size:<30}{'value':>10}{'limit':>10}"
    for limit in LIMITS:
        value = values[limit.name]
        bound = f"{'>=' if limit.least else '<='} {limit.bound:g}"
        yield f"{limit.name:<30}{value:>10g}{bound:>10}  {'ok' if limit.holds(value) else 'BROKEN'}"


def render_worst(modules: Sequence[Module], count: int) -> Iterator[str]:
    """Lines that name what to look at first: long functions, long modules, cycles, what is undocumented or untyped."""
    functions = [function for module in modules for function in module.functions]
    yield "longest functions (sloc, branches, parameters)"
    for function in sorted(functions, key=lambda f: -f.sloc)[:count]:
        yield f"  {function.sloc:5}{function.branches:5}{function.parameters:5}  {function.where}"
    yield "longest modules"
    for module in sorted(modules, key=lambda m: -m.length)[:count]:
        yield f"  {module.length:5}  {module.path}"
    listed = {
        "untyped functions": [f.where for f in functions if not f.typed],
        "public functions without docstring": [f.where for f in functions if f.public and not f.documented],
        "modules in import cycles": cyclic(import_graph(modules, deferred=True)),
        "modules with deferred imports": [str(m.path) for m in modules if m.deferred_imports],
        "modules with broad excepts": [str(m.path) for m in modules if m.broad_excepts],
        "modules with suppressions": [str(m.path) for m in modules if m.suppressions],
    }
    for title, places in listed.items():
        if places:
            yield from (f"{title}: {len(places)}", *(f"  {place}" for place in places[:count]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when every limit holds, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", nargs="?", type=Path, default=DEFAULT_PACKAGE, help="the package's own directory")
    parser.add_argument("--top", type=int, default=0, metavar="N", help="name the N worst of each kind")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    modules = read_package(options.package.resolve())
    values = figures(modules)
    failed = broken(values)
    if options.json:
        limits = {limit.name: {"value": values[limit.name], "limit": limit.bound, "ok": limit.name not in failed} for limit in LIMITS}
        print(json.dumps({"package": options.package.name, "modules": len(modules), "limits": limits}, indent=2))
    else:
        size = f"{len(modules)} modules, {sum(m.sloc for m in modules)} sloc"
        print(*render_table(values, size), *(render_worst(modules, options.top) if options.top else ()), sep="\n")
    for name in failed:
        print(f"style limit broken: {name} is {values[name]:g} (see --top 10)", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
