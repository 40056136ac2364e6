"""Where a PostgreSQL database is: its URL, the schema our tables are in, and how it is named in messages."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import parse_qsl, quote, urlencode

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from headgate.errors import ConfigError
from headgate.store.connection import Url

SCHEMES = frozenset({"postgresql", "postgres"})
SCHEMA = "headgate"
"""The schema when the URL names none."""
EXAMPLE = "postgresql://USER@HOST:5432/DATABASE?schema=headgate"
_PORTS = re.compile(r"[0-9,]*")
_MISPLACED = frozenset("@/:")
"""What stands in the name of a database when a password with such a character was not written as %XX."""
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")

DEFAULTS: dict[str, str] = {
    "application_name": "headgate",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "client_encoding": "utf8",
}
"""Parameters of libpq (its manual, "Parameter Key Words") that a URL may set otherwise. A server that fell silent is given up soon."""


class Address(msgspec.Struct, frozen=True):
    """`conninfo` is libpq's and holds the password; `shown` is for messages and does not. `schema` is a name that needs no quotes."""

    conninfo: str
    schema: str
    shown: str

    def __repr__(self) -> str:
        return f"Address({self.shown})"

    @property
    def key(self) -> str:
        """What two openings of the same place share."""
        return f"{self.conninfo} {self.schema}"

    @property
    def lock(self) -> int:
        """The number of the advisory lock that writers of this schema take turns by."""
        return int.from_bytes(hashlib.sha256(f"headgate/{self.schema}".encode()).digest()[:8], "big", signed=True)


def parse_address(url: Url) -> Address:
    """The address of a URL. Raises `ConfigError`, which does not repeat it, as it may hold a password."""
    base, _, query = url.reveal().partition("?")
    if base.partition("://")[0] not in SCHEMES:
        raise ConfigError(f"the database has a URL of an unknown kind; supported is {EXAMPLE}", hint="headgate doctor")
    pairs = parse_qsl(query, keep_blank_values=True)
    schema = next((value for name, value in pairs if name == "schema"), SCHEMA)
    if not _NAME.fullmatch(schema):
        raise ConfigError("the schema of the database's URL must be lower-case letters, digits and _", hint=f"such as {EXAMPLE}")
    others = urlencode([pair for pair in pairs if pair[0] != "schema"], quote_via=quote)
    given = _parameters(f"{base}?{others}" if others else base)
    host, port, name = (given.get(key) or default for key, default in (("host", "localhost"), ("port", "5432"), ("dbname", "")))
    conninfo = make_conninfo("", **{**DEFAULTS, **given})
    return Address(conninfo, schema, f"postgresql://{host}:{port}/{name} (schema {schema})")


def _parameters(url: str) -> dict[str, str]:
    try:
        found = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        found = None  # its text may repeat parts of the password
    if found is None or not _PORTS.fullmatch(str(found.get("port") or "")) or _MISPLACED & set(str(found.get("dbname") or "")):
        raise ConfigError(f"the database's URL cannot be read; it looks like {EXAMPLE}", hint="write special characters as %XX in it")
    return {name: str(value) for name, value in found.items() if value is not None}
