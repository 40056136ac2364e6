"""The Jinja environment user templates run in, the same for checking and for rendering (OCT-80, OCT-81, faults I9).

Undefined names are errors, nothing is escaped, the last newline stays, templates see only one another, and of Jinja's globals only
`range` (bounded), `dict` and `namespace` remain.
"""

from __future__ import annotations

from collections.abc import Mapping

from jinja2 import DictLoader, StrictUndefined
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from headgate.batch.expression_guards import MAX_INT_BITS, MAX_TEXT

GLOBALS = frozenset({"range", "dict", "namespace"})


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox whose multiplication and power are bounded as well."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        """``left * right`` and ``left ** right``, refused when the result would be huge."""
        if isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > MAX_INT_BITS and abs(left) > 1:
                raise SecurityError("an integer in the template is too large")
        elif operator == "*":
            sequence, times = (right, left) if isinstance(left, int) else (left, right)
            if isinstance(sequence, str | list | tuple) and isinstance(times, int) and len(sequence) * times > MAX_TEXT:
                raise SecurityError("a repetition in the template is too large")
        result: object = super().call_binop(context, operator, left, right)
        return result


def template_environment(sources: Mapping[str, str]) -> TemplateEnvironment:
    """An environment over `sources`, a mapping of file names to template text."""
    environment = TemplateEnvironment(
        loader=DictLoader(dict(sources)),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        cache_size=-1,
    )
    for name in set(environment.globals) - GLOBALS:
        del environment.globals[name]
    return environment
