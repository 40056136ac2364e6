"""Requests and answers as values, and the refusal every wire renders in its own shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from headgate.wire.json import Json, JsonObject, encode

Headers: TypeAlias = tuple[tuple[str, str], ...]

JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream"
SSE_UTF8 = SSE_TYPE + "; charset=utf-8"


class Request(msgspec.Struct, frozen=True):
    """One HTTP request. `path` is without the query; `query` and `headers` keep the last value; header names are lower-case.

    `target` is path and query as they came over the wire, which is what signatures cover.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    target: str = ""


class Answer(msgspec.Struct, frozen=True):
    """One HTTP answer: a `body`, or `events` to be streamed one by one (an event is a complete wire frame).

    `failure` renders an error after so many events where that depends on what was sent; else the wire's `stream_error` does.
    """

    status: int = 200
    body: bytes = b""
    events: tuple[bytes, ...] | None = None
    content_type: str = JSON_TYPE
    headers: Headers = ()
    failure: Callable[[Problem, int], tuple[bytes, ...]] | None = None


class Problem(Exception):
    """A refusal. `name` is an entry of `faults.ErrorName`; `status` overrides the wire's usual status for it."""

    def __init__(
        self,
        name: str,
        message: str | None = None,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message or name)
        self.name = name
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after


def answer_json(value: Json, *, status: int = 200, content_type: str = JSON_TYPE, headers: Headers = ()) -> Answer:
    """`value` as a JSON answer."""
    return Answer(status=status, body=encode(value), content_type=content_type, headers=headers)


def need_object(value: Json, what: str) -> JsonObject:
    """`value` as an object, or a bad request naming `what`."""
    if isinstance(value, dict):
        return value
    raise Problem("bad_request", f"{what} must be an object.", param=what)


def need_list(value: Json, what: str) -> list[Json]:
    """`value` as an array, or a bad request naming `what`."""
    if isinstance(value, list):
        return value
    raise Problem("bad_request", f"{what} must be an array.", param=what)


def whole(text: str | None, default: int, low: int, high: int, what: str) -> int:
    """A query parameter as an integer within bounds, or a bad request naming `what`."""
    if text is None:
        return default
    if not text.isdigit() or not low <= int(text) <= high:
        raise Problem("bad_request", f"{what} must be an integer between {low} and {high}.", param=what)
    return int(text)
