"""The settings in force, value by value: as they are shown, and as two generations of them are compared."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from headgate.config.gate_settings import BudgetSettings, LimitSettings
from headgate.config.secret import mask
from headgate.config.settings import NAMES, Settings, shown
from headgate.domain.cost import NANO


class Row(msgspec.Struct, frozen=True):
    """One value. `name` is its path in the file ("budgets[0].limit_usd"), `label` the same where lists say what an entry is about
    ("budgets[global day].limit_usd"), `text` the value as it may be shown, `value` the value itself, which may be a secret."""

    name: str
    label: str
    text: str
    origin: str
    value: object

    def __repr__(self) -> str:
        return f"Row({self.name}={self.text})"


def rows(settings: Settings) -> tuple[Row, ...]:
    """Every value, in the order of the settings. Keys of sections that are not set are left out."""
    found = []
    for name in NAMES:
        for path, label, value in _walk(name, name, getattr(settings, name)):
            found.append(Row(path, label, _text(path, value), _origin(path, settings.origins), value))
    return tuple(found)


def _origin(path: str, origins: dict[str, str]) -> str:
    """Where a value came from; "default" for one that nothing names, whatever stands around it."""
    while path not in origins and path.endswith("]"):
        path = path[: path.rindex("[")]
    return origins.get(path, "default")


def _walk(path: str, label: str, value: object) -> Iterator[tuple[str, str, object]]:
    if isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            inner = getattr(value, field)
            if inner is not None and inner != {} and inner != () and not (field == "name" and path.startswith("routes.")):
                name = _WRITTEN.get(field, field)
                yield from _walk(f"{path}.{name}", f"{label}.{name}", inner)
    elif isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _walk(f"{path}.{name}", f"{label}.{name}", inner)
    elif isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
        for n, inner in enumerate(value):
            yield from _walk(f"{path}[{n}]", f"{label}[{_about(inner, n)}]", inner)
    else:
        yield path, label, value


_WRITTEN = {"limit_nanos": "limit_usd", "secret": "secret_env"}
"""Fields of values that the file has another key for."""


def _about(item: object, n: int) -> str:
    if isinstance(item, BudgetSettings):
        return f"{item.scope} {item.window}"
    return item.subject if isinstance(item, LimitSettings) else str(n)


def _text(path: str, value: object) -> str:
    if path.endswith(".limit_usd") and isinstance(value, int):
        return f"{(Decimal(value) / NANO).normalize():f}"
    if ".headers." in path:
        return mask(str(value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "" if value == {} else shown(value)
