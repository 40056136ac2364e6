"""Errors of this wire: classified by code, type and status tables alone, and written in its envelope (cases 85–89, 92, 93)."""

from __future__ import annotations

import math

from headgate.dialects.base import RenderedError
from headgate.errors import ErrorKind, ProviderError, WireError
from headgate.wire.json import Json, JsonObject, decode, encode

_KEPT = 4096
_SHOWN = 300

_BY_CODE: dict[str, ErrorKind] = {
    "invalid_api_key": ErrorKind.AUTH,
    "invalid_authentication": ErrorKind.AUTH,
    "authentication_error": ErrorKind.AUTH,
    "account_deactivated": ErrorKind.AUTH,
    "permission_denied": ErrorKind.PERMISSION,
    "permission_error": ErrorKind.PERMISSION,
    "insufficient_permissions": ErrorKind.PERMISSION,
    "unsupported_country_region_territory": ErrorKind.PERMISSION,
    "model_terms_required": ErrorKind.PERMISSION,
    "insufficient_quota": ErrorKind.QUOTA,
    "billing_hard_limit_reached": ErrorKind.QUOTA,
    "billing_not_active": ErrorKind.QUOTA,
    "credit_limit": ErrorKind.QUOTA,
    "insufficient_balance": ErrorKind.QUOTA,
    "rate_limit_exceeded": ErrorKind.RATE_LIMIT,
    "rate_limit_error": ErrorKind.RATE_LIMIT,
    "rate_limit": ErrorKind.RATE_LIMIT,
    "too_many_requests": ErrorKind.RATE_LIMIT,
    "token_limit_exceeded": ErrorKind.RATE_LIMIT,
    "requests": ErrorKind.RATE_LIMIT,
    "tokens": ErrorKind.RATE_LIMIT,
    "timeout": ErrorKind.TIMEOUT,
    "request_timeout": ErrorKind.TIMEOUT,
    "server_error": ErrorKind.SERVER,
    "internal_error": ErrorKind.SERVER,
    "internal_server_error": ErrorKind.SERVER,
    "bad_gateway": ErrorKind.SERVER,
    "service_unavailable": ErrorKind.OVERLOADED,
    "capacity_exceeded": ErrorKind.OVERLOADED,
    "engine_overloaded": ErrorKind.OVERLOADED,
    "overloaded_error": ErrorKind.OVERLOADED,
    "context_length_exceeded": ErrorKind.CONTEXT_LENGTH,
    "content_filter": ErrorKind.CONTENT_FILTER,
    "content_policy_violation": ErrorKind.CONTENT_FILTER,
    "moderation_blocked": ErrorKind.CONTENT_FILTER,
    "model_not_found": ErrorKind.NOT_FOUND,
    "model_not_available": ErrorKind.NOT_FOUND,
    "model_decommissioned": ErrorKind.NOT_FOUND,
    "not_found": ErrorKind.NOT_FOUND,
    "not_found_error": ErrorKind.NOT_FOUND,
    "upstream_auth": ErrorKind.AUTH,
    "upstream_permission": ErrorKind.PERMISSION,
    "upstream_quota": ErrorKind.QUOTA,
    "upstream_timeout": ErrorKind.TIMEOUT,
    "upstream_unreachable": ErrorKind.CONNECTION,
    "upstream_overloaded": ErrorKind.OVERLOADED,
    "request_cancelled": ErrorKind.CANCELLED,
    "batch_cancelled": ErrorKind.CANCELLED,
    "batch_expired": ErrorKind.TIMEOUT,
    "Internal error": ErrorKind.SERVER,
    "Deadline exceeded": ErrorKind.TIMEOUT,
    "The service is currently unavailable": ErrorKind.OVERLOADED,
    "Some requested entity was not found": ErrorKind.NOT_FOUND,
    "The caller does not have permission to execute the specified operation": ErrorKind.PERMISSION,
}
"""`error.code`, else `error.type`, when it says more than the status. xAI's codes are the fixed sentences of its RPC layer."""

_BY_STATUS: dict[int, ErrorKind] = {
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
    498: ErrorKind.OVERLOADED,
    499: ErrorKind.CANCELLED,
    503: ErrorKind.OVERLOADED,
    504: ErrorKind.TIMEOUT,
    529: ErrorKind.OVERLOADED,
}

_ENVELOPE: dict[ErrorKind, tuple[int, str, str | None]] = {
    ErrorKind.AUTH: (502, "upstream_auth", "upstream_auth"),
    ErrorKind.PERMISSION: (403, "permission_error", "upstream_permission"),
    ErrorKind.QUOTA: (503, "upstream_quota", "upstream_quota"),
    ErrorKind.RATE_LIMIT: (429, "rate_limit_error", "rate_limit_exceeded"),
    ErrorKind.TIMEOUT: (504, "timeout_error", "upstream_timeout"),
    ErrorKind.CONNECTION: (503, "server_error", "upstream_unreachable"),
    ErrorKind.SERVER: (503, "server_error", "upstream_error"),
    ErrorKind.OVERLOADED: (503, "server_error", "upstream_overloaded"),
    ErrorKind.BAD_REQUEST: (400, "invalid_request_error", None),
    ErrorKind.CONTEXT_LENGTH: (400, "invalid_request_error", "context_length_exceeded"),
    ErrorKind.CONTENT_FILTER: (400, "invalid_request_error", "content_filter"),
    ErrorKind.NOT_FOUND: (404, "invalid_request_error", "model_not_found"),
    ErrorKind.UNSUPPORTED: (400, "invalid_request_error", "unsupported_parameter"),
    ErrorKind.CANCELLED: (499, "request_cancelled", "request_cancelled"),
    ErrorKind.UNKNOWN: (502, "upstream_error", "upstream_error"),
}
"""Kind -> status, type and code towards a client. A provider's 401 is ours to mend, so the client sees 502."""


def parse_error(status: int, headers: dict[str, str], body: bytes) -> ProviderError:
    """Classify an answer that is no success. Never raises; a body that is no JSON is shown in part."""
    try:
        value = decode(body)
    except WireError:
        value = None
    error = error_of(value)
    if error is None:
        text = body[:_SHOWN].decode("utf-8", "replace").strip()
        error = {"message": f"HTTP {status}: {text}" if text else f"HTTP {status} without a message"}
    return provider_error(status, headers, error, body)


def provider_error(status: int | None, headers: dict[str, str], error: JsonObject, body: bytes) -> ProviderError:
    """The error an error object describes. `status` None takes the status the object itself states (errors inside a stream)."""
    code, kind_word = error.get("code"), error.get("type")
    stated = status or _stated_status(error)
    param = error.get("param")
    return ProviderError(
        _classify(code, kind_word, stated),
        str(error.get("message") or f"HTTP {stated or 'error'} without a message"),
        status=stated,
        code=next((str(word) for word in (code, kind_word) if isinstance(word, str | int) and word), None),
        param=param if isinstance(param, str) else None,
        retry_after=retry_after(headers),
        request_id=headers.get("x-request-id") or headers.get("request-id"),
        body=body[:_KEPT],
    )


def error_of(value: Json) -> JsonObject | None:
    """The error object of a body, in whichever envelope it lies: `error` as object or text, a bare message, `detail`, or a list of one."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return None
    inner = value.get("error")
    if isinstance(inner, dict):
        return inner
    if isinstance(inner, str) and inner:
        return {**value, "message": inner}
    for key in ("message", "detail"):
        if isinstance(value.get(key), str):
            return {**value, "message": value[key]}
    return None


def _classify(code: Json, kind_word: Json, status: int | None) -> ErrorKind:
    known = next((_BY_CODE[word] for word in (code, kind_word) if isinstance(word, str) and word in _BY_CODE), None)
    if known is not None and not (known is ErrorKind.SERVER and status in _BY_STATUS):
        return known
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status is None:
        return ErrorKind.UNKNOWN
    return ErrorKind.SERVER if status >= 500 else ErrorKind.BAD_REQUEST if status >= 400 else ErrorKind.UNKNOWN


def _stated_status(error: JsonObject) -> int | None:
    for key in ("status_code", "status", "code"):
        value = error.get(key)
        stated = int(value) if isinstance(value, str) and value.isdecimal() and len(value) == 3 else value
        if type(stated) is int and 400 <= stated < 600:
            return stated
    return None


def retry_after(headers: dict[str, str]) -> float | None:
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
    _, type_word, code = _envelope(error)
    return {"error": {"message": error.message, "type": type_word, "param": error.param, "code": code or error.code}}


def _envelope(error: ProviderError) -> tuple[int, str, str | None]:
    if error.fault == "client" and error.kind is ErrorKind.AUTH:
        return 401, "invalid_request_error", "invalid_api_key"
    status, type_word, code = _ENVELOPE[error.kind]
    if error.status in (409, 413) and error.kind is ErrorKind.BAD_REQUEST:
        status = error.status
    return status, type_word, code


def render_error(error: ProviderError) -> RenderedError:
    """Write an error for a client of this surface, with `retry-after` and a truthful `x-should-retry`."""
    headers = [("content-type", "application/json"), ("x-should-retry", "true" if error.transient else "false")]
    if error.retry_after is not None:
        headers.append(("retry-after", str(math.ceil(error.retry_after))))
    return RenderedError(_envelope(error)[0], encode(error_body(error)), tuple(headers))
