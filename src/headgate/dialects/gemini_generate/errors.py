"""Google's error envelope, both ways: ``{"error": {"code", "message", "status", "details"}}``.

Classified by status word, `ErrorInfo.reason` and quota id; the message is never searched. An input that is too long is a plain
INVALID_ARGUMENT on this wire and stays `bad_request`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from headgate.dialects.base import RenderedError
from headgate.errors import ErrorKind, ProviderError, WireError
from headgate.wire.json import Json, JsonObject, decode, encode

_WORDS = {
    "INVALID_ARGUMENT": ErrorKind.BAD_REQUEST,
    "FAILED_PRECONDITION": ErrorKind.BAD_REQUEST,
    "OUT_OF_RANGE": ErrorKind.BAD_REQUEST,
    "ALREADY_EXISTS": ErrorKind.BAD_REQUEST,
    "UNAUTHENTICATED": ErrorKind.AUTH,
    "PERMISSION_DENIED": ErrorKind.PERMISSION,
    "NOT_FOUND": ErrorKind.NOT_FOUND,
    "RESOURCE_EXHAUSTED": ErrorKind.RATE_LIMIT,
    "CANCELLED": ErrorKind.CANCELLED,
    "ABORTED": ErrorKind.SERVER,
    "INTERNAL": ErrorKind.SERVER,
    "UNKNOWN": ErrorKind.SERVER,
    "DATA_LOSS": ErrorKind.SERVER,
    "UNIMPLEMENTED": ErrorKind.UNSUPPORTED,
    "UNAVAILABLE": ErrorKind.OVERLOADED,
    "DEADLINE_EXCEEDED": ErrorKind.TIMEOUT,
}
_RPC_CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""google.rpc.Code by number, which batch rows carry instead of an HTTP status."""

_HTTP = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}
_REASONS = {
    "API_KEY_INVALID": ErrorKind.AUTH,
    "API_KEY_EXPIRED": ErrorKind.AUTH,
    "ACCESS_TOKEN_EXPIRED": ErrorKind.AUTH,
    "CREDENTIALS_MISSING": ErrorKind.AUTH,
    "API_KEY_SERVICE_BLOCKED": ErrorKind.PERMISSION,
    "SERVICE_DISABLED": ErrorKind.PERMISSION,
    "CONSUMER_SUSPENDED": ErrorKind.PERMISSION,
    "CONSUMER_INVALID": ErrorKind.PERMISSION,
    "BILLING_DISABLED": ErrorKind.QUOTA,
    "RATE_LIMIT_EXCEEDED": ErrorKind.RATE_LIMIT,
    "UPSTREAM_AUTH": ErrorKind.AUTH,
    "UPSTREAM_QUOTA": ErrorKind.QUOTA,
}
_DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_DAILY = re.compile(r"PerDay(?![a-z])")
_BODY_KEPT = 4096


def parse_error(status: int, headers: dict[str, str], body: bytes) -> ProviderError:
    """Classify an error reply. Never raises; a body that is no Google error is judged by the status alone."""
    found = find_error(body)
    if found is None:
        word = _HTTP.get(status, "")
        kind = _WORDS.get(word, ErrorKind.SERVER if status >= 500 else ErrorKind.UNKNOWN)
        message = f"the Gemini API answered HTTP {status} without an error object"
        return ProviderError(kind, message, status=status, retry_after=_from_headers(headers), body=body[:_BODY_KEPT])
    error = classify(found, status)
    error.body = body[:_BODY_KEPT]
    if error.retry_after is None:
        error.retry_after = _from_headers(headers)
    return error


def find_error(body: bytes) -> JsonObject | None:
    """The error object in a body: plain, or first in the array of a stream without `alt=sse`."""
    try:
        value = decode(body)
    except WireError:
        return None
    return error_in(value[0] if isinstance(value, list) and value else value)


def error_in(value: Json) -> JsonObject | None:
    """The `error` of a decoded body, if it has one."""
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else None


def classify(error: JsonObject, status: int | None = None) -> ProviderError:
    """A decoded error object (`code` is an HTTP status, or in batch rows a google.rpc code)."""
    word, status = _word_and_status(error, status)
    kind = _WORDS.get(word or _HTTP.get(status or 0, ""), ErrorKind.UNKNOWN)
    code, delay = word, None
    for detail in _details(error):
        reason = detail.get("reason")
        if isinstance(reason, str) and reason in _REASONS:
            kind, code = _REASONS[reason], reason
        if _is_hard_quota(detail):
            kind = ErrorKind.QUOTA
        delay = delay or _delay(detail.get("retryDelay"))
    message = error.get("message")
    return ProviderError(
        kind,
        message if isinstance(message, str) and message else f"the Gemini API failed with {code or 'no reason given'}",
        status=status,
        code=code,
        retry_after=delay,
    )


def _word_and_status(error: JsonObject, status: int | None) -> tuple[str | None, int | None]:
    """The status word, told by the number where it is missing, and the HTTP status, told by the body where the reply's means nothing."""
    number, word = error.get("code"), error.get("status")
    code = number if isinstance(number, int) else 0
    if not isinstance(word, str):
        word = _RPC_CODES[code] if 0 < code < len(_RPC_CODES) else _HTTP.get(code)
    if status in (None, 200):
        status = code if code in _HTTP else _STATUS_OF.get(word or "", status)
    return word, status


def _details(error: JsonObject) -> Iterator[JsonObject]:
    details = error.get("details")
    return (item for item in details if isinstance(item, dict)) if isinstance(details, list) else iter(())


def _is_hard_quota(detail: JsonObject) -> bool:
    """A quota by the day, or one of zero, does not come back within a retry: its id and value say so."""
    violations = detail.get("violations")
    for violation in violations if isinstance(violations, list) else ():
        if isinstance(violation, dict):
            name, value = violation.get("quotaId"), violation.get("quotaValue")
            if value == "0" or (isinstance(name, str) and _DAILY.search(name)):
                return True
    return False


def _delay(value: Json) -> float | None:
    """Seconds of a protobuf duration such as "12.5s"."""
    match = _DELAY.fullmatch(value) if isinstance(value, str) else None
    return float(match[1]) if match else None


def _from_headers(headers: dict[str, str]) -> float | None:
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        match = _DELAY.fullmatch(headers.get(name, "") + "s")
        if match:
            return float(match[1]) / unit
    return None


_STATUS_OF = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}

_SURFACE: dict[ErrorKind, tuple[int, str]] = {
    ErrorKind.AUTH: (502, "UNAVAILABLE"),
    ErrorKind.PERMISSION: (403, "PERMISSION_DENIED"),
    ErrorKind.QUOTA: (503, "UNAVAILABLE"),
    ErrorKind.RATE_LIMIT: (429, "RESOURCE_EXHAUSTED"),
    ErrorKind.TIMEOUT: (504, "DEADLINE_EXCEEDED"),
    ErrorKind.CONNECTION: (502, "UNAVAILABLE"),
    ErrorKind.SERVER: (503, "UNAVAILABLE"),
    ErrorKind.OVERLOADED: (503, "UNAVAILABLE"),
    ErrorKind.BAD_REQUEST: (400, "INVALID_ARGUMENT"),
    ErrorKind.CONTEXT_LENGTH: (400, "INVALID_ARGUMENT"),
    ErrorKind.CONTENT_FILTER: (400, "INVALID_ARGUMENT"),
    ErrorKind.NOT_FOUND: (404, "NOT_FOUND"),
    ErrorKind.UNSUPPORTED: (400, "INVALID_ARGUMENT"),
    ErrorKind.CANCELLED: (499, "CANCELLED"),
    ErrorKind.UNKNOWN: (502, "UNKNOWN"),
}
_REASON_WORDS = {ErrorKind.AUTH: "UPSTREAM_AUTH", ErrorKind.QUOTA: "UPSTREAM_QUOTA"}


def error_object(error: ProviderError) -> JsonObject:
    """The envelope for an error of any origin, with the status of translation case 85 as `code`."""
    status, word = _SURFACE[error.kind]
    reason = _REASON_WORDS.get(error.kind, error.kind.value.upper())
    details: list[JsonObject] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "headgate"}]
    if error.param is not None:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]})
    if error.retry_after is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{error.retry_after:.9g}s"})
    return {"error": {"code": status, "message": error.message, "status": word, "details": details}}


def render_error(error: ProviderError) -> RenderedError:
    """A whole error reply for this surface."""
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json; charset=UTF-8"),)
    if error.retry_after is not None:
        headers += (("retry-after", str(max(1, round(error.retry_after + 0.499)))),)
    return RenderedError(_SURFACE[error.kind][0], encode(error_object(error)), headers)
