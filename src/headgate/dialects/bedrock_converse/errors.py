"""Errors of Bedrock, both ways: classified by exception name and status, never by their text (Amazon Bedrock API reference, "Errors" of
Converse, ConverseStream and InvokeModel, and AWS's common errors; translation cases 85–93).

The name is in the header `x-amzn-errortype` ("ValidationException:http://…"), in the body's ``__type``, or in the frame of a stream.
"""

from __future__ import annotations

import math

from headgate.dialects.base import RenderedError
from headgate.errors import ErrorKind, HeadgateError, ProviderError, UsageError, WireError
from headgate.wire.eventstream import Frame, encode_frame
from headgate.wire.json import Json, JsonObject, decode, encode

_NAME_KINDS: dict[str, ErrorKind] = {
    "AccessDeniedException": ErrorKind.PERMISSION,
    "OptInRequired": ErrorKind.PERMISSION,
    "UnrecognizedClientException": ErrorKind.AUTH,
    "InvalidClientTokenId": ErrorKind.AUTH,
    "ExpiredTokenException": ErrorKind.AUTH,
    "ExpiredToken": ErrorKind.AUTH,
    "InvalidSignatureException": ErrorKind.AUTH,
    "SignatureDoesNotMatch": ErrorKind.AUTH,
    "IncompleteSignature": ErrorKind.AUTH,
    "IncompleteSignatureException": ErrorKind.AUTH,
    "MissingAuthenticationToken": ErrorKind.AUTH,
    "MissingAuthenticationTokenException": ErrorKind.AUTH,
    "NotAuthorized": ErrorKind.PERMISSION,
    "RequestExpired": ErrorKind.AUTH,
    "ThrottlingException": ErrorKind.RATE_LIMIT,
    "TooManyRequestsException": ErrorKind.RATE_LIMIT,
    "ServiceQuotaExceededException": ErrorKind.QUOTA,
    "ModelTimeoutException": ErrorKind.TIMEOUT,
    "ModelNotReadyException": ErrorKind.OVERLOADED,
    "ModelErrorException": ErrorKind.SERVER,
    "ModelStreamErrorException": ErrorKind.SERVER,
    "InternalServerException": ErrorKind.SERVER,
    "InternalFailure": ErrorKind.SERVER,
    "ServiceUnavailableException": ErrorKind.OVERLOADED,
    "ServiceUnavailable": ErrorKind.OVERLOADED,
    "ResourceNotFoundException": ErrorKind.NOT_FOUND,
    "UnknownOperationException": ErrorKind.NOT_FOUND,
    "ValidationException": ErrorKind.BAD_REQUEST,
    "ValidationError": ErrorKind.BAD_REQUEST,
    "SerializationException": ErrorKind.BAD_REQUEST,
    "ConflictException": ErrorKind.BAD_REQUEST,
}

_STATUS_KINDS: dict[int, ErrorKind] = {
    400: ErrorKind.BAD_REQUEST,
    401: ErrorKind.AUTH,
    402: ErrorKind.QUOTA,
    403: ErrorKind.PERMISSION,
    404: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    413: ErrorKind.BAD_REQUEST,
    424: ErrorKind.SERVER,
    429: ErrorKind.RATE_LIMIT,
    503: ErrorKind.OVERLOADED,
    504: ErrorKind.TIMEOUT,
    529: ErrorKind.OVERLOADED,
}

_NAME_STATUS: dict[str, int] = {
    "ValidationException": 400,
    "ServiceQuotaExceededException": 400,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "ModelTimeoutException": 408,
    "ModelErrorException": 424,
    "ModelStreamErrorException": 424,
    "ThrottlingException": 429,
    "ModelNotReadyException": 429,
    "InternalServerException": 500,
    "ServiceUnavailableException": 503,
}
"""The status an exception stands for, for those inside a stream."""

_OURS = frozenset((ErrorKind.BAD_REQUEST, ErrorKind.CONTEXT_LENGTH, ErrorKind.CONTENT_FILTER, ErrorKind.UNSUPPORTED, ErrorKind.NOT_FOUND))


def parse_error(status: int, headers: dict[str, str], body: bytes) -> ProviderError:
    """An error answer as a `ProviderError`. Never raises: an unreadable body leaves header and status to decide."""
    wire = _object(body)
    stated = headers.get("x-amzn-errortype") or wire.get("__type") or wire.get("code")
    return _error(_name(stated), status, headers, wire, body)


def error_of_frame(frame: Frame) -> ProviderError:
    """An exception or error frame of a stream, with the status its name stands for."""
    name = _name(frame.text(":exception-type") or frame.text(":error-code"))
    wire = _object(frame.payload)
    if "message" not in wire and frame.text(":error-message"):
        wire = {"message": frame.text(":error-message")}
    original = wire.get("originalStatusCode")
    found = _error(name, _NAME_STATUS.get(name or "", 500), {}, wire, frame.payload)
    if found.kind is ErrorKind.SERVER and original in (429, 503, 529):
        found.kind = ErrorKind.OVERLOADED
    return found


def _error(name: str | None, status: int, headers: dict[str, str], wire: JsonObject, body: bytes) -> ProviderError:
    kind = _kind(name, status)
    message = next((wire[key] for key in ("message", "Message") if isinstance(wire.get(key), str) and wire[key]), None)
    return ProviderError(
        kind,
        message or f"Bedrock answered with {name or f'status {status}'}",
        status=status,
        code=name,
        retry_after=_retry_after(headers),
        request_id=headers.get("x-amzn-requestid"),
        fault="client" if kind in _OURS else "provider",
        body=body[:4096],
    )


def _kind(name: str | None, status: int) -> ErrorKind:
    found = _NAME_KINDS.get(name or "") or _STATUS_KINDS.get(status)
    if found is None:
        found = ErrorKind.SERVER if status >= 500 else ErrorKind.BAD_REQUEST if 400 <= status < 500 else ErrorKind.UNKNOWN
    return found


def _name(stated: Json) -> str | None:
    """The bare exception name, capitalised as the tables have it: ``ns#Name:http://…`` and ``nameException`` are both read."""
    if not isinstance(stated, str) or not stated:
        return None
    bare = stated.partition(":")[0].rpartition("#")[2].strip()
    return bare[:1].upper() + bare[1:] or None


def _object(body: bytes) -> JsonObject:
    try:
        wire = decode(body)
    except WireError:
        return {}
    return wire if isinstance(wire, dict) else {}


def _retry_after(headers: dict[str, str]) -> float | None:
    """Seconds from a numeric `retry-after`; dates are read by a higher layer."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


_ANSWERS: dict[ErrorKind, tuple[int, str]] = {
    ErrorKind.AUTH: (502, "InternalServerException"),
    ErrorKind.PERMISSION: (403, "AccessDeniedException"),
    ErrorKind.QUOTA: (503, "ServiceUnavailableException"),
    ErrorKind.RATE_LIMIT: (429, "ThrottlingException"),
    ErrorKind.TIMEOUT: (504, "ModelTimeoutException"),
    ErrorKind.CONNECTION: (502, "InternalServerException"),
    ErrorKind.SERVER: (503, "InternalServerException"),
    ErrorKind.OVERLOADED: (503, "ServiceUnavailableException"),
    ErrorKind.BAD_REQUEST: (400, "ValidationException"),
    ErrorKind.CONTEXT_LENGTH: (400, "ValidationException"),
    ErrorKind.CONTENT_FILTER: (400, "ValidationException"),
    ErrorKind.NOT_FOUND: (404, "ResourceNotFoundException"),
    ErrorKind.UNSUPPORTED: (400, "ValidationException"),
    ErrorKind.CANCELLED: (499, "InternalServerException"),
    ErrorKind.UNKNOWN: (502, "InternalServerException"),
}
"""What a client of this surface is told (translation case 85): an upstream's 401 is no fault of the client's key, so it is a 502."""

_IN_STREAM = {
    "InternalServerException": "internalServerException",
    "ThrottlingException": "throttlingException",
    "ServiceUnavailableException": "serviceUnavailableException",
    "ValidationException": "validationException",
}
"""The exceptions a stream knows; any other is a `modelStreamErrorException`."""


def _answer(error: HeadgateError) -> tuple[int, str]:
    if isinstance(error, ProviderError):
        status, name = _ANSWERS[error.kind]
        return (413, name) if error.status == 413 and error.kind is ErrorKind.BAD_REQUEST else (status, name)
    return (400, "ValidationException") if isinstance(error, UsageError | WireError) else (500, "InternalServerException")


def _message(error: HeadgateError) -> str:
    param = getattr(error, "param", None)
    message = error.message if not param or param in error.message else f"{param}: {error.message}"
    return f"{message} ({error.hint})" if error.hint else message


def render_error(error: HeadgateError) -> RenderedError:
    """An error in this surface's envelope; any error of the tree is accepted. `retry-after` is whole seconds, rounded up."""
    status, name = _answer(error)
    headers = [("content-type", "application/json"), ("x-amzn-errortype", name)]
    if isinstance(error, ProviderError):
        if error.retry_after is not None:
            headers.append(("retry-after", str(math.ceil(error.retry_after))))
        if error.request_id is not None:
            headers.append(("x-amzn-requestid", error.request_id))
    return RenderedError(status, encode({"message": _message(error)}), tuple(headers))


def exception_frame(error: HeadgateError) -> bytes:
    """An error inside a stream."""
    name = _IN_STREAM.get(_answer(error)[1], "modelStreamErrorException")
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return encode_frame(headers, encode({"message": _message(error)}))


def error_of_body(body: bytes) -> ProviderError:
    """The error in an answer whose status said that all was well."""
    name = _name(_object(body).get("__type"))
    return parse_error(_NAME_STATUS.get(name or "", 500), {}, body)
