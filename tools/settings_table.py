"""The tables of the sections of ``headgate.yaml``, made of the shapes that read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

import msgspec

from headgate.config.gate_settings import AlertSettings, BudgetSettings, CacheSettings, GatewaySettings, LimitSettings
from headgate.config.reload import is_live
from headgate.config.route_settings import DeploymentSettings, RouteSettings, RoutingSettings
from headgate.config.sections import SECTIONS
from headgate.config.shapes import Items, Named, Record, Shape

VALUES: dict[str, type[msgspec.Struct]] = {
    "routes": RouteSettings,
    "deployments": DeploymentSettings,
    "routing": RoutingSettings,
    "budgets": BudgetSettings,
    "limits": LimitSettings,
    "alerts": AlertSettings,
    "cache": CacheSettings,
    "gateway": GatewaySettings,
}
"""Name of a table → the value its record becomes."""


def record(name: str) -> Record:
    """The record behind a table."""
    shape: Shape = SECTIONS["routes" if name == "deployments" else name].shape
    while not isinstance(shape, Record):
        assert isinstance(shape, Items | Named)
        shape = shape.item
    return record_in(shape.fields["deployments"].shape) if name == "deployments" else shape


def record_in(shape: Shape) -> Record:
    """The record that a list is of."""
    assert isinstance(shape, Items)
    assert isinstance(shape.item, Record)
    return shape.item


def table(name: str) -> Callable[[], Iterator[str]]:
    """A row for each key of a record."""

    def rows() -> Iterator[str]:
        found = record(name)
        yield "| Key | Value | Default | Meaning | Takes effect |"
        yield "|---|---|---|---|---|"
        for key, field in found.fields.items():
            live = "at once" if is_live(f"{'routes' if name == 'deployments' else name}.{key}") else "after a restart"
            default = "must be there" if field.required else shown(VALUES[name], field.to or key)
            yield f"| `{key}` | {field.shape.words.replace('|', chr(92) + '|')} | {default} | {field.meaning} | {live} |"

    return rows


def shown(kind: type[msgspec.Struct], field: str) -> str:
    """The default of a field, as it is written."""
    found = {entry.name: entry for entry in msgspec.structs.fields(kind)}.get(field)
    value = None if found is None else found.default if found.default is not msgspec.NODEFAULT else found.default_factory()
    if value is None or value == {} or value == ():
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    if field in {"body_limit", "max_bytes"}:
        return f"`{value >> 20}MiB`"
    return f"`{Decimal(value).normalize():f}`" if isinstance(value, float) else f"`{value}`"
