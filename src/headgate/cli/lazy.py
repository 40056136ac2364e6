"""Commands are declared in this package and done in `headgate.cli.actions`, which is imported when a command runs."""

from __future__ import annotations

from importlib import import_module


def call(place: str, options: dict[str, object]) -> int:
    """Import ``module:function``, call it with `options`, and return its exit code (None counts as 0)."""
    module, _, name = place.partition(":")
    code = getattr(import_module(module), name)(**options)
    return code if isinstance(code, int) else 0
