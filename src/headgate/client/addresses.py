"""From a provider's record and the settings to addresses and keys."""

from __future__ import annotations

import os
import re
import stat
import time
from functools import lru_cache
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from headgate.client.target import Credential, filled, missing_variable, routed
from headgate.client.tokens import Token, TokenSource
from headgate.config import Environment, Secret, find_key, missing_key
from headgate.config.keys import checked_key
from headgate.config.provider_settings import AccountSettings, ProviderSettings
from headgate.errors import ConfigError, MissingKey
from headgate.providers import Provider
from headgate.transport.settings import Origin, parse_origin

DEFAULT_ACCOUNT = "default"
NO_KEY = Secret("")
_PLACE = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
MAX_KEY_FILE = 64 << 10
KEY_FILE_LIFE = 300.0
"""Seconds for which the content of a key file is taken to be current."""


def variables_of(provider: Provider, settings: ProviderSettings | None, environment: Environment) -> dict[str, str]:
    """The provider's variables that are known. Those that are not are missed only where an address needs them."""
    given = settings.variables if settings is not None else {}
    found: dict[str, str] = {}
    for variable in provider.variables:
        named = next((seen.value for name in variable.env if (seen := environment.get(name)) is not None), None)
        value = given.get(variable.name) or named or variable.default
        if value is not None:
            found[variable.name] = value
    unknown = set(given) - {variable.name for variable in provider.variables}
    if unknown:
        known = ", ".join(variable.name for variable in provider.variables) or "none"
        raise ConfigError(f"{provider.name} has no variable {min(unknown)!r}; it has {known}")
    return found


def base_url(provider: Provider, environment: Environment) -> tuple[str, bool]:
    """The provider's base URL with the variables of `url_env` looked at, and whether one of these named it."""
    for name in provider.url_env:
        found = environment.get(name)
        if found is not None:
            return as_url(found.value, provider.base_url), True
    return provider.base_url, False


def as_url(text: str, usual: str) -> str:
    """A base URL as variables such as OLLAMA_HOST write it: without a scheme, without a port, or as the address a server listens on.

    What is left out is taken from the `usual` URL; a URL that names its scheme has that scheme's port.
    """
    url = text.strip().rstrip("/")
    if "://" not in url:
        own, parts, stated = urlsplit(usual), *_parts(url)
        port = "" if stated is not None or own.port is None else f":{own.port}"
        url = f"{own.scheme}://{parts.netloc}{port}{parts.path}"
    return url.replace("//0.0.0.0", "//127.0.0.1", 1)


def _parts(url: str) -> tuple[SplitResult, int | None]:
    """A URL without a scheme in its parts, and the port it names. Raises `ConfigError`."""
    try:
        parts = urlsplit(f"//{url}")
        return parts, parts.port
    except ValueError as error:
        raise ConfigError(f"{url!r} is no address: {error}", hint="example: 127.0.0.1:11434, or [::1]:11434") from error


def address(provider: Provider, template: str, variables: dict[str, str], proxy: str | None, ca_file: str | None) -> Origin:
    """The address of a URL template. Raises `ConfigError` naming the first variable that is missing, in the URL or in the paths below."""
    url = filled(template, variables)
    for name, value in variables.items():
        if f"{{{name}}}" in template and not _PLACE.fullmatch(value):
            raise ConfigError(
                f"the {name} of {provider.label} stands in its address, so {value!r} cannot be one: use letters, digits, dashes and dots",
                hint=next((f"example: {v.example or v.default}" for v in provider.variables if v.name == name), None),
            )
    for variable in provider.variables:
        if f"{{{variable.name}}}" in url:
            raise missing_variable(provider, variable.name)
    if provider.route is not None:
        routed(provider, provider.route, "/", "", variables)
    return parse_origin(url, allow_private=provider.allow_private, proxy=proxy, ca_file=ca_file)


def composed_key(provider: Provider, environment: Environment) -> Secret | None:
    """A key that consists of several variables, joined by colons; None unless all that are required are set."""
    pieces: list[str] = []
    for name in provider.auth.parts:
        found = environment.get(name.removesuffix("?"))
        if found is None and not name.endswith("?"):
            return None
        if found is not None:
            pieces.append(found.value.strip())
    return checked_key(Secret(":".join(pieces)), provider.auth.parts[0]) if pieces else None


def credential(
    provider: Provider, settings: ProviderSettings | None, environment: Environment, explicit: Secret | None, account: str | None
) -> Credential:
    """The key of an account: the one asked for, else the settings' own choice, else the provider's variables.

    Raises `ConfigError` for an account that is not set up, `MissingKey` when no key is found.
    """
    accounts = settings.accounts if settings is not None else {}
    wanted = account or (settings.account if settings is not None else None)
    if wanted is not None and (wanted != DEFAULT_ACCOUNT or wanted in accounts):
        if wanted not in accounts:
            known = ", ".join((DEFAULT_ACCOUNT, *accounts))
            raise ConfigError(f"{provider.name} has no account {wanted!r}; it has {known}", hint="see providers: in headgate.yaml")
        return _of_account(provider, wanted, accounts[wanted], environment)
    found = find_key(provider.auth.env, environment, explicit, provider.auth.shape)
    if found is not None:
        return Credential(DEFAULT_ACCOUNT, found.secret)
    whole = composed_key(provider, environment) if provider.auth.parts else None
    if whole is not None:
        return Credential(DEFAULT_ACCOUNT, whole)
    if provider.auth.default is not None:
        return Credential(DEFAULT_ACCOUNT, Secret(provider.auth.default))
    if provider.auth.optional:
        return Credential(DEFAULT_ACCOUNT, NO_KEY)
    if accounts:
        first = next(iter(accounts))
        return _of_account(provider, first, accounts[first], environment)
    raise missing_key(provider.label, _wanted(provider))


def _wanted(provider: Provider) -> tuple[str, ...]:
    """The variables of a key as a message names them: those that hold a whole one, then those that make one up together."""
    parts = tuple(name for name in provider.auth.parts if not name.endswith("?"))
    return (*provider.auth.env, " with ".join(parts)) if provider.auth.env and parts else provider.auth.env or parts


def _of_account(provider: Provider, account: str, entry: AccountSettings, environment: Environment) -> Credential:
    if entry.key_env is not None:
        found = find_key((entry.key_env,), environment)
        if found is None:
            raise MissingKey(
                f"no key for {provider.label}, account {account}: {entry.key_env} is not set", hint=f"export {entry.key_env}=…"
            )
        return Credential(account, found.secret)
    source = key_file(Path(entry.key_file or ""))
    return Credential(account, NO_KEY, source)


@lru_cache(maxsize=64)
def key_file(path: Path) -> TokenSource:
    """A key that lies in a file and is read again when the provider refuses it, or after five minutes at the latest."""

    def fetch() -> Token:
        text = _key_text(path).strip()
        return Token(checked_key(Secret(text), str(path)), time.time() + KEY_FILE_LIFE)

    return TokenSource(fetch)


def _key_text(path: Path) -> str:
    """The content of a small regular file of ASCII text: nothing that could block (a pipe) or never end (a device)."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise ConfigError("the key file is no regular file", where=str(path), hint=f"ls -l {path}")
            data = os.read(file, MAX_KEY_FILE + 1)
        finally:
            os.close(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the key file cannot be read: {error}", where=str(path), hint=f"ls -l {path}") from error
    if len(data) > MAX_KEY_FILE or not data.isascii():
        raise ConfigError("the key file holds more than a key: a short line of ASCII text is wanted", where=str(path), hint=f"ls -l {path}")
    return data.decode("ascii")
