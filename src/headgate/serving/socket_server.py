"""Serving on a socket that somebody else has bound."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from headgate.serving.app import App
from headgate.serving.limits import ServerLimits
from headgate.serving.server import Server, _signals, _Uvicorn


class SocketServer(Server):
    """A `Server` on a listening socket that is there already."""

    def __init__(self, app: App, listening: socket.socket, limits: ServerLimits | None = None) -> None:
        host, port = listening.getsockname()[:2]
        super().__init__(app, host, port, limits)
        self._listening = listening

    async def __aenter__(self) -> SocketServer:
        self._uvicorn = _Uvicorn(self._config())
        self._task = asyncio.create_task(self._uvicorn.serve(sockets=[self._listening]))
        await self._uvicorn.listening.wait()
        return self


async def serve_on(
    app: App, listening: socket.socket, *, limits: ServerLimits | None = None, ready: Callable[[Server], None] | None = None
) -> None:
    """As `server.serve`, on a socket that listens."""
    stopping = asyncio.Event()
    async with SocketServer(app, listening, limits) as server:
        with _signals(stopping, server):
            if ready is not None:
                ready(server)
            await stopping.wait()
            await server.stop()
