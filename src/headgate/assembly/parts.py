"""Settings, catalog, keys and targets put together."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from headgate.catalog.cards import Catalog
from headgate.catalog.load import load_catalog
from headgate.catalog.resolve import Target as Resolved
from headgate.catalog.resolve import resolve
from headgate.catalog.source import with_overrides
from headgate.client import Credential, Target, make_origin
from headgate.config import Environment, Secret, Settings, find_key, load_settings, missing_key, read_environment
from headgate.errors import ConfigError
from headgate.ledger import Ledger
from headgate.providers import PROVIDERS, Provider
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import TransportSettings

DEFAULT_ACCOUNT = "default"


class Parts(msgspec.Struct, frozen=True):
    """What every face starts from. `key` was given on the command line and goes before any variable."""

    settings: Settings
    environment: Environment
    catalog: Catalog
    key: Secret | None = None

    @property
    def default_models(self) -> dict[str, str | None]:
        """The default model of every provider."""
        return self.settings.default_models({name: provider.default_model for name, provider in PROVIDERS.items()})

    def with_keys(self) -> tuple[str, ...]:
        """Providers that can be used as things are: a key is set, or none is needed."""
        return tuple(name for name, provider in PROVIDERS.items() if self.has_key(provider))

    def has_key(self, provider: Provider) -> bool:
        """Whether calls to `provider` can be authenticated."""
        return provider.auth.default is not None or any(self.environment.get(name) for name in provider.auth.env)

    def credential(self, provider: Provider) -> Credential:
        """The key for `provider`. Raises `ConfigError` that says which variable to set, and where."""
        explicit = None if provider.simulated else self.key
        found = find_key(provider.auth.env, self.environment, explicit, provider.auth.shape)
        if found is not None:
            return Credential(DEFAULT_ACCOUNT, found.secret)
        if provider.auth.default is not None:
            return Credential(DEFAULT_ACCOUNT, Secret(provider.auth.default))
        raise missing_key(provider.label, provider.auth.env)

    def key_warnings(self) -> list[str]:
        """What is odd about the keys that are set."""
        warnings: list[str] = []
        for provider in PROVIDERS.values():
            try:
                found = find_key(provider.auth.env, self.environment, shape=provider.auth.shape)
            except ConfigError as error:
                warnings.append(error.message)
            else:
                warnings += found.warnings if found is not None else ()
        return warnings

    def target(self, resolved: Resolved) -> Target:
        """The target of a resolved model: address and credential filled in."""
        provider = PROVIDERS[resolved.provider]
        root = self.settings.sim_url if provider.simulated else None
        ca_file = str(self.settings.ca_file) if self.settings.ca_file is not None else None
        proxy = None if provider.simulated else self.settings.proxy
        origin = make_origin(provider, root, proxy, ca_file)
        return Target(provider, resolved.model, self.credential(provider), origin, resolved.card)

    def resolve(self, name: str, provider: str | None = None) -> Target:
        """The target of a model as a user wrote it. Raises `ConfigError`."""
        return self.target(resolve(name, provider or None, self.catalog, PROVIDERS))

    def http(self) -> HttpClient:
        """A client with the settings' bounds; the caller closes it."""
        settings = self.settings
        return HttpClient(TransportSettings(connect_timeout=settings.connect_timeout, total_timeout=settings.request_timeout))

    def ledger(self) -> Ledger:
        """The ledger of the data folder; the caller closes it."""
        self.settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Ledger.open(self.settings.ledger_file)


def load_parts(flags: Mapping[str, str | None] | None = None, folder: Path | None = None, key: str | None = None) -> Parts:
    """Read environment, ``.env``, ``headgate.yaml`` and the catalog. Raises `ConfigError`."""
    here = folder or Path.cwd()
    environment = read_environment(os.environ, here)
    settings = load_settings(environment, here, flags)
    catalog = load_catalog()
    if settings.catalog_file is not None:
        catalog = with_overrides(catalog, settings.catalog_file)
    return Parts(settings, environment, catalog, None if key is None else Secret(key))


def new_run_id(pipeline: str, now: float, taken: Path) -> str:
    """A readable name for a run: pipeline and time, with a number behind it when the folder exists."""
    base = f"{pipeline.lower()}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}"
    name, n = base, 2
    while (taken / name).exists():
        name, n = f"{base}-{n}", n + 1
    return name
