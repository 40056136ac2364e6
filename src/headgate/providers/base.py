"""A provider is data: an address, how to authenticate, and which dialects it speaks there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from headgate.dialects.base import ChatDialect
from headgate.dialects.batch import BatchDialect
from headgate.dialects.counting import CountDialect
from headgate.dialects.embed import EmbedDialect
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.wire.http import Headers

PROVIDER_API = 1
"""Version of this record's shape."""


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it is about to leave, for those who sign it.

    `path` is the whole path with its query, `body` None when it is streamed and cannot be hashed beforehand, `at` seconds since the
    epoch. `variables` are those of the provider; `service` is the key of the host the call goes to ("" for the provider's own).
    """

    method: str
    host: str
    path: str
    headers: Headers
    body: bytes | None
    at: float
    variables: Mapping[str, str]
    service: str = ""


Signer: TypeAlias = Callable[[str, Outgoing], Headers]
"""From a key and a call to the headers that authenticate it."""
Route: TypeAlias = Callable[[str, str, Mapping[str, str]], str]
"""From a dialect's path, the model and the provider's variables to the path this provider wants."""
Serves: TypeAlias = Callable[[str, str], bool]
"""Whether the wire of this name serves this model."""


class Auth(msgspec.Struct, frozen=True, kw_only=True):
    """How a call is authenticated: `header` carries `prefix` plus the key, or `sign` makes the headers from the call itself.

    `env` lists the variables a key is looked for in, first match wins. `parts` are variables that make up one key together, joined by
    colons (an optional last one ends in "?"); they are looked for after `env`. `shape` is what real keys begin with (a warning, never a
    refusal). `default` is a key that needs no secrecy, for providers that are simulated; `optional` providers serve without any key.
    """

    header: str
    prefix: str = ""
    env: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    shape: str | None = None
    default: str | None = None
    optional: bool = False
    sign: Signer | None = None

    def headers(self, key: str, call: Outgoing | None = None) -> Headers:
        """The headers for `key`: none without a key. A signer needs the `call`."""
        if not key:
            return ()
        if self.sign is not None and call is not None:
            return self.sign(key, call)
        return ((self.header, self.prefix + key),)


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the address that differs from user to user, written ``{name}`` in URLs and paths.

    Looked for in the provider's settings, then in the variables `env`, then `default`; without any the provider cannot be used.
    """

    name: str
    env: tuple[str, ...] = ()
    default: str | None = None
    example: str = ""


class Polling(msgspec.Struct, frozen=True):
    """Seconds between two looks at a batch: from `first`, growing by half each time, to at most `longest`."""

    first: float = 5.0
    longest: float = 120.0


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One provider.

    `chat` is the wire its models are asked in unless a card says otherwise, `surfaces` are further chat wires it speaks, `embed` is that
    of its embeddings, `count` the one it counts tokens in. `base_url` is what dialect paths are appended to; `variables` fill the braces
    in it. `url_env` lists variables that replace `base_url` as a whole. When `base_url_env` is set, that variable (a setting of the same
    name) replaces scheme, host and port, and `base_path` is appended. `hosts` are further addresses that flows name by their keys.
    `route` rewrites the paths of dialects; `serves` says which models are served on which wire, where not all are on all.

    `batch_endpoint` is the endpoint named in rows of a batch ("{model}" is filled in), `batch_variables` are those of the variables that
    only batches need. `max_age` is how many seconds a batch may stay
    open before it is cancelled and salvaged. `capabilities` are assumed of models without a card. `api` is the version of
    this record that it was written for.
    """

    name: str
    label: str
    base_url: str
    chat: ChatDialect
    auth: Auth
    surfaces: tuple[ChatDialect, ...] = ()
    embed: EmbedDialect | None = None
    count: CountDialect | None = None
    batch: BatchDialect | None = None
    batch_endpoint: str = ""
    batch_variables: tuple[str, ...] = ()
    polling: Polling = Polling()
    max_age: float = 26 * 3600.0
    headers: Headers = ()
    default_model: str | None = None
    variables: tuple[Variable, ...] = ()
    url_env: tuple[str, ...] = ()
    base_url_env: str | None = None
    base_path: str = ""
    hosts: tuple[tuple[str, str], ...] = ()
    route: Route | None = None
    serves: Serves | None = None
    capabilities: Capabilities = ANY_MODEL
    allow_private: bool = False
    simulated: bool = False
    api: int = PROVIDER_API

    @property
    def dialects(self) -> tuple[ChatDialect, ...]:
        """Every chat wire it speaks, the usual one first."""
        return (self.chat, *self.surfaces)

    def carries(self, name: str, model: str) -> ChatDialect | None:
        """The chat wire on which it serves `model` and that carries requests of the wire `name` without loss."""
        found = (dialect for dialect in self.dialects if name in (dialect.name, dialect.reads))
        return next((dialect for dialect in found if self.serves is None or self.serves(dialect.name, model)), None)

    def speaks(self, name: str) -> ChatDialect | None:
        """Its chat wire of that name."""
        return next((dialect for dialect in self.dialects if dialect.name == name), None)
