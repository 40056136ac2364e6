"""Claude behind Bedrock's InvokeModel: the Anthropic Messages wire in AWS's framing (Amazon Bedrock user guide, "Anthropic Claude Messages
API"; recorded traffic).

The model and the choice of streaming are in the path, ``/model/{modelId}/invoke`` or ``/invoke-with-response-stream``; the body names a
version and carries betas as a list. A stream is AWS's binary one: each frame holds one event of the Messages stream in base64. Errors are
AWS's. Everything else is Anthropic's, so a request read here is one of `anthropic_messages` and can go to Anthropic itself as it is.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Sequence

from msgspec.structs import replace

from headgate.dialects import anthropic_messages
from headgate.dialects.anthropic_messages.errors import error_of_event
from headgate.dialects.base import ChatDialect, RenderedRequest, StreamContext
from headgate.dialects.bedrock_converse.errors import error_of_body, error_of_frame, exception_frame, parse_error, render_error
from headgate.dialects.bedrock_converse.names import parse_path, render_path
from headgate.domain.capabilities import Capabilities
from headgate.domain.events import Failed, StreamEvent
from headgate.domain.request import Request
from headgate.domain.response import Response
from headgate.errors import WireError
from headgate.wire.eventstream import Frame, FrameDecoder, encode_frame
from headgate.wire.http import Headers
from headgate.wire.json import JsonObject, decode, encode, obj, text
from headgate.wire.sse import SseDecoder, sse_event

NAME = "bedrock_anthropic"
VERSION = "bedrock-2023-05-31"

BETAS = "anthropic_beta"
"""Key of the body with the names of betas, which elsewhere travel in the header `anthropic-beta`."""

_INNER = anthropic_messages.DIALECT
_VERSION_KEY = "anthropic_version"
_VERSION_MARK = "anthropic_version:"
"""Spelling mark: another version than the usual one, or none."""

_IN_BODY = ("anthropic-beta", "anthropic-version")
"""Headers of the Messages wire whose values stand in the body here."""

_OPERATIONS = ("invoke", "invoke-with-response-stream")


def render_request(request: Request, capabilities: Capabilities) -> RenderedRequest:
    """A request as path and body. Raises `Unsupported` for what must be refused; every other loss is a `Note`."""
    rendered = _INNER.render_request(request, capabilities)
    payload = {key: value for key, value in rendered.payload.items() if key not in ("model", "stream")}
    version = next((mark[len(_VERSION_MARK) :] for mark in request.form if mark.startswith(_VERSION_MARK)), VERSION)
    if version:
        payload[_VERSION_KEY] = version
    path = render_path(request.model, _OPERATIONS[bool(request.stream)])
    headers = tuple((name, value) for name, value in rendered.headers if name.lower() not in _IN_BODY)
    return with_betas(RenderedRequest(path, payload, rendered.notes, headers), betas_of(rendered.headers))


def with_betas(rendered: RenderedRequest, betas: Sequence[str]) -> RenderedRequest:
    """A rendered request that asks for betas as well, such as those of a caller's `anthropic-beta` header."""
    if not betas:
        return rendered
    before = rendered.payload.get(BETAS)
    kept = before if isinstance(before, list) else []
    names = [*kept, *(name for name in dict.fromkeys(betas) if name not in kept)]
    return replace(rendered, payload={**rendered.payload, BETAS: names})


def betas_of(headers: Headers) -> list[str]:
    """The names in `anthropic-beta` headers."""
    values = ",".join(value for name, value in headers if name.lower() == "anthropic-beta")
    return [name.strip() for name in values.split(",") if name.strip()]


def parse_request(body: bytes, path: str) -> Request:
    """Path and body as a request of the Messages wire. Raises `WireError` with `param` for malformed input."""
    model, streamed = parse_path(path, *_OPERATIONS)
    wire = obj(decode(body, what="request body"), "body")
    for key in ("model", "stream"):
        if key in wire:
            raise WireError(f"{key} is said by the path here, not in the body", param=key)
    version = wire.pop(_VERSION_KEY, "")
    form = () if version == VERSION else (_VERSION_MARK + text(version, _VERSION_KEY),)
    request = _INNER.parse_request(encode({"model": model, **wire}), "")
    return replace(request, stream=True if streamed else None, form=request.form + form)


def parse_response(body: bytes) -> Response:
    """A whole answer. Raises `ProviderError` for an error object with status 200, AWS's or Anthropic's."""
    wire = decode(body, what="response body")
    if isinstance(wire, dict) and "type" not in wire and ("__type" in wire or isinstance(wire.get("message"), str)):
        raise error_of_body(body)
    return _INNER.parse_response(body)


def render_response(response: Response) -> bytes:
    """An answer of any origin as a message; one of the Messages wire without usage, which guardrails cause, stays without."""
    rendered = _INNER.render_response(response)
    if response.usage is not None or response.dialect != _INNER.name:
        return rendered
    wire: JsonObject = decode(rendered)
    return encode({key: value for key, value in wire.items() if key != "usage"})


class InvokeDecoder:
    """A `StreamDecoder` for one answer: frames in, events of the Messages wire out."""

    def __init__(self) -> None:
        self._frames = FrameDecoder()
        self._inner = _INNER.stream_decoder()
        self._failed = False

    @property
    def complete(self) -> bool:
        """`message_stop`, an error event or an exception was seen."""
        return self._failed or self._inner.complete

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events completed by these bytes. Raises `WireError` for a broken frame and for events that are none of the Messages wire."""
        events: list[StreamEvent] = []
        for frame in self._frames.feed(data):
            if self._failed:
                break
            if frame.text(":message-type") in ("exception", "error"):
                self._failed = True
                events.append(Failed(error_of_frame(frame)))
            else:
                events += self._inner.feed(_reframed(frame))
        return events

    def close(self) -> list[StreamEvent]:
        """Last events at the end of the bytes. Raises `Truncated` when the answer is not complete."""
        if self._failed:
            return []
        if not self._inner.complete:
            self._frames.close()
        return self._inner.close()


def _reframed(frame: Frame) -> bytes:
    """The event inside a chunk as a server-sent event; nothing for a frame of another kind."""
    if frame.text(":event-type") != "chunk":
        return b""
    wire = obj(decode(frame.payload, what="stream event"), "chunk")
    try:
        return sse_event(b64decode(text(wire.get("bytes"), "chunk.bytes"), validate=True))
    except (Error, ValueError) as error:
        raise WireError(f"chunk.bytes is not base64: {error}", param="chunk.bytes") from error


class InvokeEncoder:
    """A `StreamEncoder` for one answer: the Messages wire's events, each in a frame."""

    def __init__(self, context: StreamContext) -> None:
        self._inner = _INNER.stream_encoder(context)
        self._events = SseDecoder()
        self._failed = False

    def render_event(self, event: StreamEvent) -> bytes:
        """Wire bytes for one event; empty while it waits or has no place on this wire. Nothing follows a failure."""
        if self._failed:
            return b""
        if isinstance(event, Failed):
            self._failed = True
            return exception_frame(event.error)
        return self._framed(self._inner.render_event(event))

    def close(self) -> bytes:
        """The terminator, after a complete answer only."""
        return b"" if self._failed else self._framed(self._inner.close())

    def _framed(self, data: bytes) -> bytes:
        frames: list[bytes] = []
        for event in self._events.feed(data):
            if event.event == "error":
                self._failed = True
                frames.append(exception_frame(error_of_event(decode(event.data))))
            else:
                headers = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
                frames.append(encode_frame(headers, encode({"bytes": b64encode(event.data).decode()})))
        return b"".join(frames)


DIALECT = ChatDialect(
    name=NAME,
    render_request=render_request,
    parse_request=parse_request,
    render_response=render_response,
    parse_response=parse_response,
    stream_decoder=InvokeDecoder,
    stream_encoder=InvokeEncoder,
    render_error=render_error,
    parse_error=parse_error,
    stream_type="application/vnd.amazon.eventstream",
    reads=_INNER.name,
)
