"""Chat calls: whole and streamed."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from types import TracebackType

import msgspec

from headgate.client.target import Target, concealed, refusal, upstream_id
from headgate.dialects.base import ChatDialect, Note, RenderedRequest, StreamTap
from headgate.domain.events import Failed, StreamEvent
from headgate.domain.fold import Fold
from headgate.domain.request import Request
from headgate.domain.response import Response
from headgate.errors import ErrorKind, HeadgateError, ProviderError, WireError
from headgate.transport.http1 import HttpClient
from headgate.transport.stream import StreamReply
from headgate.wire.http import Reply, Send
from headgate.wire.json import Raw, encode

CONTENT_TYPE = ("content-type", "application/json")


class Exchange(msgspec.Struct, frozen=True):
    """A finished call: the answer, what was lost in translation, and when it happened. Times are epoch seconds and seconds."""

    response: Response
    notes: tuple[Note, ...]
    started: float
    duration: float
    upstream_id: str | None
    request_bytes: int
    headers: Mapping[str, str]
    """Those of the provider's answer; names are lower-case."""


class Prepared(msgspec.Struct, frozen=True):
    """A rendered request, encoded, beside the request itself."""

    rendered: RenderedRequest
    body: bytes
    request: Request

    def call(self, limit: float | None, *, once: bool = False) -> Send:
        """The call to make, within `limit` seconds; with `once` the transport never sends it a second time."""
        return Send("POST", self.rendered.path, self.body, (CONTENT_TYPE, *self.rendered.headers), limit, once)


def prepare(target: Target, request: Request) -> Prepared:
    """Render `request` for the target. Raises `Unsupported` for what the target cannot express."""
    named = msgspec.structs.replace(request, model=target.model)
    rendered = target.chat.render_request(named, target.capabilities)
    return Prepared(rendered, encode(rendered.payload), named)


_MARK = "headgate: here stands the text \u2042"


class PreparedForm:
    """Requests to one target that differ in the text of one message alone: rendered once, and filled with each text.

    `request_of` gives the request for a text. The result is what `prepare` makes of it; a blank text, which some wires treat in a way of
    their own, and a wire that does not keep the text as one JSON string take the long way. Raises `Unsupported`, as `prepare` does.
    """

    def __init__(self, target: Target, request_of: Callable[[str], Request]) -> None:
        self._target = target
        self._request_of = request_of
        self._sample = prepare(target, request_of(_MARK))
        parts = self._sample.body.split(encode(_MARK))
        self._parts = (parts[0], parts[1]) if len(parts) == 2 else None

    def fill(self, text: str) -> Prepared:
        """The request with `text` in it."""
        request = self._request_of(text)
        if self._parts is None or not text or text.isspace():
            return prepare(self._target, request)
        before, after = self._parts
        body = b"".join((before, encode(text), after))
        rendered = msgspec.structs.replace(self._sample.rendered, payload=Raw(body))
        return Prepared(rendered, body, msgspec.structs.replace(request, model=self._target.model))


class ChatClient:
    """Calls over one `HttpClient`, which it does not own."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def complete(
        self,
        target: Target,
        request: Request,
        *,
        request_id: str | None = None,
        limit: float | None = None,
    ) -> Exchange:
        """One whole answer, within `limit` seconds. Raises `ProviderError` for refusals, failures and unreadable answers."""
        whole = msgspec.structs.replace(request, stream=None, stream_usage=None)
        return await self.complete_prepared(target, prepare(target, whole), request_id=request_id, limit=limit)

    async def complete_prepared(
        self, target: Target, ready: Prepared, *, request_id: str | None = None, limit: float | None = None, once: bool = False
    ) -> Exchange:
        """`complete` for a request that is rendered already; `once` forbids the transport to send it again on a fresh connection."""
        started, clock = time.time(), time.monotonic()
        reply = await self.send(target, ready.call(limit, once=once), request_id)
        response = read_answer(target, reply)
        notes = (*ready.rendered.notes, *target.chat.review(ready.request, response))
        return Exchange(response, notes, started, time.monotonic() - clock, upstream_id(reply.headers), len(ready.body), reply.headers)

    async def send(self, target: Target, call: Send, request_id: str | None = None) -> Reply:
        """Make one call as it stands and return a 2xx reply; any other raises `ProviderError`."""
        target = await target.ready()
        placed = target.placed(call)
        with naming(target):
            reply = await self._http.request(target.origin, placed, target.headers(placed, request_id))
        if not reply.ok:
            raise refusal(target, reply.status, reply.headers, reply.body, time.time())
        return reply

    def stream(self, target: Target, request: Request, *, request_id: str | None = None, limit: float | None = None) -> StreamSession:
        """``async with client.stream(target, request) as session: async for event in session: …``; leaving early cancels upstream."""
        ready = prepare(target, msgspec.structs.replace(request, stream=True, stream_usage=True))
        return StreamSession(self._http, target, ready, limit, request_id)


@contextmanager
def naming(target: Target) -> Iterator[None]:
    """Give an error of the network the name of the provider it was on the way to."""
    try:
        yield
    except ProviderError as error:
        error.provider = error.provider or target.provider.name
        raise


def read_answer(target: Target, reply: Reply) -> Response:
    """Parse a 2xx reply. Raises `ProviderError` for an error inside it, or for a body that is no answer of this dialect."""
    try:
        return target.chat.parse_response(reply.body)
    except ProviderError as error:
        concealed(target, error).provider = target.provider.name
        error.request_id = error.request_id or upstream_id(reply.headers)
        raise
    except WireError as error:
        raise bad_content(target, reply, error) from error


def bad_content(target: Target, reply: Reply, error: WireError, what: str = "a chat answer") -> ProviderError:
    """A 2xx reply whose body is not what the dialect promises (an HTML page, half a JSON text)."""
    kind = reply.headers.get("content-type", "no content type")
    return ProviderError(
        ErrorKind.SERVER,
        f"{target.provider.label} answered {reply.status} with {kind} that is not {what}: {error.message}",
        status=reply.status,
        code="upstream_bad_content",
        provider=target.provider.name,
        request_id=upstream_id(reply.headers),
        body=reply.body[:4096],
    )


class StreamSession:
    """One streamed answer: an async context manager and an async iterator of events.

    `headers` are those of the answer, `fold` holds what has come so far, also after a cut; `complete` is True once the dialect's terminator
    was seen. `notes` say what was lost on the way there, and after the end also what the answer shows to have been lost.
    """

    def __init__(self, http: HttpClient, target: Target, ready: Prepared, limit: float | None, request_id: str | None) -> None:
        self.target = target
        self.notes = ready.rendered.notes
        self.request_bytes = len(ready.body)
        self.started = 0.0
        self.first_event: float | None = None
        self.upstream_id: str | None = None
        self.headers: Mapping[str, str] = {}
        self.complete = False
        self.fold = Fold(self._dialect.name)
        self._clock = 0.0
        self._http = http
        self._call = ready.call(limit)
        self._request = ready.request
        self._request_id = request_id
        self._stack = AsyncExitStack()
        self._reply: StreamReply | None = None

    @property
    def _dialect(self) -> ChatDialect:
        return self.target.chat

    @property
    def duration(self) -> float:
        """Seconds since the call was made."""
        return time.monotonic() - self._clock

    async def __aenter__(self) -> StreamSession:
        self.started, self._clock = time.time(), time.monotonic()
        self.target = target = await self.target.ready()
        placed = target.placed(self._call)
        with naming(target):
            context = self._http.stream(target.origin, placed, target.headers(placed, self._request_id))
            reply = await self._stack.enter_async_context(context)
        try:
            self.upstream_id, self.headers = upstream_id(reply.headers), reply.headers
            if not reply.ok:
                whole = await reply.read()
                raise refusal(self.target, whole.status, whole.headers, whole.body, time.time())
        except BaseException as error:
            await self._stack.__aexit__(type(error), error, error.__traceback__)
            raise
        self._reply = reply
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def __aiter__(self) -> AsyncGenerator[StreamEvent, None]:
        assert self._reply is not None, "use `async with` before iterating"
        decoder = self._dialect.stream_decoder()
        with naming(self.target):
            async for data in self._reply.body:
                for event in decoder.feed(data):
                    self._note(event)
                    yield event
                if decoder.complete:
                    self._reply.finish()
                    break
        for event in decoder.close():
            self._note(event)
            yield event
        self.complete = self.fold.error is None
        if self.complete:
            self.notes = (*self.notes, *self._dialect.review(self._request, self.fold.response()))

    def _note(self, event: StreamEvent) -> None:
        if self.first_event is None:
            self.first_event = self.duration
        self.fold.add(event)
        if isinstance(event, Failed):
            concealed(self.target, event.error).provider = self.target.provider.name
            event.error.request_id = event.error.request_id or self.upstream_id


def listen(tap: StreamTap, data: bytes) -> HeadgateError | None:
    """Let a tap overhear bytes that pass through, and return (never raise) what it could not read.

    It may go on listening after that: what belongs to something it missed is an error again, and all else is heard.
    """
    try:
        tap.feed(data)
    except HeadgateError as error:
        return error
    except LookupError as error:
        return WireError(f"a part of the answer was missed before: {error!r}")
    return None
