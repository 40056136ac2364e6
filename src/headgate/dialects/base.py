"""What every dialect offers.

A dialect is a value: a frozen record of functions, complete by construction. `render_*` writes wire, `parse_*` reads wire. The same
record serves the client (render a request, parse the answer) and the gateway (parse a request, render the answer).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import msgspec

from headgate.domain.capabilities import Capabilities
from headgate.domain.events import Failed, StreamEvent
from headgate.domain.fold import Fold
from headgate.domain.request import Request
from headgate.domain.response import Response
from headgate.domain.usage import Usage
from headgate.errors import ProviderError
from headgate.wire.http import Headers
from headgate.wire.json import JsonObject, Raw


class Note(msgspec.Struct, frozen=True):
    """A field of the request that did not arrive as asked. `field` is a path in the request as the caller wrote it."""

    field: str
    action: Literal["approximated", "dropped"]
    reason: str


class RenderedRequest(msgspec.Struct, frozen=True):
    """A request ready to be encoded: `path` is relative to the provider's base URL, `payload` the JSON body."""

    path: str
    payload: JsonObject
    notes: tuple[Note, ...] = ()
    headers: Headers = ()


class RenderedError(msgspec.Struct, frozen=True):
    """An error in a surface's own envelope."""

    status: int
    body: bytes
    headers: Headers = ()


class StreamDecoder(Protocol):
    """Bytes in, events out; any split of the bytes gives the same events."""

    @property
    def complete(self) -> bool:
        """The terminator (or an error event) was seen: nothing that matters follows."""
        ...

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events completed by these bytes. Raises `WireError` for bytes that break the protocol."""
        ...

    def close(self) -> list[StreamEvent]:
        """Last events at the end of the bytes. Raises `Truncated` when the terminator was not seen."""
        ...


class StreamTap(Protocol):
    """Bytes in, an account out: what the answer cost, how it ended, what failed. Its words are only gathered."""

    @property
    def complete(self) -> bool:
        """The terminator (or an error event) was seen."""
        ...

    @property
    def error(self) -> Failed | None:
        """The error the provider reported inside the stream."""
        ...

    def feed(self, data: bytes) -> None:
        """Hear these bytes. Raises `WireError` for bytes that break the protocol."""
        ...

    def close(self) -> None:
        """The end of the bytes. Raises `Truncated` when the terminator was not seen."""
        ...

    def response(self) -> Response:
        """The answer as far as it is known."""
        ...


class FoldTap:
    """The tap of any decoder: everything is decoded and folded."""

    def __init__(self, decoder: StreamDecoder, name: str) -> None:
        self._decoder = decoder
        self._fold = Fold(name)

    @property
    def complete(self) -> bool:
        """The terminator (or an error event) was seen."""
        return self._decoder.complete

    @property
    def error(self) -> Failed | None:
        """The error the provider reported inside the stream."""
        return self._fold.error

    def feed(self, data: bytes) -> None:
        """Hear these bytes. Raises `WireError` for bytes that break the protocol."""
        self._fold.add_all(self._decoder.feed(data))

    def close(self) -> None:
        """The end of the bytes. Raises `Truncated` when the terminator was not seen."""
        self._fold.add_all(self._decoder.close())

    def response(self) -> Response:
        """The answer as far as it is known."""
        return self._fold.response()


class StreamEncoder(Protocol):
    """Events in, bytes out, for one answer."""

    def render_event(self, event: StreamEvent) -> bytes:
        """Wire bytes for one event; empty when it has nothing to say here."""
        ...

    def close(self) -> bytes:
        """The terminator, after a complete answer only."""
        ...


class StreamContext(msgspec.Struct, frozen=True):
    """What an encoder must know beyond the events. `created` is seconds since the epoch, `id` used when the upstream gave none."""

    model: str
    id: str
    created: int
    include_usage: bool = True
    echo: JsonObject = {}
    """What the answer repeats of the request, see `ChatDialect.echo`."""


def no_review(request: Request, response: Response) -> tuple[Note, ...]:
    """What most wires' answers say of the request's fate: nothing."""
    return ()


def no_echo(fields: Mapping[str, Raw]) -> JsonObject:
    """Most wires' answers repeat nothing of the request."""
    return {}


def no_skim(body: bytes) -> Response | None:
    """Nothing is known of a whole answer before it is read whole."""
    return None


def same_usage(usage: Usage) -> Usage:
    """Nothing is known of what a provider's own object says besides the buckets."""
    return usage


class ChatDialect(msgspec.Struct, frozen=True):
    """One chat wire format.

    * `render_request(request, capabilities)`: raises `Unsupported` for what must be refused; every other loss is a `Note`.
    * `parse_request(body, path)`: `path` is the request path without the base (Gemini keeps model and streaming there).
      Raises `WireError` with `param` for malformed input.
    * `render_response(response)` / `parse_response(body)`: a whole answer. A 200 with an error object raises `ProviderError`.
    * `stream_decoder()` / `stream_encoder(context)`: one streamed answer.
    * `stream_tap(decoder, name)`: listens to a streamed answer with a fresh decoder of the dialect of this name, or for less than that.
    * `render_error(error)` / `parse_error(status, headers, body)`: `headers` keys are lower-case; never raises.
    * `reads`: the dialect whose requests this one carries without loss, in another frame ("anthropic_messages" for Claude on Bedrock).
    * `conversational`: False for a wire of bare prompts, which has no turns and no tools.
    * `skim(body)`: the account of a usual whole answer (id, model, finish, usage, tier), without its words, where that is cheaper than
      `parse_response`; None for any other. What it tells, `parse_response` tells as well. It may not notice text that is no UTF-8.
    * `plain_usage(usage)`: the usage of an answer without the provider's own object, where that says nothing besides the buckets.
    * `echo(fields)`: what an answer repeats of the fields of its request (Responses: `text`, `tools`, `temperature` and more).
    * `review(request, response)`: what an answer shows to have been lost of its request (a prompt the server cut without a word).
    """

    name: str
    render_request: Callable[[Request, Capabilities], RenderedRequest]
    parse_request: Callable[[bytes, str], Request]
    render_response: Callable[[Response], bytes]
    parse_response: Callable[[bytes], Response]
    stream_decoder: Callable[[], StreamDecoder]
    stream_encoder: Callable[[StreamContext], StreamEncoder]
    render_error: Callable[[ProviderError], RenderedError]
    parse_error: Callable[[int, dict[str, str], bytes], ProviderError]
    stream_type: str = "text/event-stream"
    review: Callable[[Request, Response], tuple[Note, ...]] = no_review
    reads: str = ""
    conversational: bool = True
    stream_tap: Callable[[StreamDecoder, str], StreamTap] = FoldTap
    skim: Callable[[bytes], Response | None] = no_skim
    plain_usage: Callable[[Usage], Usage] = same_usage
    echo: Callable[[Mapping[str, Raw]], JsonObject] = no_echo
