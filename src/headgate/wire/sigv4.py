"""AWS Signature Version 4, as a pure function (AWS documentation, "Signature Version 4 signing process" and "Authenticating requests:
using the Authorization header (Amazon S3)")."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote, unquote_to_bytes

from headgate.errors import WireError
from headgate.wire.http import Headers

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
"""Stands for the body's digest where S3 lets the body go unsigned (over TLS only)."""

EMPTY_SHA256 = sha256(b"").hexdigest()
"""The digest of an empty body."""

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = frozenset(
    (
        "authorization",
        "baggage",
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amzn-trace-id",
    )
)
"""Headers that proxies change on the way."""

_OWN = frozenset(("host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"))
"""Headers the signer states itself."""


def sign(
    method: str,
    host: str,
    path: str,
    query: str,
    headers: Headers,
    body_sha256: str,
    *,
    access_key: str,
    secret_key: str,
    session_token: str | None,
    region: str,
    service: str,
    at: float,
) -> Headers:
    """The headers to add to a request: `x-amz-date`, `x-amz-security-token` with a session, `x-amz-content-sha256` for S3 and
    `authorization`.

    `path` and `query` (without "?") are as they go on the wire, percent-encoded once; `host` as in the Host header, without a default port.
    All of `headers` are signed but those that proxies change. `body_sha256` is the hexadecimal digest of the body or `UNSIGNED_PAYLOAD`;
    `at` is seconds since the epoch. Raises `WireError` (fault "local") for a header that would break its line.
    """
    stamp = datetime.fromtimestamp(int(at), UTC).strftime("%Y%m%dT%H%M%SZ")
    added = [("x-amz-date", stamp)]
    if session_token:
        added.append(("x-amz-security-token", session_token))
    if service == "s3":
        added.append(("x-amz-content-sha256", body_sha256))
    signed = _signed_headers([("host", host), *added, *((name, value) for name, value in headers if name.lower() not in _OWN)])
    names = ";".join(signed)
    request = "\n".join(
        (
            method.upper(),
            (path or "/") if service == "s3" else canonical_path(path),
            canonical_query(query),
            *(f"{name}:{value}" for name, value in signed.items()),
            "",
            names,
            body_sha256,
        )
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    words = "\n".join((_ALGORITHM, stamp, scope, sha256(request.encode()).hexdigest()))
    signature = hmac.new(_key(secret_key, stamp[:8], region, service), words.encode(), sha256).hexdigest()
    added.append(("authorization", f"{_ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"))
    return tuple(added)


def _signed_headers(headers: list[tuple[str, str]]) -> dict[str, str]:
    """Canonical headers by name, in order: lower case, trimmed, runs of white space as one, repeated ones joined by commas."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        if "\n" in value or "\r" in value:
            raise WireError(f"the header {name!r} may not contain a line end", fault="local")
        if name.lower() not in _UNSIGNED:
            found.setdefault(name.lower().strip(), []).append(" ".join(value.split()))
    return {name: ",".join(found[name]) for name in sorted(found)}


def canonical_path(path: str) -> str:
    """The path without dot segments and doubled slashes, percent-encoded once more, as every service but S3 wants it."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    end = "/" if kept and path.endswith("/") else ""
    return quote("/" + "/".join(kept) + end, safe="/-_.~")


def canonical_query(query: str) -> str:
    """Parameters in one encoding, sorted by encoded name and value; a name without a value gets an empty one."""
    if not query:
        return ""
    pairs = [part.partition("=") for part in query.split("&") if part]
    return "&".join(f"{name}={value}" for name, value in sorted((_encoded(name), _encoded(value)) for name, _, value in pairs))


def _encoded(part: str) -> str:
    return quote(unquote_to_bytes(part), safe="-_.~")


def _key(secret_key: str, *scope: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (*scope, "aws4_request"):
        key = hmac.new(key, part.encode(), sha256).digest()
    return key
