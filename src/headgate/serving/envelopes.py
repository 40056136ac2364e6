"""Errors in the envelope of the surface they leave by (translation cases 85 and 93).

What a provider did is written by the surface's dialect. What Headgate itself refuses has a status of its own and is written here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeGuard

import msgspec

from headgate.dialects.base import ChatDialect
from headgate.errors import ConfigError, HeadgateError, MissingKey, ProviderError, StoreError, Truncated, Unsupported, UsageError, WireError
from headgate.serving.response import JSON, NO_STORE, Response, marked
from headgate.wire.http import Headers
from headgate.wire.json import JsonObject, encode


class Refused(UsageError):
    """A request that Headgate itself turns down, with the HTTP status it answers and further headers."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Headers = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.param = param
        self.headers = headers


class Fault(msgspec.Struct, frozen=True):
    """An error of our own, ready to be written in any envelope."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    headers: Headers = ()


class Surface(msgspec.Struct, frozen=True):
    """How a group of routes speaks: the dialect of its answers, and the envelope of our own errors."""

    name: str
    envelope: Callable[[Fault, str], JsonObject]
    """The body for a fault and our request id ("" when there is none)."""
    dialect: ChatDialect | None = None
    key_in_query: str = ""
    """The query's parameter in which its clients may send their key."""


_OPENAI_TYPES = {401: "invalid_request_error", 403: "permission_error", 408: "timeout_error", 429: "rate_limit_error"}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def openai_envelope(fault: Fault, request_id: str) -> JsonObject:
    """``{"error": {message, type, param, code}}``."""
    usual = "server_error" if fault.status >= 500 else "invalid_request_error"
    word = _OPENAI_TYPES.get(fault.status, usual)
    return {"error": {"message": fault.message, "type": word, "param": fault.param, "code": fault.code}}


def anthropic_envelope(fault: Fault, request_id: str) -> JsonObject:
    """``{"type": "error", "error": {type, message}, "request_id"}``; a parameter is named in the message."""
    usual = "api_error" if fault.status >= 500 else "invalid_request_error"
    named = fault.param is None or re.search(rf"(?<!\w){re.escape(fault.param)}(?!\w)", fault.message)
    message = fault.message if named else f"{fault.param}: {fault.message}"
    error: JsonObject = {"type": _ANTHROPIC_TYPES.get(fault.status, usual), "message": message}
    if fault.code is not None:
        error["details"] = {"error_code": fault.code}
    return {"type": "error", "error": error, "request_id": request_id or None}


_GOOGLE_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    504: "DEADLINE_EXCEEDED",
}
_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


def gemini_envelope(fault: Fault, request_id: str) -> JsonObject:
    """``{"error": {code, message, status, details}}``: our code is an `ErrorInfo`, a parameter a field violation."""
    usual = "UNAVAILABLE" if fault.status >= 500 else "INVALID_ARGUMENT"
    details: list[JsonObject] = []
    if fault.code is not None:
        details.append({"@type": _ERROR_INFO, "reason": fault.code.upper(), "domain": "headgate"})
    if fault.param is not None:
        details.append({"@type": _BAD_REQUEST, "fieldViolations": [{"field": fault.param, "description": fault.message}]})
    word = _GOOGLE_WORDS.get(fault.status, usual)
    return {"error": {"code": fault.status, "message": fault.message, "status": word, "details": details}}


PLAIN = Surface("plain", openai_envelope)
"""For what belongs to no wire, such as an unknown path."""


def error_response(error: HeadgateError, surface: Surface, request_id: str = "", headers: Headers = ()) -> Response:
    """The response for an error. A provider's error is written by the surface's dialect, with case 85's status; ours as `fault_of` says."""
    if is_providers_own(error) and surface.dialect is not None:
        rendered = surface.dialect.render_error(error)
        return Response(rendered.status, marked((*rendered.headers, NO_STORE), headers), rendered.body)
    fault = fault_of(error)
    body = encode(surface.envelope(fault, request_id))
    return Response(fault.status, marked((JSON, NO_STORE, *fault.headers), headers), body)


_OUR_CODES = {"upstream_bad_content": 502}
"""Codes of ours, with their status, for a provider that answered, but not with an answer (faults A24)."""


def is_providers_own(error: HeadgateError) -> TypeGuard[ProviderError]:
    """Whether the dialect of a surface has the words for an error; it has none for what a provider should never do."""
    return isinstance(error, ProviderError) and error.code not in _OUR_CODES


def fault_of(error: HeadgateError) -> Fault:
    """An error of the tree as a fault of ours: the first row of `_FAULTS` that fits."""
    if isinstance(error, Refused):
        return Fault(error.status, _message(error), error.code, error.param, error.headers)
    if isinstance(error, ProviderError):
        return Fault(_OUR_CODES.get(error.code or "", 502), _message(error), error.code)
    param = getattr(error, "param", None)
    status, code = next((status, code) for kind, status, code in _FAULTS if isinstance(error, kind))
    if isinstance(error, StoreError):
        return Fault(status, OUT_OF_REACH, code, headers=(("retry-after", "1"),))
    return Fault(status, _message(error), code, param)


OUT_OF_REACH = "the gateway cannot read or write its books now; its log and /readyz say why (try again in a moment)"
"""What a client is told of a store: where that is and what is wrong with it concern the house."""
_FAULTS: tuple[tuple[type[HeadgateError], int, str | None], ...] = (
    (MissingKey, 502, "upstream_auth"),
    (ConfigError, 404, "model_not_found"),
    (Unsupported, 400, "unsupported_parameter"),
    (UsageError, 400, None),
    (StoreError, 503, "store_unavailable"),
    (Truncated, 502, "upstream_incomplete"),
    (WireError, 502, "upstream_bad_content"),
    (HeadgateError, 500, "internal_error"),
)


def _message(error: HeadgateError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
