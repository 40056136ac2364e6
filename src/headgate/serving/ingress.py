"""What is checked of every request before anybody looks at it (faults D11, D12, H14): pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from headgate.serving.envelopes import Refused
from headgate.serving.request import Request
from headgate.wire.http import Headers

_SINGLE = ("host", "content-length", "content-type", "content-encoding", "authorization", "x-api-key", "x-goog-api-key")
_GUARDED = frozenset({*_SINGLE, "transfer-encoding", "connection", "origin"})
_GUARDED_PREFIXES = ("x-headgate-", "anthropic-")
_HOST = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>\d{1,5}))?", re.ASCII)


def clean_headers(headers: Headers) -> Headers:
    """The headers without those whose names contain an underscore. Raises `Refused` for one that imitates a header of consequence.

    Servers in front of us may read ``X_Api_Key`` as ``X-Api-Key``: one request, two meanings.
    """
    if not any("_" in name for name, _ in headers):
        return headers
    for name, _ in headers:
        dashed = name.replace("_", "-")
        if "_" in name and (dashed in _GUARDED or dashed.startswith(_GUARDED_PREFIXES)):
            raise Refused(400, f"the header {name} is not accepted: write {dashed}")
    return tuple(pair for pair in headers if "_" not in pair[0])


def check_headers(request: Request, hosts: frozenset[str] | None) -> None:
    """Raises `Refused`: 400 for a header that may come once and comes twice, or a bad Host; 403 for a Host that is not in `hosts`."""
    for name in _SINGLE:
        if len(request.values(name)) > 1:
            raise Refused(400, f"the header {name} came more than once")
    check_host(request.header("host"), hosts)


def check_host(header: str | None, hosts: frozenset[str] | None) -> None:
    """Raises `Refused`: 400 for what is no Host header, 403 for a name that is not in `hosts`."""
    host = _host_name(header)
    if hosts is not None and host not in hosts:
        raise Refused(403, f"this server does not answer to the name {host!r}", code="host_not_allowed", hint="use http://127.0.0.1")


def check_encoding(request: Request) -> None:
    """Raises `Refused` (415) for a compressed body: it would have to be unpacked before its size is known (faults B9)."""
    encoding = request.header("content-encoding")
    if encoding is not None and encoding.strip().lower() not in ("", "identity"):
        raise Refused(415, f"a request body encoded as {encoding!r} is not accepted: send it plain", code="unsupported_encoding")


def check_origin(request: Request, hosts: frozenset[str] | None) -> None:
    """For a server without a key: raises `Refused` (403) when a web page of another site makes its visitor's browser ask."""
    origin = request.header("origin")
    if origin is not None and hosts is not None and (_origin_host(origin) or "") not in hosts:
        raise Refused(403, "requests from web pages of other sites are not accepted", code="origin_not_allowed")


def _host_name(host: str | None) -> str:
    """The name in a Host header, lower-case and without port and brackets."""
    match = _HOST.fullmatch(host or "")
    if match is None:
        raise Refused(400, "the request has no valid Host header")
    return (match["six"] or match["name"]).lower()


def _origin_host(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None
