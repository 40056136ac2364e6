"""Stopping: streams get last words, whole requests an answer, and what they left is finished (faults D15)."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from headgate.serving.app import App
from headgate.serving.auth import OpenDoor
from headgate.serving.limits import ServerLimits
from headgate.serving.routes import Routes
from headgate.serving.server import Server, serve
from headgate.testing.raw_http import RawWire, request_bytes
from headgate.testing.tiny_server import running_app

SHORT = ServerLimits(drain=1)


def test_requests_under_way_are_answered() -> None:
    with running_app(SHORT) as server:
        stream, whole = server.wire(), server.wire()
        stream.send(request_bytes("POST", "/stream", b"{}"))
        whole.send(request_bytes("POST", "/forever", b"{}"))
        assert stream.socket.recv(1000)
        assert server.wait_for("waiting")
    assert server.seen[-1] == "stopped"
    assert {"cancelled", "stream closed"} <= set(server.seen[:-1])


@pytest.mark.parametrize("path", ["/stream", "/forever"])
def test_last_words(path: str) -> None:
    with running_app(SHORT) as server:
        wire = RawWire(server.port)
        wire.send(request_bytes("POST", path, b"{}"))
        assert server.wait_for("waiting") if path == "/forever" else wire.socket.recv(1000)
    with wire:
        rest = wire.read_to_end()
    assert (b"bye\n" if path == "/stream" else b"server_stopping") in rest


def test_new_connections_are_refused_when_stopped() -> None:
    with running_app(SHORT) as server:
        port = server.port
    with pytest.raises(ConnectionRefusedError):
        RawWire(port)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_service(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    async def main() -> None:
        app = App(Routes(()), door=OpenDoor(None), hosts=None)
        await serve(app, "127.0.0.1", 0, ready=lambda server: os.kill(os.getpid(), number))

    asyncio.run(main())
    assert signal.getsignal(number) == before


def test_url() -> None:
    async def main() -> str:
        async with Server(App(Routes(()), door=OpenDoor(None), hosts=None)) as server:
            return server.url

    assert asyncio.run(main()).startswith("http://127.0.0.1:")
