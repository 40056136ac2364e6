"""A provider is data: an address, how to authenticate, and which dialects it speaks there."""

from __future__ import annotations

import msgspec

from headgate.dialects.base import ChatDialect
from headgate.dialects.batch import BatchDialect
from headgate.wire.http import Headers

PROVIDER_API = 1
"""Version of this record's shape."""


class Auth(msgspec.Struct, frozen=True, kw_only=True):
    """How a call is authenticated: `header` carries `prefix` plus the key.

    `env` lists the variables a key is looked for in, first match wins. `shape` is what real keys begin with (a warning, never a refusal).
    `default` is a key that needs no secrecy, for providers that are simulated.
    """

    header: str
    prefix: str = ""
    env: tuple[str, ...] = ()
    shape: str | None = None
    default: str | None = None

    def headers(self, key: str) -> Headers:
        """The header pair for `key`."""
        return ((self.header, self.prefix + key),)


class Polling(msgspec.Struct, frozen=True):
    """Seconds between two looks at a batch: from `first`, growing by half each time, to at most `longest`."""

    first: float = 5.0
    longest: float = 120.0


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One provider.

    `base_url` is what dialect paths are appended to. When `base_url_env` is set, that variable (a setting of the same name) replaces
    scheme, host and port, and `base_path` is appended. `batch_endpoint` is the endpoint named in rows of a batch ("{model}" is filled in).
    `max_age` is how many seconds a batch may stay open before it is cancelled and salvaged.
    """

    name: str
    label: str
    base_url: str
    chat: ChatDialect
    auth: Auth
    batch: BatchDialect | None = None
    batch_endpoint: str = ""
    polling: Polling = Polling()
    max_age: float = 26 * 3600.0
    headers: Headers = ()
    default_model: str | None = None
    base_url_env: str | None = None
    base_path: str = ""
    allow_private: bool = False
    simulated: bool = False
