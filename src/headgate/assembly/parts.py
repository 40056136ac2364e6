"""Settings, catalog, keys and targets put together."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from headgate.catalog.cards import Catalog
from headgate.catalog.resolve import Target as Resolved
from headgate.catalog.resolve import resolve
from headgate.client import Credential, Target, make_origin
from headgate.client.addresses import DEFAULT_ACCOUNT, NO_KEY, address, base_url, composed_key, credential, variables_of
from headgate.client.catalogs import full_catalog
from headgate.client.provider_table import ProviderTable
from headgate.config import Environment, Secret, Settings, find_key, load_settings, read_environment
from headgate.config.provider_settings import AccountSettings
from headgate.errors import ConfigError
from headgate.ledger import Ledger
from headgate.providers import PROVIDERS, Provider
from headgate.store.connect import Synchronous
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import Origin, TransportSettings


class Parts(msgspec.Struct, frozen=True):
    """What every face starts from. `key` and `account` were given on the command line and go before any variable or setting."""

    settings: Settings
    environment: Environment
    catalog: Catalog
    key: Secret | None = None
    providers: Mapping[str, Provider] = msgspec.field(default_factory=lambda: PROVIDERS)
    account: str | None = None

    @property
    def default_models(self) -> dict[str, str | None]:
        """The default model of every provider; those that cannot be loaded have none."""
        return {name: self._default_model(name) for name in self.providers}

    def _default_model(self, name: str) -> str | None:
        provider = self.usable(name)
        return None if provider is None else provider.default_model

    def usable(self, name: str) -> Provider | None:
        """The provider of that name; None for one of another package that cannot be loaded."""
        try:
            return self.providers[name]
        except ConfigError:
            return None

    def with_keys(self) -> tuple[str, ...]:
        """Providers that can be used as things are: a key is set, or none is needed."""
        return tuple(name for name in self.providers if (found := self.usable(name)) is not None and self.has_key(found))

    def has_key(self, provider: Provider) -> bool:
        """Whether calls to `provider` can be authenticated. One that needs no key counts when it was set up, or lies on this machine."""
        own = self.settings.providers.get(provider.name)
        if provider.auth.default is not None or (own is not None and any(self.has_account(entry) for entry in own.accounts.values())):
            return True
        if provider.auth.optional:
            return provider.name not in PROVIDERS or own is not None or base_url(provider, self.environment)[1]
        return self.has_usual_key(provider)

    def has_usual_key(self, provider: Provider) -> bool:
        """Whether the provider's own variables hold a key, or none is needed."""
        if provider.auth.default is not None or provider.auth.optional:
            return True
        return any(self.environment.get(name) for name in provider.auth.env) or composed_key(provider, self.environment) is not None

    def has_account(self, entry: AccountSettings) -> bool:
        """Whether the key of an account is there: its variable is set, or it lies in a file."""
        return entry.key_file is not None or (entry.key_env is not None and self.environment.get(entry.key_env) is not None)

    def credential(self, provider: Provider) -> Credential:
        """The key for `provider`. Raises `ConfigError` that says which variable to set, and where."""
        explicit = None if provider.simulated else self.key
        own = self.settings.providers.get(provider.name)
        account = None if provider.simulated and not (own is not None and own.accounts) else self.account
        return credential(provider, own, self.environment, explicit, account)

    def key_warnings(self) -> list[str]:
        """What is odd about the keys that are set."""
        warnings: list[str] = []
        for name in self.providers:
            try:
                auth = self.providers[name].auth
                found = find_key(auth.env, self.environment, shape=auth.shape)
            except ConfigError as error:
                warnings.append(error.message)
            else:
                warnings += found.warnings if found is not None else ()
        return warnings

    def target(self, resolved: Resolved) -> Target:
        """The target of a resolved model: address and credential filled in."""
        provider = self.providers[resolved.provider]
        key = self.credential(provider)
        own = self.settings.providers.get(provider.name)
        variables = variables_of(provider, own, self.environment)
        ca_file = str(self.settings.ca_file) if self.settings.ca_file is not None else None
        if provider.simulated:
            origin, hosts = _simulated(provider, self.settings.sim_url, variables, ca_file)
            return Target(provider, resolved.model, key, origin, resolved.card, variables, hosts)
        proxy = self.settings.proxy
        url = provider.base_url if own is not None and own.base_url else base_url(provider, self.environment)[0]
        origin = address(provider, url, variables, proxy, ca_file)
        hosts = {name: address(provider, template, variables, proxy, ca_file) for name, template in provider.hosts}
        return Target(provider, resolved.model, key, origin, resolved.card, variables, hosts)

    def keyless_target(self, resolved: Resolved) -> Target:
        """The target of a resolved model for making requests: nothing can be sent to it, and neither key nor address is needed."""
        nowhere = Origin("https", "nowhere.invalid", 443)
        provider = self.providers[resolved.provider]
        variables = variables_of(provider, self.settings.providers.get(provider.name), self.environment)
        return Target(provider, resolved.model, Credential(self.account or DEFAULT_ACCOUNT, NO_KEY), nowhere, resolved.card, variables)

    def resolve(self, name: str, provider: str | None = None) -> Target:
        """The target of a model as a user wrote it. Raises `ConfigError`."""
        return self.target(resolve(name, provider or None, self.catalog, self.providers))

    def http(self) -> HttpClient:
        """A client with the settings' bounds; the caller closes it."""
        return HttpClient(self.transport)

    @property
    def transport(self) -> TransportSettings:
        """The bounds of calls."""
        return TransportSettings(connect_timeout=self.settings.connect_timeout, total_timeout=self.settings.request_timeout)

    def ledger(self) -> Ledger:
        """The ledger of the settings; the caller closes it."""
        self.settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        synchronous: Synchronous = "FULL" if self.settings.synchronous == "FULL" else "NORMAL"
        return Ledger.open(self.settings.ledger_place, synchronous=synchronous)


def _simulated(provider: Provider, root: str, variables: dict[str, str], ca_file: str | None) -> tuple[Origin, dict[str, Origin]]:
    """The simulator's addresses for a provider: all of its hosts are paths of one server."""
    hosts = {name: msgspec.structs.replace(provider, base_path=path) for name, path in provider.hosts}
    return make_origin(provider, root, None, ca_file, variables), {name: make_origin(at, root, None, ca_file) for name, at in hosts.items()}


def load_parts(
    flags: Mapping[str, str | None] | None = None,
    folder: Path | None = None,
    key: str | None = None,
    account: str | None = None,
    config_file: Path | None = None,
) -> Parts:
    """Read environment, ``.env``, ``headgate.yaml`` (or `config_file`) and the catalog. Raises `ConfigError`."""
    here = folder or Path.cwd()
    environment = read_environment(os.environ, here)
    settings = load_settings(environment, here, flags, config_file)
    catalog = full_catalog(settings)
    secret = None if key is None else Secret(key)
    return Parts(settings, environment, catalog, secret, _provider_table(settings), account)


def _provider_table(settings: Settings) -> ProviderTable:
    """The providers of the settings. Raises `ConfigError` with the place of the first that cannot be made."""
    for name, entry in settings.providers.items():
        try:
            ProviderTable({name: entry})
        except ConfigError as error:
            raise ConfigError(error.message, where=settings.origins.get(f"providers.{name}"), hint=error.hint) from error
    return ProviderTable(settings.providers)


def new_run_id(pipeline: str, now: float, taken: Path) -> str:
    """A readable name for a run: pipeline and time, with a number behind it when the folder exists."""
    base = f"{pipeline.lower()}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}"
    name, n = base, 2
    while (taken / name).exists():
        name, n = f"{base}-{n}", n + 1
    return name
