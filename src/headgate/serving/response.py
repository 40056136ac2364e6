"""What an endpoint answers: a whole response, or a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeAlias

import msgspec

from headgate.errors import HeadgateError
from headgate.serving.request import Request
from headgate.wire.http import Headers
from headgate.wire.json import Json, encode

JSON = ("content-type", "application/json")
NO_STORE = ("cache-control", "no-store")


class Response(msgspec.Struct, frozen=True):
    """A whole response; the length is added by the adapter."""

    status: int
    headers: Headers = ()
    body: bytes = b""


class Stream(msgspec.Struct, frozen=True):
    """A response whose body comes piece by piece. `chunks` is closed when the client goes away, which must stop what it reads from.

    `keep_alive` is sent after each `ServerLimits.silence` seconds without a piece (empty: never); it must be harmless between any two
    pieces. `farewell` renders the last words for a stream that the server itself has to break off.
    """

    status: int
    headers: Headers
    chunks: AsyncGenerator[bytes, None]
    keep_alive: bytes = b""
    farewell: Callable[[HeadgateError], bytes] | None = None


Answer: TypeAlias = Response | Stream
Endpoint: TypeAlias = Callable[[Request], Awaitable[Answer]]


def marked(headers: Headers, marks: Headers) -> Headers:
    """`headers` with `marks`, whose names (in lower case) stand once: what was there under them goes."""
    names = {name for name, _ in marks}
    return (*(field for field in headers if field[0].lower() not in names), *marks)


def json_response(value: Json, status: int = 200, headers: Headers = ()) -> Response:
    """`value` as a JSON response."""
    return Response(status, (JSON, *headers), encode(value))
