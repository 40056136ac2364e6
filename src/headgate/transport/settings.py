"""Where requests go and within which bounds: `Origin` and `TransportSettings`, both plain values."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

from headgate.errors import ConfigError

DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9.])?|[0-9a-f:.]*:[0-9a-f:.]*(?:%[a-z0-9]+)?", re.ASCII)
_PATH = re.compile(r"(?:/[!-~]*)?")


class TransportSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of an `HttpClient`. Times are seconds, sizes bytes; connection counts are per origin."""

    connect_timeout: float = 5.0
    """Name lookup, TCP, proxy and TLS together."""
    total_timeout: float = 120.0
    """A whole reply, from the call to its last byte. An upload without a timeout of its own starts this clock when it is sent."""
    first_byte_timeout: float = 120.0
    """A stream's or download's response head."""
    first_event_timeout: float = 120.0
    """From the head to the first byte of a stream's body: a model may think before it speaks."""
    idle_timeout: float = 60.0
    """Silence between two reads of a body, or an upload that makes no progress."""
    stream_timeout: float = 1800.0
    """A whole stream, keep-alive pings or not."""
    download_timeout: float = 3600.0
    pool_timeout: float = 30.0
    """The wait for a free connection."""
    drain_timeout: float = 1.0
    """How long a stream that said all it had to say may take to end its body, so that its connection can be used again."""
    stale_window: float = 2.0
    """A reused connection that dies unanswered this soon after a request was already closed by the server: ask again, once."""
    idle_expiry: float = 30.0
    max_connections: int = 256
    max_idle: int = 64
    max_waiting: int = 4096
    max_body: int = 64 << 20
    max_header_bytes: int = 64 << 10
    max_informational: int = 8
    high_water: int = 256 << 10
    """Unread body bytes at which reading from the socket pauses."""
    user_agent: str = "headgate"


class Origin(msgspec.Struct, frozen=True, cache_hash=True):
    """One server: address, path prefix, and what the way to it needs.

    `base_path` is empty or starts with ``/`` and has no ``/`` at its end. `allow_private` lets the host resolve to a loopback, private,
    link-local or metadata address. `proxy` is an ``http://[user:password@]host:port`` URL; no proxy is taken from the environment.
    `ca_file` replaces the system's certificate authorities (which honour ``SSL_CERT_FILE``).
    """

    scheme: str
    host: str
    port: int
    base_path: str = ""
    allow_private: bool = False
    proxy: str | None = None
    ca_file: str | None = None

    @property
    def authority(self) -> str:
        """The Host header: no port when it is the scheme's own."""
        host = bracketed(self.host)
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{self.scheme}://{self.authority}{self.base_path}"


def parse_origin(url: str, *, allow_private: bool = False, proxy: str | None = None, ca_file: str | None = None) -> Origin:
    """The `Origin` of a base URL such as ``https://api.openai.com/v1``.

    Raises `ConfigError` for another scheme, user info, a query, a fragment or characters that parsers disagree on.
    """
    scheme, host, port, path, userinfo = split_url(url)
    if userinfo is not None:
        raise ConfigError(f"base URL may not carry user info: {scheme}://…@{host}", hint="put the key into its own setting")
    if proxy is not None:
        parse_proxy(proxy)
    return Origin(scheme, host, port, path.rstrip("/"), allow_private, proxy, ca_file)


class Proxy(msgspec.Struct, frozen=True):
    """A parsed `Origin.proxy`; `userinfo` is ``user:password``, percent-encoded, or None."""

    host: str
    port: int
    userinfo: str | None = None


def parse_proxy(url: str) -> Proxy:
    """The proxy of an ``http://`` URL. Raises `ConfigError` for any other scheme or a path."""
    scheme, host, port, path, userinfo = split_url(url)
    if scheme != "http" or path not in ("", "/"):
        raise ConfigError(
            f"proxy must be http://host:port, not {scheme}://{host}:{port}{path}", hint="example: proxy: http://10.0.0.8:3128"
        )
    return Proxy(host, port, userinfo)


def split_url(url: str) -> tuple[str, str, int, str, str | None]:
    """(scheme, lower-case host, port, path, user info or None) of an http or https URL. Raises `ConfigError` (never showing user info)."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError as error:
        raise ConfigError(f"not a URL: {error}", hint="example: https://api.example.com/v1") from error
    userinfo = parts.netloc.rpartition("@")[0] if "@" in parts.netloc else None
    if parts.scheme not in DEFAULT_PORTS:
        raise ConfigError(f"URL must begin with http:// or https://, not {parts.scheme!r}", hint="example: https://api.example.com/v1")
    if not _HOST.fullmatch(host):
        raise ConfigError(f"invalid host in URL: {host!r}", hint="example: https://api.example.com/v1")
    if not _PATH.fullmatch(parts.path) or "\\" in url or parts.query or parts.fragment or any(ord(c) < 33 for c in url):
        raise ConfigError(f"base URL may hold only scheme, host, port and path: host {host!r}", hint="example: https://api.example.com/v1")
    return parts.scheme, host, port if port is not None else DEFAULT_PORTS[parts.scheme], parts.path, userinfo


def bracketed(host: str) -> str:
    """An IPv6 literal in brackets, any other host as it is."""
    return f"[{host}]" if ":" in host else host
