"""What can be known about templates without rendering them: syntax, includes, and the names they need (OCT-56)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec
from jinja2 import TemplateSyntaxError, meta, nodes

from headgate.batch.sandbox import GLOBALS, template_environment
from headgate.errors import ConfigError

MAX_TEMPLATE = 1 << 20
MAX_INCLUDES = 100
_TESTS = frozenset({"defined", "undefined"})
_FILTERS = frozenset({"default", "d"})


class TemplateFacts(msgspec.Struct, frozen=True):
    """A step's template: names it must be given, and names it copes without (tested by ``is defined`` or given a ``default``)."""

    required: dict[str, str]
    optional: frozenset[str]


class TemplateSet:
    """Templates by file name, read through `read(name, where)` the first time one is named."""

    def __init__(self, read: Callable[[str, str | None], str], display: Callable[[str], str]) -> None:
        """`display` gives the path to show for a file name."""
        self.sources: dict[str, str] = {}
        self._read = read
        self._display = display
        self._environment = template_environment({})

    def facts(self, name: str, where: str | None) -> TemplateFacts:
        """Facts over the template and all it includes. Raises `ConfigError`."""
        required: dict[str, str] = {}
        optional: set[str] = set()
        waiting: list[tuple[str, str | None]] = [(name, where)]
        done: set[str] = set()
        while waiting:
            current, origin = waiting.pop()
            if current in done:
                continue
            done.add(current)
            if len(done) > MAX_INCLUDES:
                raise ConfigError(f"template {name!r} includes more than {MAX_INCLUDES} others", where=where)
            tree = self._parsed(current, origin)
            undeclared = meta.find_undeclared_variables(tree) - GLOBALS
            guarded = _guarded(tree)
            optional |= undeclared & guarded
            for variable in sorted(undeclared - guarded):
                line = _line_of(tree, variable)
                required.setdefault(variable, f"{self._display(current)}:{line}:{_column_of(self.sources[current], line, variable)}")
            waiting += [(included, f"{self._display(current)}:1:1") for included in self._included(tree, current)]
        return TemplateFacts(required, frozenset(optional - required.keys()))

    def inline(self, name: str, source: str) -> TemplateFacts:
        """Facts over a template that is no file, from then on known as `name`. Raises `ConfigError`."""
        self.sources[name] = source
        return self.facts(name, None)

    def _parsed(self, name: str, where: str | None) -> nodes.Template:
        if name not in self.sources:
            self.sources[name] = self._read(name, where)
        try:
            return self._environment.parse(self.sources[name], name)
        except TemplateSyntaxError as error:
            raise ConfigError(f"template: {error.message}", where=f"{self._display(name)}:{error.lineno}:1") from error
        except RecursionError as error:
            raise ConfigError("template: nested too deeply", where=f"{self._display(name)}:1:1") from error

    def _included(self, tree: nodes.Template, name: str) -> Iterator[str]:
        for included in meta.find_referenced_templates(tree):
            if included is None:
                raise ConfigError("a template may include others by a fixed name only", where=f"{self._display(name)}:1:1")
            yield included


def _line_of(tree: nodes.Template, variable: str) -> int:
    return min((node.lineno for node in tree.find_all(nodes.Name) if node.name == variable), default=1)


def _column_of(source: str, line: int, variable: str) -> int:
    """The column of a name in its line, which the parser does not tell; 1 where it is not found."""
    lines = source.splitlines()
    found = re.search(rf"\b{re.escape(variable)}\b", lines[line - 1]) if 0 < line <= len(lines) else None
    return found.start() + 1 if found else 1


def _guarded(tree: nodes.Template) -> set[str]:
    tested = {test.node.name for test in tree.find_all(nodes.Test) if test.name in _TESTS and isinstance(test.node, nodes.Name)}
    defaulted = {use.node.name for use in tree.find_all(nodes.Filter) if use.name in _FILTERS and isinstance(use.node, nodes.Name)}
    return tested | defaulted
