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
from headgate.config.gate_settings import AlertSettings, BudgetSettings, CacheSettings, GatewaySettings, LimitSettings
from headgate.config.provider_settings import ProviderSettings
from headgate.config.route_settings import RouteSettings, RoutingSettings
from headgate.config.secret import Secret
from headgate.config.sections import SECTIONS, check_names, json_node, read_section
from headgate.config.shapes import Reading, unknown_key
from headgate.config.spine import VARIABLES
from headgate.config.tree import Branch, Leaf, Node, read_tree, substituted
from headgate.errors import ConfigError
from headgate.wire.json import JsonObject

Value: TypeAlias = str | int | float | Path | Secret | None
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
    admin_key: Secret | None
    """A key that administers the gateway and calls no model."""
    pepper: Secret | None
    """Under which virtual keys are kept; a file of the data folder when unset."""
    database_url: Secret | None
    """A PostgreSQL database for the ledger, in place of a file in the data folder."""
    synchronous: str
    """Whether a commit of the ledger waits for the disk ("FULL"), or survives the end of the process alone ("NORMAL")."""
    redis_url: Secret | None
    """A Redis server that passes shares of rate limits between processes faster."""
    catalog_file: Path | None
    """Model cards and prices of one's own, over those that are shipped."""
    receipt_dir: Path | None
    """Where receipts are also written as JSON lines, a file for each run."""
    default_provider: str | None
    confirm_over: float
    """Dollars that a run may cost before `headgate run` asks."""
    routing_log: Path | None
    """Where routing decisions are noted down, for `headgate route simulate`."""
    providers: dict[str, ProviderSettings]
    """Further accounts, other addresses, and providers of one's own."""
    aliases: dict[str, str]
    """Names of one's own for models and routes."""
    routes: dict[str, RouteSettings]
    """Names that several deployments answer to."""
    routing: RoutingSettings
    budgets: tuple[BudgetSettings, ...]
    limits: tuple[LimitSettings, ...]
    alerts: AlertSettings
    cache: CacheSettings | None
    """None: no answer is kept."""
    gateway: GatewaySettings
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

    def explain(self) -> tuple[tuple[str, str, str], ...]:
        """Rows of (name, value as it may be shown, origin), in the order of the settings."""
        return tuple((name, shown(getattr(self, name)), self.origins[name]) for name in NAMES)

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value}' for name, value, origin in self.explain() if origin != 'default')})"


_NUMBER = re.compile(r"[0-9]{1,6}(?:\.[0-9]{0,9})?")
_LOGIN = re.compile(r"//[^/@]*@")


def shown(value: object) -> str:
    """A value for people: secrets and the logins in URLs masked, nothing as nothing, of mappings the names, of lists how many."""
    if isinstance(value, tuple):
        return f"{len(value)} entries" if value else ""
    if isinstance(value, msgspec.Struct):
        return ", ".join(name for name in value.__struct_fields__ if getattr(value, name) not in (None, {}))
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
    seconds = float(text) if _NUMBER.fullmatch(text) else 0.0
    if not 0 < seconds <= 86400:
        raise ValueError("must be a number of seconds, more than 0 and at most 86400")
    return seconds


def _dollars(text: str, folder: Path) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError("must be an amount of dollars, such as 2.50")
    return float(text)


def _url(text: str, folder: Path) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
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


def _synchronous(text: str, folder: Path) -> str:
    if text.upper() not in SYNCHRONOUS:
        raise ValueError("must be normal (a commit survives the end of the process) or full (also a power cut, and takes longer)")
    return text.upper()


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


_ANY_TEXT: JsonObject = {"type": ["string", "number"]}
SYNCHRONOUS = frozenset({"NORMAL", "FULL"})
_DIGITS: JsonObject = {"type": "string", "pattern": r"^[0-9]+$"}
READERS: dict[Callable[[str, Path], Value], JsonObject] = {
    _text: _ANY_TEXT,
    _path: _ANY_TEXT,
    _lowered: _ANY_TEXT,
    _secret: {"type": ["string", "number"], "pattern": "^[!-~]*$"},
    _port: {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, _DIGITS]},
    _seconds: {
        "anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 86400}, {"type": "string", "pattern": f"^{_NUMBER.pattern}$"}]
    },
    _dollars: {"anyOf": [{"type": "number", "minimum": 0, "maximum": 999_999}, {"type": "string", "pattern": f"^{_NUMBER.pattern}$"}]},
    _database: {"type": "string", "pattern": "^[a-zA-Z]+://"},
    _synchronous: {"enum": ["normal", "full", "NORMAL", "FULL"]},
    _redis: {"type": "string", "pattern": "^rediss?://"},
    _url: {"type": "string", "pattern": "^[hH][tT][tT][pP][sS]?://"},
}
"""What each reader takes, as JSON Schema."""
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
    "admin_key": Spec(_secret, _is(None)),
    "pepper": Spec(_secret, _is(None)),
    "database_url": Spec(_database, _is(None), ("DATABASE_URL",), _is_database),
    "synchronous": Spec(_synchronous, _is("NORMAL")),
    "redis_url": Spec(_redis, _is(None)),
    "catalog_file": Spec(_path, _is(None)),
    "receipt_dir": Spec(_path, _is(None)),
    "default_provider": Spec(_lowered, _is(None), ("GENAI_DEFAULT_PROVIDER",)),
    "confirm_over": Spec(_dollars, _is(1.0)),
    "routing_log": Spec(_path, _is(None)),
}
"""The settings that are single values, in the order in which they are explained. The names are those of `Settings` and of
``headgate.yaml``."""
NAMES = (*SPECS, *SECTIONS)
"""All settings. Sections can be given in an environment variable too, as JSON."""


def load_settings(
    environment: Environment, folder: Path, flags: Mapping[str, str | None] | None = None, config_file: Path | None = None
) -> Settings:
    """The settings for a command that works in `folder`.

    `flags` are what was given on the command line, by setting name, None for what was not. `config_file` (else the variable
    HEADGATE_CONFIG, else ``headgate.yaml`` in `folder` where there is one) must exist when it is named. Raises `ConfigError` with the
    place of the value that is wrong.
    """
    path = settings_file(environment, folder, config_file)
    file = {} if path is None else _file_settings(path)
    context = Context(environment, {})
    origins: dict[str, str] = {}
    for name, spec in SPECS.items():
        value, origin = _one(name, spec, context, folder, (flags or {}).get(name), file.get(name), path)
        context.values[name] = folder / value if isinstance(value, Path) else value
        origins[name] = origin
    sections = _sections(environment, folder, file, path, origins)
    warnings = (*environment.dotenv.warnings, *_misspelt(environment))
    settings = msgspec.convert({**context.values, **sections, "origins": origins, "warnings": warnings}, Settings)
    check_names(settings.aliases, settings.routes, origins)
    return settings


def _file_settings(path: Path) -> dict[str, Node]:
    """The nodes of a settings file by name, nulls left out. Raises `ConfigError` for a name that is none."""
    root = read_tree(path)
    if root is None:
        return {}
    if not isinstance(root, Branch):
        raise ConfigError("must be a mapping of settings, such as `gateway_port: 6120`", where=root.where)
    for name, (where, _) in root.entries.items():
        if name not in NAMES:
            raise unknown_key(name, dict.fromkeys(NAMES), "", where)
    return {name: node for name, (_, node) in root.entries.items() if not (isinstance(node, Leaf) and node.kind == "null")}


def _sections(
    environment: Environment, folder: Path, file: Mapping[str, Node], path: Path | None, origins: dict[str, str]
) -> dict[str, object]:
    """The sections, each from its variable, else the file; `origins` learns where every value in them came from."""
    values: dict[str, object] = {}
    for name in SECTIONS:
        found = environment.get(f"HEADGATE_{name.upper()}")
        node = file.get(name) if found is None else json_node(found.value, found.origin)
        start = path.parent if path is not None and found is None else folder
        values[name] = read_section(name, node, Reading(start, environment, origins))
        origins.setdefault(name, "default")
    return values


def settings_file(environment: Environment, folder: Path, config_file: Path | None = None) -> Path | None:
    """The settings file: the one that is named, else ``headgate.yaml`` in `folder` where there is one."""
    named = environment.get("HEADGATE_CONFIG")
    if config_file is not None or named is not None:
        return folder / (config_file if config_file is not None else Path(named.value if named else FILE).expanduser())
    path = folder / FILE
    return path if path.exists() else None


def _one(
    name: str, spec: Spec, context: Context, folder: Path, flag: str | None, node: Node | None, file: Path | None
) -> tuple[Value, str]:
    """The value of one setting and its origin, from the first place that has it."""
    if flag is not None:
        return _read(name, spec, flag, folder, f"flag --{name.replace('_', '-')}")
    for variable in (f"HEADGATE_{name.upper()}", *spec.aliases):
        found = context.environment.get(variable)
        if found is not None and (variable not in spec.aliases or spec.meant(found.value)):
            return _read(name, spec, found.value, folder, found.origin)
    if node is not None and file is not None:
        return _read(name, spec, _single(name, node, context.environment), file.parent, node.where)
    return spec.default(context), "default"


def _single(name: str, node: Node, environment: Environment) -> str:
    """The text of a single value of the file, with variables put in."""
    if not isinstance(node, Leaf) or node.kind == "bool":
        raise ConfigError(f"{name} must be a text or a number", where=node.where)

    def value_of(variable: str) -> str | None:
        found = environment.get(variable)
        return None if found is None else found.value

    filled = substituted(node, value_of)
    assert isinstance(filled, Leaf)
    return filled.text


def _read(name: str, spec: Spec, text: str, folder: Path, origin: str) -> tuple[Value, str]:
    try:
        return spec.read(text, folder), origin
    except ValueError as error:
        shown = "" if spec.read in (_secret, _database, _redis) else f", not {text!r}"
        raise ConfigError(f"{name} {error}{shown}", where=origin, hint="headgate doctor") from error


def _misspelt(environment: Environment) -> list[str]:
    """Variables that look like a setting's but are none."""
    known = [*(f"HEADGATE_{name.upper()}" for name in NAMES), *(name for name in VARIABLES if name.startswith("HEADGATE_"))]
    names = sorted({*environment.real, *environment.dotenv.values})
    found = []
    for name in names:
        if name.startswith("HEADGATE_") and name not in known:
            close = get_close_matches(name, known, n=1, cutoff=0.9)
            if close:
                found.append(f"the variable {name} is not known (did you mean {close[0]}?)")
    return found
