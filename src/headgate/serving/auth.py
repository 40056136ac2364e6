"""The one key of a gateway: where a client may put it, and how it is compared (faults H1, H5, H17, D13)."""

from __future__ import annotations

import hmac
import re
from ipaddress import ip_address

from headgate.config import Secret
from headgate.errors import ConfigError
from headgate.serving.envelopes import Refused
from headgate.serving.request import Request

KEY_HEADERS = ("authorization", "x-api-key", "x-goog-api-key")
SHORTEST = 16
_SHAPE = re.compile(r"[A-Za-z0-9._~+/=-]{1,256}", re.ASCII)
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def generate_key(random: bytes) -> Secret:
    """A key of our own form, ``hg-`` and the hexadecimal of at least 16 `random` bytes."""
    if len(random) < SHORTEST:
        raise ValueError(f"a key needs {SHORTEST} random bytes, not {len(random)}")
    return Secret(f"hg-{random.hex()}")


def check_key(key: Secret) -> Secret:
    """`key`, when it can serve. Raises `ConfigError` for one that is too short to keep anybody out, or has characters no client sends."""
    text = key.reveal()
    if len(text) < SHORTEST or not _SHAPE.fullmatch(text):
        raise ConfigError(
            f"the gateway's key (HEADGATE_KEY) must have at least {SHORTEST} characters out of letters, digits and ._~+/=-",
            hint="leave HEADGATE_KEY unset: headgate serve makes a key and prints it once",
        )
    return key


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


class KeyCheck:
    """Compares a request's key with the one there is."""

    def __init__(self, key: Secret) -> None:
        self._key = check_key(key).reveal().encode()

    def check(self, request: Request) -> None:
        """Return for the right key. Raises `Refused`: 401 for none or another one, 400 for two that differ."""
        found = {key for name in KEY_HEADERS for value in request.values(name) if (key := _key_in(name, value)) is not None}
        if len(found) > 1:
            raise Refused(400, "the request carries two different keys: send one of Authorization, x-api-key and x-goog-api-key")
        if not found:
            raise _unauthorised("no key: send it as `Authorization: Bearer KEY`, or as x-api-key")
        text = found.pop()
        if not _SHAPE.fullmatch(text) or not hmac.compare_digest(text.encode(), self._key):
            raise _unauthorised("wrong key: it is the one `headgate serve` printed, or the value of HEADGATE_KEY")


def _key_in(header: str, value: str) -> str | None:
    """The key a header carries. Another scheme than Bearer is a key that fits nowhere."""
    if header != "authorization":
        return value
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value


def _unauthorised(message: str) -> Refused:
    return Refused(401, message, code="invalid_api_key", headers=(("www-authenticate", 'Bearer realm="headgate"'),))
