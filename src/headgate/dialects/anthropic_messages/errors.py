"""Errors, both ways: classified by code, type and status tables, never by their text (Anthropic API reference, "Errors"; translation
cases 85–93)."""

from __future__ import annotations

import math

from headgate.dialects.base import RenderedError
from headgate.errors import ErrorKind, HeadgateError, ProviderError, UsageError, WireError
from headgate.wire.json import Json, JsonObject, decode, encode

_STATUS_KINDS: dict[int, ErrorKind] = {
    400: ErrorKind.BAD_REQUEST,
    401: ErrorKind.AUTH,
    402: ErrorKind.QUOTA,
    403: ErrorKind.PERMISSION,
    404: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    409: ErrorKind.BAD_REQUEST,
    413: ErrorKind.BAD_REQUEST,
    422: ErrorKind.BAD_REQUEST,
    429: ErrorKind.RATE_LIMIT,
    500: ErrorKind.SERVER,
    502: ErrorKind.SERVER,
    503: ErrorKind.OVERLOADED,
    504: ErrorKind.TIMEOUT,
    529: ErrorKind.OVERLOADED,
}

TYPE_KINDS: dict[str, ErrorKind] = {
    "invalid_request_error": ErrorKind.BAD_REQUEST,
    "authentication_error": ErrorKind.AUTH,
    "billing_error": ErrorKind.QUOTA,
    "permission_error": ErrorKind.PERMISSION,
    "not_found_error": ErrorKind.NOT_FOUND,
    "request_too_large": ErrorKind.BAD_REQUEST,
    "conflict_error": ErrorKind.BAD_REQUEST,
    "rate_limit_error": ErrorKind.RATE_LIMIT,
    "timeout_error": ErrorKind.TIMEOUT,
    "api_error": ErrorKind.SERVER,
    "overloaded_error": ErrorKind.OVERLOADED,
}

_CODE_KINDS: dict[str, ErrorKind] = {
    "contract_spend_limit_reached": ErrorKind.QUOTA,
    "enforced_spend_limit_reached": ErrorKind.QUOTA,
    "linked_organization_spend_limit_reached": ErrorKind.QUOTA,
    "linked_organization_billing_unavailable": ErrorKind.QUOTA,
    "storage_quota_exceeded": ErrorKind.QUOTA,
    "user_profile_billing_not_authorized": ErrorKind.QUOTA,
    "user_profile_not_billable": ErrorKind.QUOTA,
    "organization_on_hold": ErrorKind.PERMISSION,
    "organization_type_not_supported": ErrorKind.PERMISSION,
    "organization_not_enrolled_in_beta": ErrorKind.PERMISSION,
    "ramp_limit_exceeded": ErrorKind.RATE_LIMIT,
    "request_body_timeout": ErrorKind.TIMEOUT,
}
"""`error.details.error_code`: spending and account limits arrive with status 400 or 403, which alone would blame the request."""

TYPE_STATUS: dict[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

_OURS = frozenset((ErrorKind.BAD_REQUEST, ErrorKind.CONTEXT_LENGTH, ErrorKind.CONTENT_FILTER, ErrorKind.UNSUPPORTED, ErrorKind.NOT_FOUND))


def parse_error(status: int, headers: dict[str, str], body: bytes) -> ProviderError:
    """An error answer as a `ProviderError`. Never raises: an unreadable body leaves the status to decide."""
    error, request_id = _envelope(body)
    kind_word = error.get("type")
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    kind = _kind(status, kind_word, code)
    message = error.get("message")
    return ProviderError(
        kind,
        message if isinstance(message, str) and message else f"the provider answered with status {status}",
        status=status,
        code=next((word for word in (code, kind_word) if isinstance(word, str)), None),
        retry_after=_retry_after(headers),
        request_id=request_id or headers.get("request-id"),
        fault="client" if kind in _OURS else "provider",
        body=body[:4096],
    )


def error_of_event(wire: JsonObject) -> ProviderError:
    """The error inside a stream or a batch row, with the status its type stands for."""
    error = wire.get("error")
    kind = error.get("type") if isinstance(error, dict) else None
    status = TYPE_STATUS.get(kind, 500) if isinstance(kind, str) else 500
    return parse_error(status, {}, encode(wire))


def _kind(status: int, kind_word: Json, code: Json) -> ErrorKind:
    found = _CODE_KINDS.get(code) if isinstance(code, str) else None
    if found is None and isinstance(kind_word, str):
        found = TYPE_KINDS.get(kind_word)
    if found is None:
        found = _STATUS_KINDS.get(status)
    if found is None:
        found = ErrorKind.SERVER if status >= 500 else ErrorKind.BAD_REQUEST if 400 <= status < 500 else ErrorKind.UNKNOWN
    return found


def _envelope(body: bytes) -> tuple[JsonObject, str | None]:
    """The inner error object (empty when there is none) and the request id."""
    try:
        wire = decode(body)
    except WireError:
        return {}, None
    if not isinstance(wire, dict):
        return {}, None
    error, request_id = wire.get("error"), wire.get("request_id")
    return error if isinstance(error, dict) else {}, request_id if isinstance(request_id, str) else None


def _retry_after(headers: dict[str, str]) -> float | None:
    """Seconds from `retry-after-ms` or a numeric `retry-after`; dates are read by a higher layer."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None


_ANSWERS: dict[ErrorKind, tuple[int, str]] = {
    ErrorKind.AUTH: (502, "api_error"),
    ErrorKind.PERMISSION: (403, "permission_error"),
    ErrorKind.QUOTA: (503, "api_error"),
    ErrorKind.RATE_LIMIT: (429, "rate_limit_error"),
    ErrorKind.TIMEOUT: (504, "timeout_error"),
    ErrorKind.CONNECTION: (502, "api_error"),
    ErrorKind.SERVER: (503, "api_error"),
    ErrorKind.OVERLOADED: (503, "overloaded_error"),
    ErrorKind.BAD_REQUEST: (400, "invalid_request_error"),
    ErrorKind.CONTEXT_LENGTH: (400, "invalid_request_error"),
    ErrorKind.CONTENT_FILTER: (400, "invalid_request_error"),
    ErrorKind.NOT_FOUND: (404, "not_found_error"),
    ErrorKind.UNSUPPORTED: (400, "invalid_request_error"),
    ErrorKind.CANCELLED: (499, "api_error"),
    ErrorKind.UNKNOWN: (502, "api_error"),
}
"""What a client of this surface is told (translation case 85): an upstream's 401 is no fault of the client's key, so it is a 502."""

_CODES = {
    ErrorKind.AUTH: "upstream_auth",
    ErrorKind.QUOTA: "upstream_quota",
    ErrorKind.CONTEXT_LENGTH: "context_length_exceeded",
    ErrorKind.CONTENT_FILTER: "content_filter",
}

_KEPT_STATUS: dict[int, str] = {409: "conflict_error", 413: "request_too_large"}
"""Upstream statuses of a bad request that are passed on as they are."""


def error_object(error: HeadgateError) -> tuple[int, JsonObject]:
    """The status and the envelope for an error, as `render_error` and `event: error` send it."""
    status, kind_word, code = _answer(error)
    inner: JsonObject = {"type": kind_word, "message": _message(error)}
    if code is not None:
        inner["details"] = {"error_code": code}
    wire: JsonObject = {"type": "error", "error": inner}
    if isinstance(error, ProviderError) and error.request_id is not None:
        wire["request_id"] = error.request_id
    return status, wire


def _answer(error: HeadgateError) -> tuple[int, str, str | None]:
    if isinstance(error, ProviderError):
        kept = _KEPT_STATUS.get(error.status or 0) if error.kind is ErrorKind.BAD_REQUEST else None
        if kept is not None and error.status is not None:
            return error.status, kept, None
        return *_ANSWERS[error.kind], _CODES.get(error.kind)
    if isinstance(error, UsageError | WireError):
        return 400, "invalid_request_error", None
    return 500, "api_error", None


def _message(error: HeadgateError) -> str:
    param = getattr(error, "param", None)
    message = error.message if not param or param in error.message else f"{param}: {error.message}"
    return f"{message} ({error.hint})" if error.hint else message


def render_error(error: HeadgateError) -> RenderedError:
    """An error in this surface's envelope; any error of the tree is accepted. `retry-after` is whole seconds, rounded up.

    `x-should-retry` keeps the official clients from repeating, as they do after any 5xx, what would fail again (case 89).
    """
    status, wire = error_object(error)
    headers = [("content-type", "application/json")]
    if isinstance(error, ProviderError):
        headers.append(("x-should-retry", "true" if error.transient else "false"))
        if error.retry_after is not None:
            headers.append(("retry-after", str(math.ceil(error.retry_after))))
        if error.request_id is not None:
            headers.append(("request-id", error.request_id))
    return RenderedError(status, encode(wire), tuple(headers))
