"""Every setting: flag, else ``HEADGATE_*`` in the environment, else in ``.env``, else ``headgate.yaml``, else the default."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec

from headgate.config.environment import Environment
from headgate.config.provider_settings import ProviderSettings, read_providers
from headgate.config.secret import Secret
from headgate.config.yaml_file import Placed, read_settings_file
from headgate.errors import ConfigError

Value: TypeAlias = str | int | float | Path | Secret | dict[str, ProviderSettings] | None
FILE = "headgate.yaml"
DATABASES = frozenset({"postgresql", "postgres"})
"""Schemes of a database's URL."""
REDIS = frozenset({"redis", "rediss"})
"""Schemes of a Redis server's URL."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings in force. `origins` says of each where its value came from, `warnings` what is odd. Paths are absolute."""

    data_dir: Path
    run_dir: Path
    gateway_host: str
    gateway_port: int
    router_port: int
    registry_port: int
    monitor_port: int
    openai_adapter_port: int
    anthropic_adapter_port: int
    gemini_adapter_port: int
    grok_adapter_port: int
    sim_port: int
    sim_url: str
    request_timeout: float
    """Seconds for a whole exchange."""
    connect_timeout: float
    """Seconds until a connection stands."""
    proxy: str | None
    """An HTTP proxy that is asked to CONNECT."""
    ca_file: Path | None
    """Certificates to trust in place of the system's."""
    key: Secret | None
    """The gateway's own key."""
    database_url: Secret | None
    """A PostgreSQL database for the ledger, in place of a file in the data folder."""
    redis_url: Secret | None
    """A Redis server that passes shares of rate limits between processes faster."""
    catalog_file: Path | None
    """Model cards and prices of one's own, over those that are shipped."""
    default_provider: str | None
    openai_default_model: str | None
    anthropic_default_model: str | None
    gemini_default_model: str | None
    ollama_default_model: str | None
    bedrock_default_model: str | None
    grok_default_model: str | None
    providers: dict[str, ProviderSettings]
    """Further accounts, other addresses, and providers of one's own."""
    origins: dict[str, str]
    warnings: tuple[str, ...] = ()

    @property
    def ledger_file(self) -> Path:
        """The database of receipts, where it is a file."""
        return self.data_dir / "ledger.db"

    @property
    def ledger_place(self) -> Path | Secret:
        """Where receipts and money are kept: the file, or the URL of a server's database."""
        return self.database_url or self.ledger_file

    def default_models(self, provided: Mapping[str, str | None]) -> dict[str, str | None]:
        """`provided` (provider: default model) with the default models of these settings put over it."""
        mine = {
            "openai": self.openai_default_model,
            "anthropic": self.anthropic_default_model,
            "gemini": self.gemini_default_model,
            "ollama": self.ollama_default_model,
            "bedrock": self.bedrock_default_model,
            "xai": self.grok_default_model,
        }
        return {provider: mine.get(provider) or model for provider, model in provided.items()}

    def explain(self) -> tuple[tuple[str, str, str], ...]:
        """Rows of (name, value as it may be shown, origin), in the order of the settings."""
        return tuple((name, _shown(getattr(self, name)), self.origins[name]) for name in SPECS)

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value}' for name, value, origin in self.explain() if origin != 'default')})"


_LOGIN = re.compile(r"//[^/@]*@")


def _shown(value: Value) -> str:
    """A value for people: secrets and the logins in URLs masked, nothing as nothing, of mappings the names."""
    text = ", ".join(value) if isinstance(value, dict) else "" if value is None else str(value)
    return _LOGIN.sub("//***@", text)


class Context(msgspec.Struct, frozen=True):
    """What a default may depend on: the variables, and the settings before it in the table."""

    environment: Environment
    values: dict[str, Value]


class Spec(msgspec.Struct, frozen=True):
    """How one setting is read: `read` makes a value of text and the folder relative paths start from, or raises ValueError.

    `aliases` are other environment variables, looked at after the setting's own; of those, only values are taken that `meant` accepts.
    """

    read: Callable[[str, Path], Value]
    default: Callable[[Context], Value]
    aliases: tuple[str, ...] = ()
    meant: Callable[[str], bool] = bool


def _text(text: str, folder: Path) -> str:
    return text


def _path(text: str, folder: Path) -> Path:
    return (folder / Path(text).expanduser()).absolute()


def _port(text: str, folder: Path) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ValueError("must be a port from 1 to 65535")
    return int(text)


def _seconds(text: str, folder: Path) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86400:
        raise ValueError("must be a number of seconds, more than 0 and at most 86400")
    return seconds


def _url(text: str, folder: Path) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be a URL such as http://127.0.0.1:6199")
    return text.rstrip("/")


def _secret(text: str, folder: Path) -> Secret:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must not contain blanks, control or non-ASCII characters")
    return Secret(text)


def _is_database(text: str) -> bool:
    """Whether a variable that many programs read names a database of ours. Another program's SQLite or MySQL does not."""
    return text.partition("://")[0] in DATABASES


def _database(text: str, folder: Path) -> Secret:
    if not _is_database(text):
        raise ValueError("must be a URL such as postgresql://USER@HOST:5432/DATABASE?schema=headgate; unset, a SQLite file is used")
    return _secret(text, folder)


def _redis(text: str, folder: Path) -> Secret:
    if text.partition("://")[0] not in REDIS:
        raise ValueError("must be a URL such as redis://127.0.0.1:6379 or rediss://USER:PASSWORD@HOST:6379/0; unset, none is used")
    return _secret(text, folder)


def _lowered(text: str, folder: Path) -> str:
    return text.lower()


def _data_dir(context: Context) -> Path:
    home = context.environment.real.get("HOME")
    base = Path(context.environment.real.get("XDG_DATA_HOME", ""))
    if not base.is_absolute():
        base = (Path(home) if home else Path.home()) / ".local" / "share"
    return base / "headgate"


def _is(value: Value) -> Callable[[Context], Value]:
    return lambda context: value


SPECS: dict[str, Spec] = {
    "data_dir": Spec(_path, _data_dir),
    "run_dir": Spec(_path, _is(Path("runs"))),
    "gateway_host": Spec(_text, _is("127.0.0.1")),
    "gateway_port": Spec(_port, _is(6120)),
    "router_port": Spec(_port, _is(6103)),
    "registry_port": Spec(_port, _is(6121)),
    "monitor_port": Spec(_port, _is(6109)),
    "openai_adapter_port": Spec(_port, _is(8100)),
    "anthropic_adapter_port": Spec(_port, _is(8101)),
    "gemini_adapter_port": Spec(_port, _is(8102)),
    "grok_adapter_port": Spec(_port, _is(8103)),
    "sim_port": Spec(_port, _is(6199)),
    "sim_url": Spec(_url, lambda context: f"http://127.0.0.1:{context.values['sim_port']}"),
    "request_timeout": Spec(_seconds, _is(120.0)),
    "connect_timeout": Spec(_seconds, _is(10.0)),
    "proxy": Spec(_url, _is(None)),
    "ca_file": Spec(_path, _is(None), ("SSL_CERT_FILE",)),
    "key": Spec(_secret, _is(None)),
    "database_url": Spec(_database, _is(None), ("DATABASE_URL",), _is_database),
    "redis_url": Spec(_redis, _is(None)),
    "catalog_file": Spec(_path, _is(None)),
    "default_provider": Spec(_lowered, _is(None), ("GENAI_DEFAULT_PROVIDER",)),
    "openai_default_model": Spec(_text, _is(None), ("GENAI_OPENAI_DEFAULT_MODEL", "OPENAI_MODEL_NAME")),
    "anthropic_default_model": Spec(_text, _is(None), ("GENAI_ANTHROPIC_DEFAULT_MODEL", "ANTHROPIC_MODEL_NAME_MEDIUM")),
    "gemini_default_model": Spec(_text, _is(None), ("GENAI_GEMINI_DEFAULT_MODEL", "GEMINI_MODEL_NAME_MEDIUM")),
    "ollama_default_model": Spec(_text, _is(None), ("GENAI_OLLAMA_DEFAULT_MODEL",)),
    "bedrock_default_model": Spec(_text, _is(None), ("GENAI_BEDROCK_DEFAULT_MODEL",)),
    "grok_default_model": Spec(_text, _is(None), ("GROK_MODEL_NAME",)),
    "providers": Spec(read_providers, lambda context: {}),
}
"""All settings, in the order in which they are explained. The names are those of `Settings` and of ``headgate.yaml``."""
MAPPINGS = frozenset({"providers"})
"""Those that are mappings: in an environment variable as JSON."""


def load_settings(
    environment: Environment, folder: Path, flags: Mapping[str, str | None] | None = None, config_file: Path | None = None
) -> Settings:
    """The settings for a command that works in `folder`.

    `flags` are what was given on the command line, by setting name, None for what was not. `config_file` (else the variable
    HEADGATE_CONFIG, else ``headgate.yaml`` in `folder` where there is one) must exist when it is named. Raises `ConfigError` with the
    place of the value that is wrong.
    """
    path = _config_path(environment, folder, config_file)
    file = read_settings_file(path, SPECS, MAPPINGS) if path is not None else {}
    context = Context(environment, {})
    origins: dict[str, str] = {}
    for name, spec in SPECS.items():
        value, origin = _one(name, spec, context, folder, (flags or {}).get(name), file.get(name), path)
        context.values[name] = folder / value if isinstance(value, Path) else value
        origins[name] = origin
    warnings = (*environment.dotenv.warnings, *_misspelt(environment))
    return msgspec.convert({**context.values, "origins": origins, "warnings": warnings}, Settings)


def _config_path(environment: Environment, folder: Path, config_file: Path | None) -> Path | None:
    named = environment.get("HEADGATE_CONFIG")
    if config_file is not None or named is not None:
        return folder / (config_file if config_file is not None else Path(named.value if named else FILE).expanduser())
    path = folder / FILE
    return path if path.exists() else None


def _one(
    name: str, spec: Spec, context: Context, folder: Path, flag: str | None, placed: Placed | None, file: Path | None
) -> tuple[Value, str]:
    """The value of one setting and its origin, from the first place that has it."""
    if flag is not None:
        return _read(name, spec, flag, folder, f"flag --{name.replace('_', '-')}")
    for variable in (f"HEADGATE_{name.upper()}", *spec.aliases):
        found = context.environment.get(variable)
        if found is not None and (variable not in spec.aliases or spec.meant(found.value)):
            return _read(name, spec, found.value, folder, found.origin)
    if placed is not None and file is not None:
        return _read(name, spec, placed.text, file.parent, placed.where)
    return spec.default(context), "default"


def _read(name: str, spec: Spec, text: str, folder: Path, origin: str) -> tuple[Value, str]:
    try:
        return spec.read(text, folder), origin
    except ValueError as error:
        shown = "" if spec.read in (_secret, _database, _redis, read_providers) else f", not {text!r}"
        raise ConfigError(f"{name} {error}{shown}", where=origin, hint="headgate doctor") from error


def _misspelt(environment: Environment) -> list[str]:
    """Variables that look like a setting's but are none."""
    known = [f"HEADGATE_{name.upper()}" for name in SPECS]
    names = sorted({*environment.real, *environment.dotenv.values})
    found = []
    for name in names:
        if name.startswith("HEADGATE_") and name not in known:
            close = get_close_matches(name, known, n=1, cutoff=0.9)
            if close:
                found.append(f"the variable {name} is not known (did you mean {close[0]}?)")
    return found
