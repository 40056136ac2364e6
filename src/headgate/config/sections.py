"""The sections of the settings: each by name with its shape, how one is read, and what must hold between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from headgate.config import gate_reader, route_reader
from headgate.config.gate_settings import AlertSettings, GatewaySettings
from headgate.config.provider_settings import PROVIDERS_SHAPE
from headgate.config.route_settings import RouteSettings, RoutingSettings
from headgate.config.shapes import Reading, Shape
from headgate.config.spine import overlaid
from headgate.config.tree import HINT, Node, parse_tree, substituted
from headgate.errors import ConfigError


class Section(msgspec.Struct, frozen=True):
    """A setting that is a mapping or a list. `default` is made when nothing is said."""

    shape: Shape
    default: Callable[[], object]


SECTIONS: dict[str, Section] = {
    "providers": Section(PROVIDERS_SHAPE, dict),
    "aliases": Section(route_reader.SHAPES["aliases"], dict),
    "routes": Section(route_reader.SHAPES["routes"], dict),
    "routing": Section(route_reader.SHAPES["routing"], RoutingSettings),
    "budgets": Section(gate_reader.SHAPES["budgets"], tuple),
    "limits": Section(gate_reader.SHAPES["limits"], tuple),
    "alerts": Section(gate_reader.SHAPES["alerts"], AlertSettings),
    "cache": Section(gate_reader.SHAPES["cache"], lambda: None),
    "gateway": Section(gate_reader.SHAPES["gateway"], GatewaySettings),
}
"""In the order in which they are explained."""


def read_section(name: str, node: Node | None, reading: Reading) -> object:
    """The value of a section, whose node is None where nothing says anything of it. Raises `ConfigError`."""
    node = overlaid(name, node, reading.environment)
    if node is None:
        return SECTIONS[name].default()

    def value_of(variable: str) -> str | None:
        found = reading.environment.get(variable)
        return None if found is None else found.value

    return SECTIONS[name].shape.read(substituted(node, value_of), name, reading)


def json_node(text: str, origin: str) -> Node | None:
    """The node of a section that a variable holds as JSON. Raises `ConfigError` naming the variable."""
    try:
        decoded = msgspec.json.decode(text)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"is not JSON: {error}", where=origin, hint=HINT) from error
    return parse_tree(msgspec.json.encode(decoded).decode(), origin)


def check_names(aliases: Mapping[str, str], routes: Mapping[str, RouteSettings], origins: Mapping[str, str]) -> None:
    """Raise `ConfigError` where names of aliases and routes get into each other's way."""
    for alias, model in aliases.items():
        if alias in routes:
            raise _clash(f"the alias {alias} has the name of a route", alias, origins)
        if model in aliases:
            raise _clash(f"the alias {alias} stands for another alias, {model}: name the model itself", alias, origins)


def _clash(message: str, alias: str, origins: Mapping[str, str]) -> ConfigError:
    return ConfigError(message, where=origins.get(f"aliases.{alias}"), hint=HINT)
