"""One request that an `App` answers: a task of its own, its body as it comes, its answer whole or piece by piece."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import Protocol

from headgate.errors import HeadgateError
from headgate.serving.app import App, too_large
from headgate.serving.envelopes import Refused
from headgate.serving.limits import ServerLimits
from headgate.serving.pulse import Pulse
from headgate.serving.request import Request
from headgate.serving.response import Answer, Stream
from headgate.serving.turn import Answerer
from headgate.wire.http import Headers

_LOG = logging.getLogger("headgate.server")
BODILESS = frozenset({204, 304})
HELD = 256 << 10
"""So much of a body is taken in before anybody has asked for it."""


class Line(Protocol):
    """The connection an exchange is made on."""

    def head(self, status: int, headers: Headers, length: int | None) -> bool:
        """Write the head of an answer, of unknown length when None. False when no body may follow."""
        ...

    def piece(self, data: bytes) -> None:
        """Write a piece of the body."""
        ...

    def end(self) -> None:
        """The answer is complete."""
        ...

    def broken(self) -> None:
        """The answer ends here although it is not complete: the connection is closed."""
        ...

    async def drained(self) -> None:
        """Until the client takes more."""
        ...

    def want(self) -> None:
        """The body is asked for: invite it where the client waits for that, and read on."""
        ...

    def hold(self) -> None:
        """Read no more of the body for now."""
        ...

    def answered(self, exchange: Exchange) -> None:
        """The task of the exchange is over."""
        ...


class Exchange:
    """One request and its answer. As soon as the client is gone, the task that serves it is cancelled. Implements `BodyReader`."""

    def __init__(
        self,
        app: App,
        limits: ServerLimits,
        line: Line,
        loop: asyncio.AbstractEventLoop,
        received: bytes = b"",
        answerer: Answerer | None = None,
    ) -> None:
        self._app = app
        self._answerer = answerer
        self._limits = limits
        self._line = line
        self._loop = loop
        self._parts: list[bytes] = [received] if received else []
        self._size = len(received)
        self._complete = False
        self._more: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._begun = loop.time()
        self._answering = False
        self._reading = False
        self._running = False
        self._gone = asyncio.Event()
        self.over = False

    @property
    def complete(self) -> bool:
        """The whole body is here."""
        return self._complete

    # What the connection tells

    def start(self, request: Request) -> asyncio.Task[None]:
        """Begin to serve."""
        request_ready = _bound(request, self, self._gone)
        self._task = self._loop.create_task(self._run(request_ready))
        return self._task

    def feed(self, data: bytes) -> None:
        """More of the body. What comes after the answer is thrown away."""
        if self.over or self._answering:
            return
        self._parts.append(data)
        self._size += len(data)
        if not self._reading and self._size > HELD:
            self._line.hold()
        self._wake()

    def finish(self) -> None:
        """The body is complete."""
        self._complete = True
        self._wake()

    def lose(self) -> None:
        """The client is gone."""
        self._gone.set()
        self.hurry()

    def hurry(self) -> None:
        """The server ends: the answer has to. A task that has not begun begins first: what it was handed is its to give back."""
        if self._task is None:
            return
        if self._running:
            self._task.cancel()
        else:
            self._loop.call_soon(self._task.cancel)

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    # The body

    async def read(self, limit: int) -> bytes:
        """See `BodyReader`."""
        self._reading = True
        self._line.want()
        while True:
            if self._size > limit:
                raise too_large(limit)
            if self._complete:
                break
            await self._next_part()
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _next_part(self) -> None:
        limits = self._limits
        patience = min(limits.body_timeout, limits.body_grace + self._size / limits.body_rate)
        self._more = self._loop.create_future()
        try:
            async with asyncio.timeout_at(self._begun + patience):
                await self._more
        except TimeoutError as error:
            raise Refused(408, "the request body came too slowly", code="request_timeout", headers=(("connection", "close"),)) from error
        finally:
            self._more = None

    # The answer

    async def _run(self, request: Request) -> None:
        """Serve the request and return when the answer is sent or the client is gone."""
        self._running = True
        load = self._app.load
        load.exchanges += 1
        with _Reported():
            try:
                answerer = self._answerer
                await self._answer(await (self._app(request) if answerer is None else self._app.answer(answerer, request)))
            except asyncio.CancelledError:
                if not self._gone.is_set():
                    await self._fail(request, stopping())
            except Exception:
                await self._fail(request, internal())
                raise
            finally:
                self.over = True
                load.exchanges -= 1
                self._line.answered(self)

    async def _answer(self, answer: Answer) -> None:
        self._answering = True
        self._parts.clear()
        if isinstance(answer, Stream):
            await self._stream(answer)
            return
        if self._line.head(answer.status, answer.headers, len(answer.body)):
            self._line.piece(answer.body)
        self._line.end()

    async def _stream(self, stream: Stream) -> None:
        pulse = Pulse(stream.keep_alive, self._limits.silence, self._sign)
        try:
            async with aclosing(stream.chunks) as chunks:
                wanted = self._line.head(stream.status, stream.headers, None)
                async for chunk in chunks:
                    if chunk and wanted:
                        self._line.piece(chunk)
                        pulse.sent()
                        await self._line.drained()
        except asyncio.CancelledError:
            if self._gone.is_set() or stream.farewell is None:
                raise
            self._line.piece(stream.farewell(stopping()))
        except Exception:
            self._break_off(stream)
            raise
        finally:
            pulse.stop()
        self._line.end()

    def _break_off(self, stream: Stream) -> None:
        """A bug: the stream ends with last words where it has some, and is cut where it has none."""
        if stream.farewell is None:
            self._line.broken()
            return
        self._line.piece(stream.farewell(internal()))
        self._line.end()

    async def _sign(self, data: bytes) -> None:
        self._line.piece(data)
        await self._line.drained()

    async def _fail(self, request: Request, error: HeadgateError) -> None:
        if self._answering:
            self._line.broken()
            return
        await self._answer(self._app.refuse(error, self._app.routes.surface_of(request.path, request.method)))


class _Reported:
    """A bug in an endpoint has been answered as one; here it is reported, and the connection goes on."""

    def __enter__(self) -> None:
        """Nothing yet."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        _LOG.error("an endpoint failed", exc_info=error)
        return True


def _bound(request: Request, reader: Exchange, gone: asyncio.Event) -> Request:
    return Request(
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers,
        client=request.client,
        reader=reader,
        disconnected=gone,
    )


def internal() -> Refused:
    """What a client is told of a bug."""
    return Refused(500, "internal error", code="internal_error")


def stopping() -> Refused:
    """The last words of a server that ends."""
    return Refused(503, "the server is being stopped", code="server_stopping", headers=(("retry-after", "1"),))
