"""The asynchronous client. Every call leaves a receipt, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import TypeAlias, Unpack

import msgspec

from headgate.client import ChatClient, EmbedClient, StreamSession
from headgate.client.chat import Prepared, prepare
from headgate.client.counting import TokenCount, Tokenizer, count_tokens
from headgate.dialects.base import Note
from headgate.domain.content import Text
from headgate.domain.embedding import EmbedRequest, EmbedResponse
from headgate.domain.events import BlockStart, Delta, Failed, StreamEvent
from headgate.domain.request import Request
from headgate.domain.response import Response
from headgate.errors import HeadgateError, Unsupported, UsageError
from headgate.library.completion import Completion, completion_of
from headgate.library.embeddings import Embeddings, EmbedOptions, embed_request, embeddings_of
from headgate.library.options import Messages, Options, make_request
from headgate.library.outlay import Asked, lowered, wish_of
from headgate.library.parts import LibraryParts
from headgate.library.terms import NO_TERMS, Terms
from headgate.library.till import Till
from headgate.library.trip import Leg, Trip, clamped


class AsyncClient:
    """Calls to any model from one event loop. Use it as an async context manager, or close it with `aclose`.

    A call's `model` is a name such as "openai/gpt-4o-mini", a route or an alias of the settings, or a whole `Request`; `messages` is a
    prompt, or a sequence of `Message` values or of mappings as OpenAI writes them. `terms` say in whose name it calls, and what it may
    spend.
    """

    def __init__(
        self,
        parts: LibraryParts | None = None,
        *,
        make_parts: Callable[[], LibraryParts] | None = None,
        terms: Terms = NO_TERMS,
    ) -> None:
        if parts is None and make_parts is None:
            raise TypeError("give parts or make_parts")
        self._parts = made = make_parts() if parts is None and make_parts is not None else parts
        self._till = None if made is None else Till(made, terms)
        self._open: set[AsyncStream] = set()
        self._calls: set[asyncio.Future[None]] = set()

    async def complete(self, model: str | Request, messages: Messages | None = None, **options: Unpack[Options]) -> Completion:
        """One whole answer.

        Raises `ConfigError` for an unknown model or a missing key, `Unsupported` and `UsageError` for what cannot be asked,
        `BudgetExceeded` for what a budget has no room for, `ProviderError` and `WireError` for what went wrong at the provider or on the
        way once nothing else could be tried, `StoreError` while the ledger cannot be written.
        """
        request = msgspec.structs.replace(make_request(model, messages, options), stream=None, stream_usage=None)
        parts, trip = await self._begin(request, options.get("timeout"))
        strict = options.get("strict", False)

        async def ask(leg: Leg) -> Response:
            ready = await _reserved(leg, request, strict)
            leg.leaves()
            exchange = await ChatClient(parts.http).complete_prepared(leg.target, ready, request_id=trip.id, limit=leg.left)
            leg.tab.answered(exchange.response, exchange.upstream_id)
            leg.tab.describe(request_bytes=len(ready.body), notes=(*leg.tab.call.notes, *exchange.notes[len(ready.rendered.notes) :]))
            return exchange.response

        async with self._counted():
            leg, response = await trip.run(ask)
            await _concluded(trip, leg)
        assert trip.receipt is not None
        return completion_of(response, trip.receipt)

    def stream(self, model: str | Request, messages: Messages | None = None, **options: Unpack[Options]) -> AsyncStream:
        """A streamed answer: ``async with client.stream(…) as stream: async for text in stream: …``. Raises as `complete` does."""
        return AsyncStream(self._begin, make_request(model, messages, options), options, self._open)

    async def embed(
        self, model: str | EmbedRequest, inputs: str | Sequence[str] | None = None, **options: Unpack[EmbedOptions]
    ) -> Embeddings:
        """A vector for each text, in as many calls to that one model as it needs, with one receipt. Raises as `complete` does."""
        request = embed_request(model, inputs, options)
        parts, trip = await self._begin(request, options.get("timeout"))
        strict = options.get("strict", False)

        async def ask(leg: Leg) -> EmbedResponse:
            session = EmbedClient(parts.http).begin(leg.target, request, request_id=trip.id, limit=leg.left)
            leg.tab.describe(request_bytes=session.request_bytes, notes=session.notes)
            check_strict(session.notes, strict)
            await leg.reserve(session.request_bytes)
            leg.leaves()
            leg.tab.response = session.so_far
            exchange = await session.run()
            leg.tab.answered(session.so_far(), exchange.upstream_id)
            return exchange.response

        async with self._counted():
            leg, response = await trip.run(ask)
            await _concluded(trip, leg)
        assert trip.receipt is not None
        return embeddings_of(response, trip.receipt)

    async def count_tokens(
        self, model: str | Request, messages: Messages | None = None, *, tokenizer: Tokenizer | None = None, **options: Unpack[Options]
    ) -> TokenCount:
        """Tokens of a request's input, and who counted them: the provider where it does, else `tokenizer`, else an estimate.

        Of several deployments, the one that would be asked first counts. Costs nothing and leaves no receipt. Raises as `complete` does.
        """
        request = make_request(model, messages, options)
        parts, _ = self._usable()
        plan = parts.router.plan(wish_of(request), asyncio.get_running_loop().time())
        asked = [choice.deployment for choice in plan.order] or [one.deployment for one in plan.rejected]
        async with self._counted():
            return await count_tokens(parts.http, parts.target(asked[0]), request, tokenizer)

    async def aclose(self) -> None:
        """Leave the streams that are still open, wait for calls and receipts, and close the parts if they are the client's own.

        With its own parts, calls under way in other tasks fail then, with a receipt. A second call does nothing.
        """
        parts, self._parts = self._parts, None
        for stream in tuple(self._open):
            await stream.__aexit__(None, None, None)
        if parts is not None and parts.close is not None:
            await parts.http.aclose()
        while self._calls:
            await asyncio.wait(self._calls)
        if parts is not None and self._till is not None:
            await self._till.close()
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

    def _usable(self) -> tuple[LibraryParts, Till]:
        """The parts. Raises `UsageError` for a client that is closed."""
        if self._parts is None or self._till is None:
            raise UsageError("this client is closed", hint="client = headgate.AsyncClient()")
        return self._parts, self._till

    async def _begin(self, asked: Asked, limit: float | None, stream: bool = False) -> tuple[LibraryParts, Trip]:
        """A call of at most `limit` seconds that may begin: planned, and sure to be booked."""
        parts, till = self._usable()
        plan = parts.router.plan(wish_of(asked, stream), asyncio.get_running_loop().time())
        await till.ready()
        return parts, Trip(parts, till, asked, plan, stream=stream, limit=limit)


async def _reserved(leg: Leg, request: Request, strict: bool) -> Prepared:
    """The request as it goes to the leg's target, once what it may cost is reserved."""
    ready = prepare(leg.target, request)
    leg.tab.describe(request_bytes=len(ready.body), notes=ready.rendered.notes)
    check_strict(ready.rendered.notes, strict)
    most = await leg.reserve(len(ready.body))
    if most is None:
        return ready
    ready = prepare(leg.target, lowered(request, most))
    notes = (*ready.rendered.notes, *clamped(most))
    leg.tab.describe(request_bytes=len(ready.body), notes=notes)
    check_strict(notes, strict)
    return ready


async def _concluded(trip: Trip, leg: Leg) -> None:
    leg.over()
    await trip.settle(leg)


Begin: TypeAlias = Callable[[Request, float | None, bool], Awaitable[tuple[LibraryParts, Trip]]]


class AsyncStream:
    """A streamed answer: an async context manager that iterates over pieces of text; `events` gives everything.

    Leaving early cancels the call at the provider and books what came. `completion` is there once the answer is whole.
    """

    def __init__(self, begin: Begin, request: Request, options: Options, opened: set[AsyncStream]) -> None:
        self._begin = begin
        self._request = request
        self._options = options
        self._siblings = opened
        self._trip: Trip | None = None
        self._leg: Leg | None = None
        self._session: StreamSession | None = None
        self._read = False

    async def __aenter__(self) -> AsyncStream:
        request, options = self._request, self._options
        parts, self._trip = await self._begin(request, options.get("timeout"), True)
        strict = options.get("strict", False)

        async def ask(leg: Leg) -> StreamSession:
            ready = await _reserved(leg, msgspec.structs.replace(request, stream=True, stream_usage=True), strict)
            session = StreamSession(parts.http, leg.target, ready, leg.left, leg.trip.id)
            leg.leaves()
            leg.tab.response = session.fold.response
            return await session.__aenter__()

        self._leg, self._session = leg, session = await self._trip.run(ask)
        self._siblings.add(self)
        leg.tab.status, leg.tab.upstream_id = 200, session.upstream_id
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        session, leg = self._opened()
        self._siblings.discard(self)
        try:
            await session.__aexit__(kind, error, trace)
        finally:
            if leg.trip.receipt is None:
                leg.tab.cancelled = True
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
        session, leg = self._opened()
        if self._read:
            raise UsageError("a stream can be read once")
        self._read = True
        try:
            async with aclosing(aiter(session)) as events:
                async for event in events:
                    if leg.tab.first_byte is None:
                        leg.tab.first_byte = session.first_event
                        leg.answers()
                    if isinstance(event, Failed):
                        raise event.error
                    yield event
        except HeadgateError as error:
            await self._settle(error)
            raise
        leg.tab.whole = session.complete
        await self._settle(None)

    @property
    def completion(self) -> Completion:
        """The whole answer. Raises `UsageError` before the end of the stream."""
        session, leg = self._opened()
        if leg.trip.receipt is None or not leg.tab.whole:
            raise UsageError("the answer is not whole: read the stream to its end first")
        return completion_of(session.fold.response(), leg.trip.receipt)

    def _opened(self) -> tuple[StreamSession, Leg]:
        if self._session is None or self._leg is None:
            raise UsageError("open the stream first", hint="async with client.stream(…) as stream: …")
        return self._session, self._leg

    async def _settle(self, error: BaseException | None) -> None:
        _, leg = self._opened()
        leg.over(error)
        await leg.trip.settle(leg)


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
