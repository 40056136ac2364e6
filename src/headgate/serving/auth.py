"""Who asks: where a client may put its key, who is let in without one, and what a bearer may do (faults H7, H17, D13)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Literal, Protocol, TypeAlias
from urllib.parse import unquote

import msgspec

from headgate.config import Secret
from headgate.errors import ConfigError
from headgate.ledger.keys import SCOPES
from headgate.ledger.principal import CALLER, Principal, Scope
from headgate.ledger.rights import ADMIN, permits
from headgate.serving.envelopes import Refused
from headgate.serving.ingress import check_origin
from headgate.serving.key_ring import CHALLENGE, KeyRing
from headgate.serving.request import Request

Access: TypeAlias = Scope | Literal["any"] | None
"""What a route asks for: a scope, any good key, or nothing at all."""
ACCESSES: frozenset[Access] = frozenset({*SCOPES, "any", None})

KEY_HEADERS = ("authorization", "x-api-key", "x-goog-api-key")
QUERY_KEY_HEADER = "x-goog-api-key"
"""The header that says the same as a key in a query."""
SHORTEST = 16
_SHAPE = re.compile(r"[A-Za-z0-9._~+/=-]{1,256}", re.ASCII)
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def generate_key(random: bytes) -> Secret:
    """A key of our own form, ``hg-`` and the hexadecimal of at least 16 `random` bytes."""
    if len(random) < SHORTEST:
        raise ValueError(f"a key needs {SHORTEST} random bytes, not {len(random)}")
    return Secret(f"hg-{random.hex()}")


def check_key(key: Secret, variable: str = "HEADGATE_KEY") -> Secret:
    """`key`, when it can serve. Raises `ConfigError` for one that is too short to keep anybody out, or has characters no client sends."""
    text = key.reveal()
    if len(text) < SHORTEST or not _SHAPE.fullmatch(text):
        hints = {"HEADGATE_KEY": "leave HEADGATE_KEY unset: headgate serve makes a key and prints it once"}
        raise ConfigError(
            f"the gateway's key ({variable}) must have at least {SHORTEST} characters out of letters, digits and ._~+/=-",
            hint=hints.get(variable, "openssl rand -hex 24"),
        )
    return key


def fixed_keys(key: Secret | None, admin: Secret | None) -> tuple[tuple[Secret, Principal], ...]:
    """The keys of the settings with their bearers: one that calls models, one that administers.

    Raises `ConfigError` for one that cannot serve, and when both are the same: an administrator's key must not call models (faults E4).
    """
    if key is not None and key == admin:
        raise ConfigError("HEADGATE_KEY and HEADGATE_ADMIN_KEY are the same key", hint="openssl rand -hex 24")
    calling = () if key is None else ((check_key(key), CALLER),)
    return calling if admin is None else (*calling, (check_key(admin, "HEADGATE_ADMIN_KEY"), ADMIN))


def is_loopback(host: str) -> bool:
    """Whether an address to bind to can be reached from this machine only."""
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_binding(host: str, *, authenticated: bool) -> None:
    """Refuse to let strangers spend money: off loopback there must be a key. Raises `ConfigError`."""
    if not authenticated and not is_loopback(host):
        raise ConfigError(
            f"without a key the gateway may listen on loopback only, not on {host}",
            hint="leave out --no-auth, or bind to 127.0.0.1",
        )


def allowed_hosts(host: str) -> frozenset[str] | None:
    """The names a Host header may carry when the server is bound to `host`; None: any, because others know this machine by other names."""
    return _LOOPBACK_NAMES | {host.strip("[]")} if is_loopback(host) else None


class Authenticator(Protocol):
    """Says who asks."""

    async def principal(self, request: Request) -> Principal:
        """The bearer. Raises `Refused`: 401 for nobody that is known, 400 for two at once, 429 after too many wrong keys, 503."""
        ...


class KeyDoor:
    """Lets in who has a key of the ring."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    async def principal(self, request: Request) -> Principal:
        """See `Authenticator`."""
        raw = presented(request)
        return self._ring.find(raw) or await self._ring.load(raw, request.client)


class OpenDoor:
    """Lets everybody in as `CALLER`, but for web pages of other sites than `hosts`; what keys say is not read."""

    def __init__(self, hosts: frozenset[str] | None) -> None:
        self._hosts = hosts

    async def principal(self, request: Request) -> Principal:
        """See `Authenticator`. Raises `Refused` (403) for a request that another site's page makes."""
        check_origin(request, self._hosts)
        return CALLER


def check_access(principal: Principal, access: Access) -> None:
    """Raises `Refused` (403) unless the bearer has what a route asks for."""
    if access is not None and access != "any" and not permits(principal, access):
        raise forbidden(f"this key may not do that: it needs the scope {access}")


def forbidden(message: str) -> Refused:
    """The refusal (403) of what this bearer may not do."""
    return Refused(403, message, code="forbidden")


def presented(request: Request) -> bytes:
    """The key a request carries, wherever it is. Raises `Refused`: 401 for none, 400 for two that differ (faults D13)."""
    found = {key for name in KEY_HEADERS for value in request.values(name) if (key := _key_in(name, value)) is not None}
    if len(found) > 1:
        raise Refused(400, "the request carries two different keys: send one of Authorization, x-api-key and x-goog-api-key")
    if not found:
        raise Refused(401, "no key: send it as `Authorization: Bearer KEY`, or as x-api-key", code="invalid_api_key", headers=CHALLENGE)
    return found.pop().encode("latin-1", "replace")


def moved_key(request: Request, parameter: str) -> Request:
    """The request with the key of its query in a header, for clients of a wire that has it there: nobody sees it in the query any more."""
    if not parameter or f"{parameter}=" not in request.query:
        return request
    pairs = [pair.partition("=") for pair in request.query.split("&")]
    keys = tuple((QUERY_KEY_HEADER, unquote(value, "latin-1")) for name, _, value in pairs if name == parameter)
    kept = "&".join(f"{name}{sign}{value}" for name, sign, value in pairs if name != parameter)
    return msgspec.structs.replace(request, headers=(*request.headers, *keys), query=kept)


def plain_key(fields: Mapping[str, bytes]) -> bytes | None:
    """The key in an ordinary request's headers, as `serving.fields` has them; None for none, for several, and for another scheme."""
    given = [name for name in KEY_HEADERS if name in fields]
    if len(given) != 1:
        return None
    value = fields[given[0]]
    if given[0] != "authorization":
        return value
    return value[7:].strip() if value[:7].lower() == b"bearer " else None


def _key_in(header: str, value: str) -> str | None:
    """The key a header carries. Another scheme than Bearer is a key that fits nowhere."""
    if header != "authorization":
        return value
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value
