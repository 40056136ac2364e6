"""Request heads: rendered in one go, refused before sending when a caller's value could break the framing."""

from __future__ import annotations

import re
from base64 import b64encode
from urllib.parse import unquote

from headgate.errors import ConfigError, WireError
from headgate.transport.settings import DEFAULT_PORTS, Origin, parse_proxy, split_url
from headgate.wire.http import Headers

OWN_HEADERS = frozenset(
    [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "accept-encoding",
        "expect",
        "te",
        "trailer",
        "upgrade",
    ]
)
"""Headers that belong to the connection; a caller may not set them."""

_STEPS_SOMEWHERE = re.compile(r"[./]\.|%2[eE]")
_STEPS = re.compile(r"(?:[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?=[/\\#]|%2f|%5c|$)", re.IGNORECASE)
"""A dot segment, also where it shows only once a server has decoded the path: what a model's name may never smuggle in."""
_METHOD = re.compile(r"[A-Z]+")
_TARGET = re.compile(r"[!-~]+")
_BLOCK = re.compile(r"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t -~\x80-\xff]*\r\n)*")
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


class HeadRenderer:
    """Renders the request heads of one origin; what never changes is prepared once."""

    __slots__ = ("_agent", "_fixed", "_origin", "_prefix")

    def __init__(self, origin: Origin, user_agent: str) -> None:
        self._origin = origin
        self._prefix = ""
        self._fixed = f"Host: {origin.authority}\r\nAccept-Encoding: identity\r\n"
        self._agent = f"User-Agent: {user_agent}\r\n"
        if origin.proxy is not None and origin.scheme == "http":
            self._prefix = f"http://{origin.authority}"
            self._fixed += proxy_authorization(origin.proxy)

    def render(self, method: str, path: str, headers: Headers, length: int | None) -> bytes:
        """The head for `path`; `length` is the body's, None for no body. Raises `WireError` (local) for what may not be sent."""
        target = self._prefix + self.target(path)
        if _STEPS_SOMEWHERE.search(target) and _STEPS.search(target.partition("?")[0]):
            raise WireError(f"refused: the path {path!r} has a step to another place (. or ..) in it", fault="local")
        if not _METHOD.fullmatch(method) or not _TARGET.fullmatch(target):
            raise WireError(f"not a valid request line: {method!r} {path!r}", fault="local")
        block, named = _header_block(headers)
        agent = "" if named else self._agent
        size = f"Content-Length: {length or 0}\r\n" if length or method in _BODY_METHODS else ""
        return f"{method} {target} HTTP/1.1\r\n{self._fixed}{agent}{block}{size}\r\n".encode("latin-1")

    def target(self, path: str) -> str:
        """The request target. An absolute URL (a provider's answer may name one) must lie at this very origin."""
        if path.startswith("/"):
            return self._origin.base_path + path
        query = ""
        url = path
        if "?" in path:
            url, _, query = path.partition("?")
            query = f"?{query}"
        try:
            scheme, host, port, rest, userinfo = split_url(url)
        except ConfigError as error:
            raise WireError(f"a request path must start with / or be a URL of this provider: {url!r}", fault="local") from error
        origin = self._origin
        if userinfo is not None or (scheme, host, port) != (origin.scheme, origin.host, origin.port):
            raise WireError(f"refused: {scheme}://{host}:{port} is not the provider's own origin, {origin.scheme}://{origin.authority}")
        return (rest or "/") + query


def _header_block(headers: Headers) -> tuple[str, bool]:
    """(header lines, whether User-Agent is among them), or `WireError` for a name or value that breaks the framing."""
    lines = []
    named = False
    for name, value in headers:
        lowered = name.lower()
        if lowered in OWN_HEADERS:
            raise WireError(f"the header {name!r} is set by the transport itself", fault="local")
        named = named or lowered == "user-agent"
        lines.append(f"{name}: {value}\r\n")
    block = "".join(lines)
    if not _BLOCK.fullmatch(block) or block.count("\n") != len(lines):
        bad = next(name for name, value in headers if not _BLOCK.fullmatch(f"{name}: {value}\r\n") or "\n" in value)
        raise WireError(f"the header {bad!r} has a name or value that may not be sent (control or non-Latin-1 characters)", fault="local")
    return block, named


def proxy_authorization(proxy: str) -> str:
    """The Proxy-Authorization line for a proxy URL with user info, else nothing."""
    userinfo = parse_proxy(proxy).userinfo
    if userinfo is None:
        return ""
    return f"Proxy-Authorization: Basic {b64encode(unquote(userinfo).encode()).decode()}\r\n"


def connect_head(origin: Origin) -> bytes:
    """The CONNECT request that opens a tunnel to `origin` through its proxy."""
    address = origin.authority if origin.port != DEFAULT_PORTS[origin.scheme] else f"{origin.authority}:{origin.port}"
    credentials = proxy_authorization(origin.proxy) if origin.proxy is not None else ""
    return f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n{credentials}\r\n".encode("latin-1")
