"""The asynchronous client. Every call leaves a receipt, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import TypeAlias, Unpack

import msgspec

from headgate.client import ChatClient, EmbedClient, StreamSession, Target
from headgate.client.chat import prepare
from headgate.client.counting import TokenCount, Tokenizer, count_tokens
from headgate.dialects.base import Note
from headgate.domain.content import Text
from headgate.domain.embedding import EmbedRequest
from headgate.domain.events import BlockStart, Delta, Failed, StreamEvent
from headgate.domain.request import Request
from headgate.errors import HeadgateError, Unsupported, UsageError
from headgate.library.completion import Completion, completion_of
from headgate.library.embeddings import Embeddings, EmbedOptions, embed_request, embeddings_of
from headgate.library.options import Messages, Options, make_request
from headgate.library.parts import LibraryParts
from headgate.serving.metering import Meter, Tab


class AsyncClient:
    """Calls to any model from one event loop. Use it as an async context manager, or close it with `aclose`.

    A call's `model` is a name such as "openai/gpt-4o-mini", or a whole `Request`; `messages` is a prompt, or a sequence of `Message`
    values or of mappings as OpenAI writes them.
    """

    def __init__(self, parts: LibraryParts | None = None, *, make_parts: Callable[[], LibraryParts] | None = None) -> None:
        if parts is None and make_parts is None:
            raise TypeError("give parts or make_parts")
        self._parts = make_parts() if parts is None and make_parts is not None else parts
        self._meter: Meter | None = None
        self._open: set[AsyncStream] = set()
        self._calls: set[asyncio.Future[None]] = set()

    async def complete(self, model: str | Request, messages: Messages | None = None, **options: Unpack[Options]) -> Completion:
        """One whole answer.

        Raises `ConfigError` for an unknown model or a missing key, `Unsupported` and `UsageError` for what cannot be asked,
        `ProviderError` and `WireError` for what went wrong at the provider or on the way.
        """
        request = make_request(model, messages, options)
        parts, meter, target = await self._prepare(request)
        tab = Tab(meter.call(parts.face, target))
        async with self._counted(), tab.settled_now_by(meter):
            ready = prepare(target, msgspec.structs.replace(request, stream=None, stream_usage=None))
            tab.describe(request_bytes=len(ready.body), notes=ready.rendered.notes)
            check_strict(ready.rendered.notes, options.get("strict", False))
            tab.called = True
            exchange = await ChatClient(parts.http).complete_prepared(target, ready, request_id=tab.call.id, limit=options.get("timeout"))
            tab.answered(exchange.response, exchange.upstream_id)
            tab.describe(request_bytes=len(ready.body), notes=exchange.notes)
        assert tab.receipt is not None
        return completion_of(exchange.response, tab.receipt)

    def stream(self, model: str | Request, messages: Messages | None = None, **options: Unpack[Options]) -> AsyncStream:
        """A streamed answer: ``async with client.stream(…) as stream: async for text in stream: …``. Raises as `complete` does."""
        return AsyncStream(self._prepare, make_request(model, messages, options), options, self._open)

    async def embed(
        self, model: str | EmbedRequest, inputs: str | Sequence[str] | None = None, **options: Unpack[EmbedOptions]
    ) -> Embeddings:
        """A vector for each text, in as many calls to that one model as it needs, with one receipt. Raises as `complete` does."""
        request = embed_request(model, inputs, options)
        parts, meter, target = await self._prepare(request)
        tab = Tab(meter.call(parts.face, target, operation="embed"))
        async with self._counted(), tab.settled_now_by(meter):
            session = EmbedClient(parts.http).begin(target, request, request_id=tab.call.id, limit=options.get("timeout"))
            tab.describe(request_bytes=session.request_bytes, notes=session.notes)
            check_strict(session.notes, options.get("strict", False))
            tab.called, tab.response = True, session.so_far
            exchange = await session.run()
            tab.answered(session.so_far(), exchange.upstream_id)
        assert tab.receipt is not None
        return embeddings_of(exchange.response, tab.receipt)

    async def count_tokens(
        self, model: str | Request, messages: Messages | None = None, *, tokenizer: Tokenizer | None = None, **options: Unpack[Options]
    ) -> TokenCount:
        """Tokens of a request's input, and who counted them: the provider where it does, else `tokenizer`, else an estimate.

        Costs nothing and leaves no receipt. Raises as `complete` does.
        """
        request = make_request(model, messages, options)
        parts, _, target = await self._prepare(request)
        async with self._counted():
            return await count_tokens(parts.http, target, request, tokenizer)

    async def aclose(self) -> None:
        """Leave the streams that are still open, wait for receipts, and close the parts if they are the client's own.

        Calls under way in other tasks fail then, with a receipt. A second call does nothing.
        """
        parts, self._parts = self._parts, None
        for stream in tuple(self._open):
            await stream.__aexit__(None, None, None)
        if parts is not None and parts.close is not None:
            await parts.http.aclose()
            while self._calls:
                await asyncio.wait(self._calls)
        if self._meter is not None:
            await self._meter.drain()
        if parts is not None and parts.close is not None:
            await parts.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        """Let `aclose` know of the call."""
        ended = asyncio.get_running_loop().create_future()
        self._calls.add(ended)
        try:
            yield
        finally:
            self._calls.discard(ended)
            ended.set_result(None)

    async def _prepare(self, request: Request | EmbedRequest) -> tuple[LibraryParts, Meter, Target]:
        """The parts, ready to book, and the target."""
        parts = self._parts
        if parts is None:
            raise UsageError("this client is closed", hint="client = headgate.AsyncClient()")
        if self._meter is None:
            self._meter = Meter(parts.ledger, parts.clock, parts.new_id)
        target = parts.resolve(request.model)
        await self._meter.ready()
        return parts, self._meter, target


Prepare: TypeAlias = Callable[[Request], Awaitable[tuple[LibraryParts, Meter, Target]]]


class AsyncStream:
    """A streamed answer: an async context manager that iterates over pieces of text; `events` gives everything.

    Leaving early cancels the call at the provider and books what came. `completion` is there once the answer is whole.
    """

    def __init__(self, prepare_call: Prepare, request: Request, options: Options, opened: set[AsyncStream]) -> None:
        self._prepare = prepare_call
        self._request = request
        self._options = options
        self._siblings = opened
        self._meter: Meter | None = None
        self._tab: Tab | None = None
        self._session: StreamSession | None = None
        self._begun = False

    async def __aenter__(self) -> AsyncStream:
        parts, self._meter, target = await self._prepare(self._request)
        self._tab = tab = Tab(self._meter.call(parts.face, target, stream=True))
        try:
            session = ChatClient(parts.http).stream(target, self._request, request_id=tab.call.id, limit=self._options.get("timeout"))
            tab.describe(request_bytes=session.request_bytes, notes=session.notes)
            check_strict(session.notes, self._options.get("strict", False))
            tab.called = True
            await session.__aenter__()
        except BaseException as error:
            await self._settle(error)
            raise
        self._session = session
        self._siblings.add(self)
        tab.status, tab.upstream_id, tab.response = 200, session.upstream_id, session.fold.response
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        session, tab = self._opened()
        self._siblings.discard(self)
        try:
            await session.__aexit__(kind, error, trace)
        finally:
            if tab.receipt is None:
                tab.cancelled = True
                await self._settle(None)

    async def __aiter__(self) -> AsyncGenerator[str, None]:
        texts: set[int] = set()
        async with aclosing(self.events()) as events:
            async for event in events:
                piece = _text(event, texts)
                if piece:
                    yield piece

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        """Every event, once. Raises `ProviderError` for an error inside the stream, `Truncated` for one that ends before its end."""
        session, tab = self._opened()
        if self._begun:
            raise UsageError("a stream can be read once")
        self._begun = True
        try:
            async with aclosing(aiter(session)) as events:
                async for event in events:
                    tab.first_byte = session.first_event
                    if isinstance(event, Failed):
                        raise event.error
                    yield event
        except HeadgateError as error:
            await self._settle(error)
            raise
        tab.whole = session.complete
        await self._settle(None)

    @property
    def completion(self) -> Completion:
        """The whole answer. Raises `UsageError` before the end of the stream."""
        session, tab = self._opened()
        if tab.receipt is None or not tab.whole:
            raise UsageError("the answer is not whole: read the stream to its end first")
        return completion_of(session.fold.response(), tab.receipt)

    def _opened(self) -> tuple[StreamSession, Tab]:
        if self._session is None or self._tab is None:
            raise UsageError("open the stream first", hint="async with client.stream(…) as stream: …")
        return self._session, self._tab

    async def _settle(self, error: BaseException | None) -> None:
        assert self._meter is not None and self._tab is not None
        if error is not None:
            self._tab.note(error)
        self._tab.receipt = await self._meter.settle_now(self._tab.call, self._tab.outcome())


def check_strict(notes: tuple[Note, ...], strict: bool) -> None:
    """With `strict`, raises `Unsupported` for the first field that would not arrive as asked."""
    if notes and strict:
        first = notes[0]
        raise Unsupported(f"{first.field} would be {first.action}: {first.reason}", param=first.field)


def _text(event: StreamEvent, texts: set[int]) -> str:
    """The text an event adds to the first choice; `texts` collects which of its blocks are text."""
    if isinstance(event, BlockStart) and event.choice == 0 and isinstance(event.head, Text):
        texts.add(event.block)
        return event.head.text
    if isinstance(event, Delta) and event.choice == 0 and event.block in texts:
        return event.text
    return ""
