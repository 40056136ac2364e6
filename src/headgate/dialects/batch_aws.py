"""What a batch on AWS needs of its neighbours: S3 objects by path, listings, and the errors of both (Amazon S3 and Bedrock API references).

Buckets stand in the path, so that one address serves them all. Whoever sends the calls signs them.
"""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import quote, unquote_plus

import msgspec

from headgate.errors import ErrorKind, ProviderError, WireError
from headgate.wire.http import Body, Flow, Reply, Send, Stored, Upload, download, send, upload
from headgate.wire.http import Download as DownloadCall
from headgate.wire.json import decode

S3 = "s3"
"""Key of the provider's S3 address."""
MAX_PAGES = 1000
_KEPT = 4096
_URI = re.compile(r"(?:s3://)?([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?")
_TAG = {name: re.compile(f"<{name}>([^<]*)</{name}>") for name in ("Key", "Code", "Message", "NextContinuationToken", "IsTruncated")}

_BY_CODE: dict[str, ErrorKind] = {
    "ThrottlingException": ErrorKind.RATE_LIMIT,
    "TooManyRequestsException": ErrorKind.RATE_LIMIT,
    "ServiceQuotaExceededException": ErrorKind.RATE_LIMIT,
    "SlowDown": ErrorKind.RATE_LIMIT,
    "RequestLimitExceeded": ErrorKind.RATE_LIMIT,
    "AccessDeniedException": ErrorKind.PERMISSION,
    "AccessDenied": ErrorKind.PERMISSION,
    "AllAccessDisabled": ErrorKind.PERMISSION,
    "UnrecognizedClientException": ErrorKind.AUTH,
    "InvalidSignatureException": ErrorKind.AUTH,
    "SignatureDoesNotMatch": ErrorKind.AUTH,
    "IncompleteSignature": ErrorKind.AUTH,
    "InvalidAccessKeyId": ErrorKind.AUTH,
    "InvalidClientTokenId": ErrorKind.AUTH,
    "MissingAuthenticationTokenException": ErrorKind.AUTH,
    "ExpiredTokenException": ErrorKind.AUTH,
    "ExpiredToken": ErrorKind.AUTH,
    "RequestTimeTooSkewed": ErrorKind.AUTH,
    "ResourceNotFoundException": ErrorKind.NOT_FOUND,
    "NoSuchKey": ErrorKind.NOT_FOUND,
    "NoSuchBucket": ErrorKind.NOT_FOUND,
    "ValidationException": ErrorKind.BAD_REQUEST,
    "ConflictException": ErrorKind.BAD_REQUEST,
    "ModelTimeoutException": ErrorKind.TIMEOUT,
    "RequestTimeout": ErrorKind.TIMEOUT,
    "ModelNotReadyException": ErrorKind.OVERLOADED,
    "ServiceUnavailableException": ErrorKind.OVERLOADED,
    "ServiceUnavailable": ErrorKind.OVERLOADED,
    "InternalServerException": ErrorKind.SERVER,
    "InternalError": ErrorKind.SERVER,
}
_BY_STATUS: dict[int, ErrorKind] = {
    401: ErrorKind.AUTH,
    403: ErrorKind.PERMISSION,
    404: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    424: ErrorKind.SERVER,
    429: ErrorKind.RATE_LIMIT,
    503: ErrorKind.OVERLOADED,
    504: ErrorKind.TIMEOUT,
    529: ErrorKind.OVERLOADED,
}


def kind_of(code: str | None, status: int | None) -> ErrorKind:
    """What an AWS error code or a status stands for; the code says more."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status is None:
        return ErrorKind.UNKNOWN
    return _BY_STATUS.get(status) or (ErrorKind.SERVER if status >= 500 else ErrorKind.BAD_REQUEST if status >= 400 else ErrorKind.UNKNOWN)


def parse_error(status: int, headers: dict[str, str], body: bytes) -> ProviderError:
    """Classify an answer that is no success, in JSON or in S3's XML. Never raises."""
    code, message = _xml_error(body) if body.lstrip()[:1] == b"<" else _json_error(body)
    stated = headers.get("x-amzn-errortype", "").partition(":")[0].rpartition("#")[2]
    code = stated or code
    return ProviderError(
        kind_of(code, status),
        message or f"HTTP {status}" + (f": {code}" if code else " without a message"),
        status=status,
        code=code or None,
        request_id=headers.get("x-amzn-requestid") or headers.get("x-amz-request-id"),
        body=body[:_KEPT],
    )


def _json_error(body: bytes) -> tuple[str, str]:
    try:
        value = decode(body)
    except WireError:
        return "", body[:300].decode("utf-8", "replace").strip()
    if not isinstance(value, dict):
        return "", ""
    named = value.get("__type") or value.get("code") or ""
    message = value.get("message") or value.get("Message") or ""
    return str(named).rpartition("#")[2], str(message)


def _xml_error(body: bytes) -> tuple[str, str]:
    text = body.decode("utf-8", "replace")
    return _first(text, "Code") or "", _first(text, "Message") or ""


def _first(text: str, name: str) -> str | None:
    found = _TAG[name].search(text)
    return _plain(found[1]) if found else None


def _plain(text: str) -> str:
    """XML text as it is meant; text with a reference to no character, as it stands."""
    try:
        return unescape(text)
    except ValueError:
        return text


class Place(msgspec.Struct, frozen=True):
    """Where objects lie: a bucket and the beginning of their keys, empty or ending in a slash."""

    bucket: str
    prefix: str = ""

    def uri(self, name: str = "") -> str:
        """``s3://bucket/prefix name``."""
        return f"s3://{self.bucket}/{self.prefix}{name}"

    def under(self, name: str) -> Place:
        """A folder in this place."""
        return Place(self.bucket, f"{self.prefix}{name}/")

    def path(self, name: str = "") -> str:
        """The object's path at an S3 address."""
        return f"/{self.bucket}/{quote(self.prefix + name, safe='/-_.~')}"


def place_of(uri: str) -> Place | None:
    """The place an S3 URI, or a bucket with or without a prefix, names; None for anything else."""
    found = _URI.fullmatch(uri.strip())
    if found is None:
        return None
    prefix = (found[2] or "").strip("/")
    return Place(found[1], f"{prefix}/" if prefix else "")


def put_object(place: Place, name: str, body: Body, content_type: str, timeout: float) -> Flow[None]:
    """Write an object. Raises `ProviderError`."""
    headers = (("content-type", content_type),)
    reply = yield from upload(Upload("PUT", place.path(name), body, headers, timeout, host=S3))
    if not reply.ok:
        raise parse_error(reply.status, reply.headers, reply.body)


def get_object(place: Place, name: str) -> Flow[bytes]:
    """Read a small object. Raises `ProviderError`."""
    reply = yield from send(Send("GET", place.path(name), host=S3))
    if not reply.ok:
        raise parse_error(reply.status, reply.headers, reply.body)
    return reply.body


def fetch_object(place: Place, name: str, timeout: float) -> Flow[Stored]:
    """Download an object to disk. Raises `ProviderError`."""
    stored = yield from download(DownloadCall("GET", place.path(name), timeout=timeout, host=S3))
    if not 200 <= stored.status < 300:
        raise parse_error(stored.status, stored.headers, b"")
    return stored


def drop_object(place: Place, name: str) -> Flow[Reply]:
    """Delete an object; whoever asks judges the reply."""
    return (yield from send(Send("DELETE", place.path(name), host=S3)))


def list_objects(place: Place) -> Flow[list[str]]:
    """The names of the objects in a place, its prefix left out. Raises `ProviderError`, `WireError` for a list without an end."""
    names: list[str] = []
    token = ""
    for _ in range(MAX_PAGES):
        following = f"&continuation-token={quote(token, safe='')}" if token else ""
        query = f"?list-type=2&encoding-type=url&prefix={quote(place.prefix, safe='')}{following}"
        reply = yield from send(Send("GET", f"/{place.bucket}{query}", host=S3))
        if not reply.ok:
            raise parse_error(reply.status, reply.headers, reply.body)
        text = reply.body.decode("utf-8", "replace")
        keys = [unquote_plus(_plain(found)) for found in _TAG["Key"].findall(text)]
        names += [key.removeprefix(place.prefix) for key in keys if key.startswith(place.prefix)]
        token = _first(text, "NextContinuationToken") or ""
        if not token or _first(text, "IsTruncated") != "true":
            return names
    raise WireError(f"the list of objects did not end within {MAX_PAGES} pages")
