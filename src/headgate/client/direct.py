"""Targets made on the spot from a key and an address, for code that brings its own; the settings in force fill in the rest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from headgate.catalog.cards import Catalog
from headgate.catalog.resolve import explicit
from headgate.client.addresses import NO_KEY, address, as_url, base_url, credential, variables_of
from headgate.client.catalogs import full_catalog
from headgate.client.provider_table import ProviderTable
from headgate.client.target import Credential, Target, filled, make_origin
from headgate.config import Environment, Secret, Settings, load_settings, read_environment
from headgate.config.provider_settings import ProviderSettings
from headgate.errors import ConfigError
from headgate.providers import Provider
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import Origin, TransportSettings, parse_origin
from headgate.wire.json import Json


class Workspace(msgspec.Struct, frozen=True):
    """The settings, variables, catalog and providers of a working folder."""

    settings: Settings
    environment: Environment
    catalog: Catalog
    providers: Mapping[str, Provider]

    def provider(self, name: str) -> Provider:
        """The provider of that name, as the settings have it. Raises `ConfigError` listing what there is."""
        lowered = name.strip().lower()
        if lowered not in self.providers:
            raise ConfigError(f"unknown provider {name!r}; supported: {', '.join(self.providers)}", hint="headgate doctor")
        return self.providers[lowered]

    def default_model(self, provider: Provider) -> str | None:
        """The model of calls that name none."""
        own = self.settings.providers.get(provider.name)
        return (None if own is None else own.default_model) or provider.default_model

    def http(self, timeout: float | None = None) -> HttpClient:
        """A client with the settings' bounds, a whole exchange taking at most `timeout` seconds; the caller closes it."""
        settings = self.settings
        return HttpClient(TransportSettings(connect_timeout=settings.connect_timeout, total_timeout=timeout or settings.request_timeout))


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller says about the way to a provider; None is found in the settings. `variables` fill the braces of its address.

    `hosts` are the URLs of its further hosts by their keys, for a `base_url` behind which they do not lie.
    """

    api_key: Secret | None = None
    base_url: str | None = None
    hosts: Mapping[str, str] = {}
    variables: Mapping[str, str] = {}


def seconds_of(value: Json) -> float | None:
    """A time limit as a configuration may hold it; None for none. Raises `ConfigError` unless it is a number of seconds above zero."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return float(value)
    raise ConfigError(f"timeout must be a number of seconds, more than 0, not {value!r}", hint='"timeout": 120')


def read_workspace(folder: Path | None = None) -> Workspace:
    """Read environment, ``.env``, ``headgate.yaml`` and the catalog as a command in `folder` would. Raises `ConfigError`."""
    here = folder or Path.cwd()
    environment = read_environment(os.environ, here)
    settings = load_settings(environment, here)
    return Workspace(settings, environment, full_catalog(settings), ProviderTable(settings.providers))


def direct_target(provider: Provider, model: str | None, connection: Connection, workspace: Workspace) -> Target:
    """The target of one model, or of the provider as a whole (for calls that name no model).

    Raises `ConfigError` for a retired model, a missing key or variable, or an address that is none. Private addresses are for providers
    that allow them, and for a `base_url` that is given explicitly.
    """
    own = workspace.settings.providers.get(provider.name)
    merged = msgspec.structs.replace(own or ProviderSettings(), variables={**(own.variables if own else {}), **connection.variables})
    variables = variables_of(provider, merged, workspace.environment)
    origin, hosts = _addresses(provider, own, connection, workspace, variables)
    return msgspec.structs.replace(
        rendering_target(provider, model, workspace),
        credential=credential(provider, own, workspace.environment, connection.api_key, None),
        origin=origin,
        variables=variables,
        hosts=hosts,
    )


def rendering_target(provider: Provider, model: str | None, workspace: Workspace) -> Target:
    """A target for rendering requests, for which neither key nor address is needed: nothing can be sent to it. Raises `ConfigError`."""
    nowhere, keyless = Origin("https", "nowhere.invalid", 443), Credential("default", NO_KEY)
    if model is None:
        return Target(provider, "", keyless, nowhere)
    found = explicit(provider.name, model, workspace.catalog)
    return Target(provider, found.model, keyless, nowhere, found.card)


def _addresses(
    provider: Provider, own: ProviderSettings | None, connection: Connection, workspace: Workspace, variables: dict[str, str]
) -> tuple[Origin, dict[str, Origin]]:
    """The provider's address and those of its further hosts; behind a `base_url` of the caller's all of them lie there."""
    settings = workspace.settings
    ca_file = str(settings.ca_file) if settings.ca_file is not None else None
    proxy = None if provider.simulated else settings.proxy
    if connection.base_url is not None:
        url = filled(as_url(connection.base_url, provider.base_url), variables)
        whole = parse_origin(_whole(url, provider.base_path, provider), allow_private=True, proxy=proxy, ca_file=ca_file)
        root = url.removesuffix(provider.base_path) if provider.simulated else url
        paths = {key: connection.hosts.get(key) or (root + path if provider.simulated else url) for key, path in provider.hosts}
        return whole, {key: parse_origin(path, allow_private=True, proxy=proxy, ca_file=ca_file) for key, path in paths.items()}
    if provider.simulated:
        places = {key: msgspec.structs.replace(provider, base_path=path) for key, path in provider.hosts}
        root = settings.sim_url
        others = {key: make_origin(place, root, None, ca_file, variables) for key, place in places.items()}
        return make_origin(provider, root, None, ca_file, variables), others
    url = provider.base_url if own is not None and own.base_url else base_url(provider, workspace.environment)[0]
    hosts = {key: address(provider, template, variables, proxy, ca_file) for key, template in provider.hosts}
    return address(provider, url, variables, proxy, ca_file), hosts


def _whole(url: str, path: str, provider: Provider) -> str:
    """A base URL as given; that of the simulator may leave out the path of the wire."""
    return url if not provider.simulated or urlsplit(url).path.endswith(path) else url + path
