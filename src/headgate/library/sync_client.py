"""The client for code without an event loop: one background thread with one loop, on which an `AsyncClient` does the work.

It works inside a running loop as well (notebooks), at the price of blocking it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError
from types import TracebackType
from typing import TypeVar, Unpack

from headgate.client.counting import TokenCount, Tokenizer
from headgate.domain.embedding import EmbedRequest
from headgate.domain.events import StreamEvent
from headgate.domain.request import Request
from headgate.errors import UsageError
from headgate.library.async_client import AsyncClient, AsyncStream
from headgate.library.completion import Completion
from headgate.library.embeddings import Embeddings, EmbedOptions
from headgate.library.options import Messages, Options
from headgate.library.parts import LibraryParts
from headgate.library.terms import NO_TERMS, Terms

T = TypeVar("T")


class LoopThread:
    """A thread that runs an event loop for others, until it is closed or the process ends."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._gate = threading.Lock()
        self._tasks: set[asyncio.Task[object]] = set()
        self._loop: asyncio.AbstractEventLoop | None = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="headgate-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[None, None, T]) -> T:
        """Run `work` on the loop and return what it returns; an interrupt of the wait cancels it.

        Raises `UsageError` after a fork, after `close`, and when another thread closes meanwhile.
        """
        if self._pid != os.getpid():
            work.close()
            raise _unusable("was made before the process forked, and its thread did not come along")
        with self._gate:
            future = None if self._loop is None else asyncio.run_coroutine_threadsafe(self._counted(work), self._loop)
        if future is None:
            work.close()
            raise _unusable("is closed")
        try:
            return future.result()
        except CancelledError as error:
            raise _unusable("was closed by another thread") from error
        except BaseException:
            future.cancel()
            raise

    def close(self, last: Callable[[], Coroutine[None, None, None]] | None = None) -> None:
        """Cancel what other threads wait for, run `last`, stop the loop and join the thread.

        A second call, and one in a forked child, do nothing.
        """
        if self._pid != os.getpid():
            return
        with self._gate:
            loop, self._loop = self._loop, None
        if loop is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(self._end(last), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    async def _counted(self, work: Coroutine[None, None, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await work
        finally:
            self._tasks.discard(task)

    async def _end(self, last: Callable[[], Coroutine[None, None, None]] | None) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if last is not None:
            await last()

    @property
    def usable(self) -> bool:
        """Neither closed nor left behind by a fork."""
        return self._loop is not None and self._pid == os.getpid()


class Client:
    """Calls to any model, blocking. Use it as a context manager, or close it with `close`; calls from several threads are fine.

    What may be asked is said at `AsyncClient`.
    """

    def __init__(
        self,
        parts: LibraryParts | None = None,
        *,
        make_parts: Callable[[], LibraryParts] | None = None,
        terms: Terms = NO_TERMS,
    ) -> None:
        self._thread = LoopThread()
        try:
            self._client = self._thread.run(_make(parts, make_parts, terms))
        except BaseException:
            self._thread.close()
            raise

    def complete(self, model: str | Request, messages: Messages | None = None, **options: Unpack[Options]) -> Completion:
        """One whole answer. Raises as `AsyncClient.complete` does."""
        return self._thread.run(self._client.complete(model, messages, **options))

    def stream(self, model: str | Request, messages: Messages | None = None, **options: Unpack[Options]) -> Stream:
        """A streamed answer: ``with client.stream(…) as stream: for text in stream: …``."""
        return Stream(self._thread, self._client.stream(model, messages, **options))

    def embed(self, model: str | EmbedRequest, inputs: str | Sequence[str] | None = None, **options: Unpack[EmbedOptions]) -> Embeddings:
        """A vector for each text. Raises as `AsyncClient.embed` does."""
        return self._thread.run(self._client.embed(model, inputs, **options))

    def count_tokens(
        self, model: str | Request, messages: Messages | None = None, *, tokenizer: Tokenizer | None = None, **options: Unpack[Options]
    ) -> TokenCount:
        """Tokens of a request's input, and who counted them. Raises as `AsyncClient.count_tokens` does."""
        return self._thread.run(self._client.count_tokens(model, messages, tokenizer=tokenizer, **options))

    def close(self) -> None:
        """Cancel calls of other threads, wait for receipts, close the parts if they are the client's own, and join the thread.

        A second call does nothing.
        """
        self._thread.close(self._client.aclose)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Stream:
    """A streamed answer: a context manager that iterates over pieces of text; see `AsyncStream`."""

    def __init__(self, thread: LoopThread, stream: AsyncStream) -> None:
        self._thread = thread
        self._stream = stream

    def __enter__(self) -> Stream:
        self._thread.run(self._stream.__aenter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._thread.run(self._stream.__aexit__(kind, error, trace))

    def __iter__(self) -> Iterator[str]:
        return self._each(aiter(self._stream))

    def events(self) -> Iterator[StreamEvent]:
        """Every event, once."""
        return self._each(self._stream.events())

    @property
    def completion(self) -> Completion:
        """The whole answer. Raises `UsageError` before the end of the stream."""
        return self._stream.completion

    def _each(self, pieces: AsyncGenerator[T, None]) -> Iterator[T]:
        try:
            while (piece := self._thread.run(_next(pieces))) is not None:
                yield piece
        finally:
            if self._thread.usable:
                self._thread.run(pieces.aclose())


async def _next(pieces: AsyncGenerator[T, None]) -> T | None:
    """The next piece, None at the end: no piece is None."""
    return await anext(pieces, None)


def _unusable(why: str) -> UsageError:
    return UsageError(f"this client {why}", hint="client = headgate.Client()")


async def _make(parts: LibraryParts | None, make_parts: Callable[[], LibraryParts] | None, terms: Terms) -> AsyncClient:
    """Made on the loop that will use it."""
    return AsyncClient(parts, make_parts=make_parts, terms=terms)
