"""Errors of this wire, ``{"error": "words"}`` with the status for their kind, both ways (cases 85-89, 92, 93).

The runner behind the server says more in JSON, which the server passes on as text inside `error`; its type and code are read. The
messages are never searched. Errors written here carry a `code` beside the words, for those who read it.
"""

from __future__ import annotations

import math

from headgate.dialects.base import RenderedError
from headgate.dialects.ollama_chat.values import as_object
from headgate.errors import ErrorKind, ProviderError, WireError
from headgate.wire.json import Json, JsonObject, decode, encode

_SHOWN = 300
_KEPT = 4096

_WRITTEN: dict[ErrorKind, tuple[int, str]] = {
    ErrorKind.AUTH: (502, "upstream_auth"),
    ErrorKind.PERMISSION: (403, "permission_denied"),
    ErrorKind.QUOTA: (503, "insufficient_quota"),
    ErrorKind.RATE_LIMIT: (429, "rate_limit_exceeded"),
    ErrorKind.TIMEOUT: (504, "upstream_timeout"),
    ErrorKind.CONNECTION: (503, "upstream_unreachable"),
    ErrorKind.SERVER: (503, "upstream_error"),
    ErrorKind.OVERLOADED: (503, "upstream_overloaded"),
    ErrorKind.BAD_REQUEST: (400, "invalid_request"),
    ErrorKind.CONTEXT_LENGTH: (400, "context_length_exceeded"),
    ErrorKind.CONTENT_FILTER: (400, "content_filter"),
    ErrorKind.NOT_FOUND: (404, "model_not_found"),
    ErrorKind.UNSUPPORTED: (400, "unsupported_parameter"),
    ErrorKind.CANCELLED: (499, "request_cancelled"),
    ErrorKind.UNKNOWN: (502, "upstream_unknown"),
}
"""Kind -> status and code towards a client. A provider's 401 is ours to mend, so the client sees 502."""

_BY_CODE: dict[str, ErrorKind] = {
    **{code: kind for kind, (_, code) in _WRITTEN.items()},
    "invalid_api_key": ErrorKind.AUTH,
    "exceed_context_size_error": ErrorKind.CONTEXT_LENGTH,
    "authentication_error": ErrorKind.AUTH,
    "permission_error": ErrorKind.PERMISSION,
    "not_found_error": ErrorKind.NOT_FOUND,
    "not_supported_error": ErrorKind.UNSUPPORTED,
    "unavailable_error": ErrorKind.OVERLOADED,
}
"""Codes written here, and types of the runner's errors, that say more than the status."""

_BY_STATUS: dict[int, ErrorKind] = {
    401: ErrorKind.AUTH,
    402: ErrorKind.QUOTA,
    403: ErrorKind.PERMISSION,
    404: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    429: ErrorKind.RATE_LIMIT,
    499: ErrorKind.CANCELLED,
    503: ErrorKind.OVERLOADED,
    504: ErrorKind.TIMEOUT,
    529: ErrorKind.OVERLOADED,
}


def parse_error(status: int, headers: dict[str, str], body: bytes) -> ProviderError:
    """Classify an answer that is no success. Never raises; a body that is no JSON is shown in part."""
    try:
        found = _error_of(decode(body))
    except WireError:
        found = None
    if found is None:
        words = body[:_SHOWN].decode("utf-8", "replace").strip()
        found = {"message": f"HTTP {status}: {words}" if words else f"HTTP {status} without a message"}
    return _classified(status, headers, found, body)


def error_in(raw: JsonObject, body: bytes) -> ProviderError | None:
    """The error an answer of status 200, or a line of a stream, reports; None when it reports none.

    What happens to a model that speaks already is a failure of the server, unless a code or type says otherwise.
    """
    if not raw.get("error"):
        return None
    return _classified(None, {}, _error_of(raw) or {"message": str(raw["error"])}, body)


def _error_of(value: Json) -> JsonObject | None:
    """The error in a body as an object with a message: words beside further keys, or an object of its own."""
    inner = value.get("error") if isinstance(value, dict) else None
    if isinstance(inner, dict):
        return inner
    return {**value, "message": inner} if isinstance(inner, str) and inner else None


def _classified(status: int | None, headers: dict[str, str], found: JsonObject, body: bytes) -> ProviderError:
    message = found.get("message")
    runner = _error_of(as_object(message)) if isinstance(message, str) else None
    if runner is not None:
        message = runner.get("message")
    words = [source.get(key) for source in (runner or {}, found) for key in ("type", "code")]
    known = next((word for word in words if isinstance(word, str) and word in _BY_CODE), None)
    code = known if known is not None else next((word for word in words if isinstance(word, str) and word), None)
    return ProviderError(
        _by_status(status) if known is None else _BY_CODE[known],
        message if isinstance(message, str) and message else f"HTTP {status or 'error'} without a message",
        status=status,
        code=code,
        retry_after=_retry_after(headers),
        request_id=headers.get("x-request-id"),
        body=body[:_KEPT],
        hint="ollama signin" if isinstance(found.get("signin_url"), str) else None,
    )


def _by_status(status: int | None) -> ErrorKind:
    if status is None or (status >= 500 and status not in _BY_STATUS):
        return ErrorKind.SERVER
    return _BY_STATUS.get(status, ErrorKind.BAD_REQUEST if status >= 400 else ErrorKind.UNKNOWN)


def _retry_after(headers: dict[str, str]) -> float | None:
    """Seconds to wait as the headers state them in numbers (`retry-after-ms` first); a date is read by the transport."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None


def error_body(error: ProviderError) -> JsonObject:
    """The envelope of an error, as a value."""
    return {"error": error.message, "code": _WRITTEN[error.kind][1]}


def render_error(error: ProviderError) -> RenderedError:
    """Write an error for a client of this surface, with `retry-after` and a truthful `x-should-retry`."""
    status, code = _WRITTEN[error.kind]
    if error.fault == "client" and error.kind is ErrorKind.AUTH:
        status, code = 401, "invalid_api_key"
    elif error.status in (409, 413) and error.kind is ErrorKind.BAD_REQUEST:
        status = error.status
    headers = [("content-type", "application/json"), ("x-should-retry", "true" if error.transient else "false")]
    if error.retry_after is not None:
        headers.append(("retry-after", str(math.ceil(error.retry_after))))
    return RenderedError(status, encode({"error": error.message, "code": code}), tuple(headers))
