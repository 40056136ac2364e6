"""ASGI 3 as one way to run an `App` (ASGI specification 3.0, HTTP and lifespan)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import TypeAlias

from headgate.errors import HeadgateError
from headgate.serving.app import App, too_large
from headgate.serving.envelopes import Refused
from headgate.serving.exchange import internal, stopping
from headgate.serving.limits import ServerLimits
from headgate.serving.pulse import Pulse
from headgate.serving.request import Request
from headgate.serving.response import Answer, Stream
from headgate.wire.http import Headers
from headgate.wire.json import Json

Message: TypeAlias = MutableMapping[str, Json]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_BODILESS = frozenset({204, 304})


class AsgiApp:
    """An `App` as an ASGI application."""

    def __init__(self, app: App, limits: ServerLimits | None = None) -> None:
        self._app = app
        self._limits = limits or ServerLimits()
        self._active: set[asyncio.Task[object]] = set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection scope; other kinds than HTTP and lifespan are refused by an exception, as the specification asks."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"only HTTP is served here, not {scope['type']}")
        task = asyncio.current_task()
        assert task is not None
        self._active.add(task)
        try:
            await _Exchange(self._app, self._limits, task, receive, send).run(scope)
        finally:
            self._active.discard(task)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if self._active:
                    await asyncio.wait(self._active, timeout=self._limits.drain)
                await self._app.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


class _Exchange:
    """One request and its answer. As soon as the client is gone, the task that serves it is cancelled."""

    def __init__(self, app: App, limits: ServerLimits, task: asyncio.Task[object], receive: Receive, send: Send) -> None:
        self._app = app
        self._limits = limits
        self._task = task
        self._receive = receive
        self._send = send
        self._gone = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._answering = False

    async def run(self, scope: Message) -> None:
        """Serve the request and return when the answer is sent or the client is gone."""
        request = self._request(scope)
        self._app.load.exchanges += 1
        try:
            await self._answer(await self._app(request))
        except asyncio.CancelledError:
            if not self._gone.is_set():
                await self._apologise(request)
            self._task.uncancel()
        except Exception:  # a bug: answered as one here, and reported by the server that gets it
            await self._fail(request, internal())
            raise
        finally:
            self._app.load.exchanges -= 1
            self._stop_watching()

    def _request(self, scope: Message) -> Request:
        client = scope.get("client")
        return Request(
            method=scope["method"],
            path=scope["path"],
            query=scope.get("query_string", b"").decode("latin-1"),
            headers=tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]),
            client=client[0] if client else "",
            reader=self,
            disconnected=self._gone,
        )

    # The body

    async def read(self, limit: int) -> bytes:
        """See `BodyReader`. From its end on, the client is watched."""
        loop = asyncio.get_running_loop()
        start, size, parts = loop.time(), 0, []
        more = True
        while more:
            message = await self._next_part(start + min(self._limits.body_timeout, self._limits.body_grace + size / self._limits.body_rate))
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise too_large(limit)
            more = message.get("more_body", False)
        self._watcher = loop.create_task(self._watch())
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _next_part(self, deadline: float) -> Message:
        try:
            async with asyncio.timeout_at(deadline):
                message = await self._receive()
        except TimeoutError as error:
            raise Refused(408, "the request body came too slowly", code="request_timeout", headers=(("connection", "close"),)) from error
        if message["type"] == "http.disconnect":
            self._gone.set()
            raise asyncio.CancelledError("the client is gone")
        return message

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            continue
        self._gone.set()
        self._task.cancel()

    def _stop_watching(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()

    # The answer

    async def _answer(self, answer: Answer) -> None:
        self._answering = True
        if isinstance(answer, Stream):
            await self._stream(answer)
            return
        self._stop_watching()
        length = () if answer.status in _BODILESS else (("content-length", str(len(answer.body))),)
        await self._start(answer.status, (*answer.headers, *length))
        await self._send({"type": "http.response.body", "body": answer.body})

    async def _start(self, status: int, headers: Headers) -> None:
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def _stream(self, stream: Stream) -> None:
        pulse = Pulse(stream.keep_alive, self._limits.silence, self._piece)
        try:
            async with aclosing(stream.chunks) as chunks:
                await self._start(stream.status, stream.headers)
                async for chunk in chunks:
                    if chunk:
                        await self._piece(chunk)
                        pulse.sent()
        except asyncio.CancelledError:
            if self._gone.is_set() or stream.farewell is None:
                raise
            self._task.uncancel()
            await self._piece(stream.farewell(stopping()))
        except Exception:
            if stream.farewell is not None:
                await self._end(stream.farewell(internal()))
            raise
        finally:
            pulse.stop()
        await self._end()

    async def _end(self, last: bytes = b"") -> None:
        self._stop_watching()
        await self._send({"type": "http.response.body", "body": last})

    async def _piece(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _apologise(self, request: Request) -> None:
        """The server stops while the answer was being made."""
        await self._fail(request, stopping())

    async def _fail(self, request: Request, error: HeadgateError) -> None:
        if not self._answering:
            await self._answer(self._app.refuse(error, self._app.routes.surface_of(request.path, request.method)))
