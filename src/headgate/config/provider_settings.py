"""What ``headgate.yaml`` says of providers: further accounts, other addresses, and providers of one's own, declared without code.

::

    providers:
      openai:
        accounts:
          team-a: {key_env: TEAM_A_OPENAI_KEY}
      azure_openai:
        variables: {resource: my-resource}
      my-vllm:
        dialect: openai_chat
        base_url: http://10.0.0.5:8000/v1
        allow_private: true
        key_env: VLLM_KEY
        capabilities: {context: 32768, max_output: 4096, vision: false}

Keys themselves never stand here: accounts name the variable, or the file, that holds theirs.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from headgate.config.records import record_of
from headgate.config.shapes import Named, Reading
from headgate.domain.capabilities import Capabilities

NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class AccountSettings(msgspec.Struct, frozen=True):
    """Where the key of one account lies: in the variable `key_env`, or in `key_file`, which is read again when it changes."""

    key_env: str | None = None
    key_file: str | None = None


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One provider. `dialect` and `base_url` together declare one that is not built in; for a built-in one, what is given replaces its own.

    `account` is the account used when none is asked for. `embeddings` and `batch` name further wires of a declared provider.
    """

    dialect: str | None = None
    base_url: str | None = None
    label: str | None = None
    key_env: str | None = None
    key_header: str | None = None
    headers: dict[str, str] = {}
    quirks: tuple[str, ...] = ()
    default_model: str | None = None
    variables: dict[str, str] = {}
    capabilities: Capabilities | None = None
    allow_private: bool | None = None
    accounts: dict[str, AccountSettings] = {}
    account: str | None = None
    embeddings: str | None = None
    batch: str | None = None


def _checked(name: str, settings: object, reading: Reading) -> ProviderSettings:
    """A provider's settings with its key files placed relative to the settings file. Raises ValueError."""
    assert isinstance(settings, ProviderSettings)
    accounts = {account: _account(f"{name}.accounts.{account}", entry, reading.folder) for account, entry in settings.accounts.items()}
    if settings.account is not None and settings.account not in accounts:
        raise ValueError(f"names the account {settings.account!r} for {name}, which has {', '.join(accounts) or 'none'}")
    if settings.key_env is not None:
        _variable(f"{name}.key_env", settings.key_env)
    return msgspec.structs.replace(settings, accounts=accounts)


def _account(where: str, entry: AccountSettings, folder: Path) -> AccountSettings:
    if (entry.key_env is None) == (entry.key_file is None):
        raise ValueError(f"needs either key_env or key_file in {where}")
    if entry.key_env is not None:
        _variable(f"{where}.key_env", entry.key_env)
        return entry
    try:
        return AccountSettings(key_file=str((folder / Path(entry.key_file or "").expanduser()).absolute()))
    except RuntimeError as error:
        raise ValueError(f"names a key_file in {where} whose home directory is not known") from error


def _variable(where: str, name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValueError(f"needs the NAME of a variable in {where}; a key itself does not belong into this file")
    return name


PROVIDERS_SHAPE = Named(
    item=record_of(ProviderSettings),
    pattern=NAME.pattern,
    name_words="lower-case letters, digits and dashes",
    check=_checked,
)
"""The section as it may be written."""
