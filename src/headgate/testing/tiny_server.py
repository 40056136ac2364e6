"""A tiny app on a real socket, whose endpoints say what happens to them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager

from headgate.config import Secret
from headgate.serving.app import App
from headgate.serving.auth import Authenticator, KeyDoor, OpenDoor, allowed_hosts, fixed_keys
from headgate.serving.key_ring import KeyRing
from headgate.serving.limits import ServerLimits
from headgate.serving.request import Request
from headgate.serving.response import Answer, Stream, json_response
from headgate.serving.routes import Route, Routes
from headgate.serving.server import Server
from headgate.testing.raw_http import KEY, PATIENCE, RawWire, Reply


class Running:
    """A server in a thread; `seen` collects what its endpoints were told."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[str] = []
        self.noted = threading.Condition()
        self.wires: list[RawWire] = []
        self.loop = asyncio.new_event_loop()

    def note(self, word: str) -> None:
        """Remember that something happened."""
        with self.noted:
            self.seen.append(word)
            self.noted.notify_all()

    def wait_for(self, word: str) -> bool:
        """Whether it happens in time."""
        with self.noted:
            return self.noted.wait_for(lambda: word in self.seen, PATIENCE)

    def wire(self) -> RawWire:
        """A new connection."""
        self.wires.append(RawWire(self.port))
        return self.wires[-1]

    def ask(self, data: bytes) -> Reply:
        """The answer to some bytes on a connection of their own."""
        wire = self.wire()
        wire.send(data)
        return wire.reply()


def endpoints(running: Running) -> tuple[Route, ...]:
    """One route for each thing that can happen."""

    async def echo(request: Request) -> Answer:
        body = await request.body()
        return json_response({"path": request.path, "params": request.params, "query": request.query, "length": len(body)})

    async def forever(request: Request) -> Answer:
        await request.body()
        running.note("waiting")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            running.note("cancelled")
            raise
        return json_response({})

    async def stream(request: Request) -> Answer:
        await request.body()
        return Stream(
            200, (("content-type", "text/event-stream"),), ticking(running), keep_alive=b": ping\n\n", farewell=lambda error: b"bye\n"
        )

    async def flood(request: Request) -> Answer:
        await request.body()
        return Stream(200, (), flooding(running))

    async def bug(request: Request) -> Answer:
        raise ZeroDivisionError

    return (
        Route(method="POST", path="/echo", endpoint=echo, scope="any", body_limit=1000),
        Route(method="GET", path="/echo", endpoint=echo, scope="any"),
        Route(method="GET", path="/items/*", endpoint=echo, scope="any"),
        Route(method="POST", path="/forever", endpoint=forever, scope="any", body_limit=1000),
        Route(method="POST", path="/stream", endpoint=stream, scope="any", body_limit=1000),
        Route(method="POST", path="/flood", endpoint=flood, scope="any", body_limit=1000),
        Route(method="GET", path="/bug", endpoint=bug, scope="any"),
        Route(method="GET", path="/open", endpoint=echo, scope=None, any_host=True),
    )


async def ticking(running: Running) -> AsyncGenerator[bytes, None]:
    try:
        yield b"tick\n"
        await asyncio.Event().wait()
    finally:
        running.note("stream closed")


async def flooding(running: Running) -> AsyncGenerator[bytes, None]:
    try:
        while True:
            yield b"x" * 65536
    finally:
        running.note("flood closed")


def door_of(key: str | None, hosts: frozenset[str] | None) -> Authenticator:
    """A door for one key, or without a lock."""
    return OpenDoor(hosts) if key is None else KeyDoor(KeyRing(None, fixed_keys(Secret(key), None), random=bytes(32)))


@contextmanager
def running_app(limits: ServerLimits, *, key: str | None = KEY) -> Iterator[Running]:
    """Serve while the block runs."""
    running = Running()
    stopped: Callable[[], Awaitable[None]] = _noting(running)
    hosts = allowed_hosts("127.0.0.1")
    app = App(Routes(endpoints(running)), door=door_of(key, hosts), hosts=hosts, on_stop=stopped)
    started, leave = threading.Event(), asyncio.Event()

    async def main() -> None:
        async with Server(app, "127.0.0.1", 0, limits) as server:
            running.port = server.port
            started.set()
            await leave.wait()

    thread = threading.Thread(target=running.loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        assert started.wait(PATIENCE)
        yield running
    finally:
        running.loop.call_soon_threadsafe(leave.set)
        thread.join()
        running.loop.close()
        for wire in running.wires:
            wire.close()


def _noting(running: Running) -> Callable[[], Awaitable[None]]:
    async def stopped() -> None:
        running.note("stopped")

    return stopped


QUICK = ServerLimits(
    header_timeout=0.3,
    body_grace=0.3,
    body_rate=1e6,
    body_timeout=0.5,
    write_timeout=0.4,
    silence=0.1,
    linger=0.3,
    drain=1,
    max_header_bytes=4096,
)
