"""The providers in force: those of the package as the settings change them, those the settings declare, and those of other packages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint

import msgspec

from headgate.config.provider_settings import ProviderSettings
from headgate.config.third_party import GROUP, advertised
from headgate.domain.capabilities import ANY_MODEL
from headgate.errors import ConfigError
from headgate.providers import PROVIDER_API, PROVIDERS, Provider
from headgate.providers.openai_compatible import declared
from headgate.providers.quirks import with_quirks


class ProviderTable(Mapping[str, Provider]):
    """Providers by name. One that another package brings is loaded when it is first asked for; built-in names cannot be shadowed.

    `__getitem__` raises `ConfigError` for a foreign provider that cannot be loaded or is made for another version of the record.
    """

    def __init__(self, settings: Mapping[str, ProviderSettings], foreign: Callable[[], Mapping[str, EntryPoint]] = advertised) -> None:
        self._look_up = foreign
        self._entries: Mapping[str, EntryPoint] | None = None
        self._later = {name: entry for name, entry in settings.items() if self._brought(name, entry)}
        here = {name: entry for name, entry in settings.items() if name not in self._later}
        self._known = {**PROVIDERS, **{name: adjusted(name, PROVIDERS.get(name), entry) for name, entry in here.items()}}

    def _brought(self, name: str, entry: ProviderSettings) -> bool:
        """Whether settings are about a provider of another package, which takes them once it is loaded."""
        return name not in PROVIDERS and entry.base_url is None and name in self._found()

    @property
    def foreign(self) -> tuple[str, ...]:
        """The names other packages bring, whether they can be loaded or not."""
        return tuple(name for name in self._found() if name not in PROVIDERS)

    @property
    def shadowing(self) -> tuple[str, ...]:
        """Names of the package's own that other packages claim as well, in vain."""
        return tuple(name for name in self._found() if name in PROVIDERS)

    def __getitem__(self, name: str) -> Provider:
        if name in self._known:
            return self._known[name]
        if name not in self.foreign:
            raise KeyError(name)
        found = loaded(self._found()[name])
        self._known[name] = adjusted(name, found, self._later[name]) if name in self._later else found
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._known or name in self.foreign

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._known, *self.foreign)))

    def __len__(self) -> int:
        return len(set(self))

    def _found(self) -> Mapping[str, EntryPoint]:
        if self._entries is None:
            self._entries = self._look_up()
        return self._entries


def adjusted(name: str, provider: Provider | None, settings: ProviderSettings) -> Provider:
    """A built-in provider as the settings change it, or the one they declare. Raises `ConfigError`."""
    if provider is None:
        return _declared(name, settings)
    if settings.dialect is not None and settings.dialect != provider.chat.name:
        raise ConfigError(f"{name} speaks {provider.chat.name}: declare another provider for {settings.dialect}")
    if settings.key_header is not None:
        raise ConfigError(f"{name} takes its key in {provider.auth.header}: key_header is for providers that are not built in")
    own = lowered(settings.headers)
    named = {header for header, _ in own}
    changes = {
        "base_url": None if settings.base_url is None else settings.base_url.rstrip("/"),
        "label": settings.label,
        "default_model": settings.default_model,
        "capabilities": settings.capabilities,
        "allow_private": settings.allow_private,
        "headers": (*(pair for pair in provider.headers if pair[0] not in named), *own) if own else None,
        "chat": with_quirks(provider.chat, settings.quirks) if settings.quirks else None,
        "auth": msgspec.structs.replace(provider.auth, env=(settings.key_env,), parts=()) if settings.key_env else None,
    }
    return msgspec.structs.replace(provider, **{field: value for field, value in changes.items() if value is not None})


def _declared(name: str, settings: ProviderSettings) -> Provider:
    if settings.base_url is None:
        raise ConfigError(
            f"the provider {name} is not built in, so it needs a base_url", hint="example: base_url: http://127.0.0.1:8000/v1"
        )
    made = declared(
        name,
        base_url=settings.base_url,
        dialect=settings.dialect or "openai_chat",
        quirks=settings.quirks,
        key_env=settings.key_env,
        key_header=settings.key_header,
        headers=lowered(settings.headers),
        default_model=settings.default_model,
        capabilities=settings.capabilities or ANY_MODEL,
        allow_private=bool(settings.allow_private),
        embeddings=settings.embeddings,
        batch=settings.batch,
    )
    return msgspec.structs.replace(made, label=settings.label or made.label)


def lowered(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Header pairs with lower-case names."""
    return tuple((name.lower(), value) for name, value in headers.items())


def loaded(entry: EntryPoint) -> Provider:
    """The record an entry point names. Raises `ConfigError` when it is broken: whatever its module raises is its own fault."""
    try:
        found = entry.load()
    except Exception as error:
        raise ConfigError(f"the provider {entry.name} of {entry.value} cannot be loaded: {error!r}", hint="headgate doctor") from error
    if not isinstance(found, Provider):
        raise ConfigError(f"{GROUP} entry {entry.name} is {type(found).__name__}, not a headgate.providers.Provider")
    if found.api != PROVIDER_API:
        raise ConfigError(f"the provider {entry.name} is made for version {found.api} of the record; this is version {PROVIDER_API}")
    if found.name != entry.name:
        raise ConfigError(f"the provider of entry {entry.name} calls itself {found.name}")
    return found
