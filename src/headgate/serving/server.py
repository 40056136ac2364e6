"""Running an `App` on a socket: our own protocol, our bounds and our own idea of how to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType, TracebackType

from headgate.errors import ConfigError
from headgate.serving.app import App
from headgate.serving.house import House
from headgate.serving.limits import ServerLimits
from headgate.serving.protocol import ClientConnection
from headgate.serving.turn import FastEndpoint
from headgate.transport.settings import bracketed

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LAST_WORDS = 2.0
"""Seconds for clients to take the last words of a server that ends."""


class Server:
    """An `App` on a socket, as an async context manager; leaving it stops accepting, drains and closes.

    `url` is valid inside. Raises `ConfigError` on entering when the address cannot be had.
    """

    def __init__(
        self,
        app: App,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: ServerLimits | None = None,
        *,
        fast: Mapping[bytes, FastEndpoint] | None = None,
        sock: socket.socket | None = None,
    ) -> None:
        self._limits = limits or ServerLimits()
        self._host = host
        self._port = port
        self._app = app
        self._fast = fast or {}
        self._socket = sock
        self._house: House | None = None
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port listened on."""
        return self._port

    @property
    def connections(self) -> int:
        """Open client connections."""
        return 0 if self._house is None else len(self._house.members)

    @property
    def url(self) -> str:
        """``http://host:port``."""
        return f"http://{bracketed(self._host)}:{self._port}"

    async def __aenter__(self) -> Server:
        listening = self._socket or listen(self._host, self._port, self._limits.backlog)
        self._port = listening.getsockname()[1]
        self._house = house = House(self._app, self._limits, self._fast)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: ClientConnection(house), sock=listening, backlog=self._limits.backlog)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop accepting, give requests under way their time, and close."""
        assert self._house is not None and self._server is not None
        if self._house.stopping:
            return
        self._server.close()
        self._house.stop()
        if not await self._house.empty(self._limits.drain):
            self._house.hurry()
            if not await self._house.empty(LAST_WORDS):
                self._house.abort()
        await self._house.settled()
        await self._app.stop()

    def hurry(self) -> None:
        """Cut short what the drain still waits for; it is settled all the same."""
        if self._house is not None:
            self._house.hurry()


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """A listening socket. Raises `ConfigError` that says why there is none, and which flag helps."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}: {error.strerror}", hint="headgate serve --host 127.0.0.1") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(backlog)
    except OSError as error:
        listening.close()
        raise _not_bound(host, port, error) from error
    listening.setblocking(False)
    return listening


def _not_bound(host: str, port: int, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(f"port {port} of {host} is in use by another program", hint=f"headgate serve --port {port + 1}")
    return ConfigError(f"cannot listen on {host} port {port}: {error.strerror}", hint="headgate serve --host 127.0.0.1 --port 6120")


async def serve(
    app: App,
    host: str,
    port: int,
    *,
    limits: ServerLimits | None = None,
    ready: Callable[[Server], None] | None = None,
    stopping: Callable[[], None] | None = None,
    fast: Mapping[bytes, FastEndpoint] | None = None,
    sock: socket.socket | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then drain and return. A second signal ends the drain. `ready` is called once the socket listens,
    `stopping` when the first signal has come.

    Raises `ConfigError` when the address cannot be had.
    """
    stopped = asyncio.Event()
    async with Server(app, host, port, limits, fast=fast, sock=sock) as server:
        with _signals(stopped, server):
            if ready is not None:
                ready(server)
            await stopped.wait()
            if stopping is not None:
                stopping()
            await server.stop()


@contextlib.contextmanager
def _signals(stopping: asyncio.Event, server: Server) -> Iterator[None]:
    """Let SIGINT and SIGTERM set `stopping` while the block runs, where signals can be had (the main thread)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def turn() -> None:
        (server.hurry if stopping.is_set() else stopping.set)()

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(turn)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
