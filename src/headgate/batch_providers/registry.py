"""Provider classes by name. Ours, and those that installed packages announce, come in at the first look."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from inspect import isclass
from typing import TypeAlias

from headgate.batch_providers.base import BaseBatchProvider
from headgate.batch_providers.exceptions import InvalidRequest, ProviderNotRegisteredError
from headgate.errors import HeadgateError

GROUP = "headgate.batch_providers"
"""The entry point group of other packages' provider classes."""
Names: TypeAlias = list[str]
_LOG = logging.getLogger("headgate.batch_providers")
_BROKEN = (
    ImportError,
    AttributeError,
    SyntaxError,
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    RuntimeError,
    OSError,
    AssertionError,
    HeadgateError,
)
"""What importing somebody else's module may end with."""


class BatchProviderRegistry:
    """Classes by their `PROVIDER_NAME`.

    `builtin` gives the classes that are there from the first look on, `aliases` further names of classes, `announced` the entry points
    of others. `problems` says which of these could not be loaded, and why: they are reported, not raised.
    """

    def __init__(
        self,
        builtin: Callable[[], Iterable[type[BaseBatchProvider]]] = tuple,
        aliases: Mapping[str, str] | None = None,
        announced: Callable[[], Iterable[EntryPoint]] = tuple,
    ) -> None:
        self._classes: dict[str, type[BaseBatchProvider]] = {}
        self._aliases = dict(aliases or {})
        self._builtin = builtin
        self._announced = announced
        self._problems: Names = []
        self._looked = False

    def register(self, provider_class: type[BaseBatchProvider]) -> None:
        """Add a class under its name; one that was there is replaced, with a warning. Raises `ValueError` for what is no provider."""
        self._look()
        self._add(provider_class)

    def get(self, name: str) -> type[BaseBatchProvider]:
        """The class of that name. Raises `ProviderNotRegisteredError`, which lists what there is."""
        self._look()
        found = self._classes.get(self._canonical(name))
        if found is None:
            there = ", ".join(self._classes) or "none"
            raise ProviderNotRegisteredError(f"the provider {name!r} is not registered; registered: {there}")
        return found

    def list(self) -> Names:
        """The names, without aliases, in the order of registration."""
        self._look()
        return [*self._classes]

    def is_registered(self, name: str) -> bool:
        """Whether `get` would find the name."""
        self._look()
        return self._canonical(name) in self._classes

    def unregister(self, name: str) -> bool:
        """Remove a class; False when there was none."""
        self._look()
        return self._classes.pop(self._canonical(name), None) is not None

    def clear(self) -> None:
        """Remove every class, also those that would have come in at the first look; `restore` brings these back."""
        self._look()
        self._classes.clear()

    def restore(self) -> None:
        """Take in the built-in and announced classes anew, over whatever has their names."""
        self._looked = False
        self._look()

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be loaded, one line each."""
        self._look()
        return tuple(self._problems)

    def _canonical(self, name: str) -> str:
        return name if name in self._classes else self._aliases.get(name, name)

    def _add(self, provider_class: type[BaseBatchProvider]) -> None:
        if not isclass(provider_class) or not issubclass(provider_class, BaseBatchProvider):
            raise InvalidRequest(f"{provider_class!r} must inherit from BaseBatchProvider")
        name = provider_class.PROVIDER_NAME
        if not name:
            raise InvalidRequest(f"{provider_class.__name__} must define a PROVIDER_NAME constant")
        if self._classes.get(name, provider_class) is not provider_class:
            _LOG.warning("Overriding existing provider registration: %s is now %s", name, provider_class.__qualname__)
        self._classes[name] = provider_class

    def _look(self) -> None:
        """Take in what is there from the first look on, once."""
        if self._looked:
            return
        self._looked = True
        self._problems.clear()
        for provider_class in self._builtin():
            self._add(provider_class)
        for entry in self._announced():
            try:
                self._add(entry.load())
            except _BROKEN as error:
                self._report(f"{entry.name} ({entry.value}): {type(error).__name__}: {error}")

    def _report(self, problem: str) -> None:
        self._problems.append(problem)
        _LOG.warning("a batch provider could not be loaded: %s", problem)


def announced() -> tuple[EntryPoint, ...]:
    """The entry points of installed packages."""
    return tuple(entry_points(group=GROUP))
