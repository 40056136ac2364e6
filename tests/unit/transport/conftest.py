"""A scripted byte-level peer on a real socket, certificates made on the spot, and `async def` tests run on both event loops.

A script is a list of steps, played for one connection; the n-th connection plays the n-th script, the last one again and again::

    async with peer([REQUEST, Put(b"HTTP/1.1 200 OK\\r\\n"), RESET]) as server:
        await client.request(server.origin, Send("GET", "/"))

When the test body ends, no task but its own may be left.
"""

from __future__ import annotations

import asyncio
import inspect
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop

from headgate.transport.settings import Origin

RUNNERS = {"asyncio": asyncio.run, "uvloop": uvloop.run}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every coroutine test on both loops."""
    if inspect.iscoroutinefunction(metafunc.function):
        metafunc.fixturenames.append("backend")
        metafunc.parametrize("backend", sorted(RUNNERS))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Await a coroutine test, at most 20 s, and look for forgotten tasks."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def run() -> None:
        async with asyncio.timeout(20):
            await pyfuncitem.obj(**arguments)
        for _ in range(3):  # the test server's own accept tasks end in the next turns of the loop
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left behind: {left}"

    RUNNERS[pyfuncitem.callspec.params["backend"]](run())
    return True


async def until(condition: Callable[[], bool]) -> None:
    """Wait, turn by turn of the loop, for `condition` to hold."""
    loop = asyncio.get_running_loop()
    holds = loop.create_future()

    def look() -> None:
        if not holds.done():
            holds.set_result(None) if condition() else loop.call_soon(look)

    look()
    await holds


class Line:
    """One accepted connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.requests: list[bytes] = []


Step = Callable[[Line], Awaitable[None]]


async def HEAD(line: Line) -> None:
    """Read a request head."""
    line.requests.append(await line.reader.readuntil(b"\r\n\r\n"))


async def REQUEST(line: Line) -> None:
    """Read a request and its body."""
    head = await line.reader.readuntil(b"\r\n\r\n")
    lengths = [int(field[15:]) for field in head.split(b"\r\n") if field.lower().startswith(b"content-length:")]
    line.requests.append(head + await line.reader.readexactly(sum(lengths)))


async def CLOSE(line: Line) -> None:
    """Close the connection in order."""
    line.writer.close()
    await line.writer.wait_closed()


async def RESET(line: Line) -> None:
    """Close the connection with RST."""
    sock: socket.socket = line.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.writer.transport.abort()


async def HOLD(line: Line) -> None:
    """Say nothing more until the client has closed."""
    while await line.reader.read(1 << 16):
        pass


@dataclass
class Put:
    """Send bytes."""

    data: bytes

    async def __call__(self, line: Line) -> None:
        """Write and flush."""
        line.writer.write(self.data)
        await line.writer.drain()


@dataclass
class Until:
    """Wait for the test to set an event."""

    event: asyncio.Event

    async def __call__(self, line: Line) -> None:
        """Wait."""
        await self.event.wait()


@dataclass
class Mark:
    """Tell the test that the script came here."""

    event: asyncio.Event

    async def __call__(self, line: Line) -> None:
        """Set the event."""
        self.event.set()


class Peer:
    """The server. `connections` counts those accepted, `requests` holds what was read, in order."""

    def __init__(self, scripts: tuple[list[Step], ...], tls: ssl.SSLContext | None) -> None:
        self._scripts = scripts
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.closed = 0
        self.requests: list[bytes] = []
        self.port = 0

    @property
    def origin(self) -> Origin:
        """Where the peer listens, private addresses allowed."""
        return Origin("https" if self._tls else "http", "127.0.0.1", self.port, allow_private=True)

    async def __aenter__(self) -> Peer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until_closed(self, count: int) -> None:
        """Wait until `count` connections have ended."""
        await until(lambda: self.closed >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        line = Line(reader, writer)
        line.requests = self.requests
        try:
            for step in script:
                await step(line)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass  # the client went away in the middle of the script, or the test is over
        finally:
            self.closed += 1
            self._tasks.discard(task)
            writer.transport.abort()


def peer(*scripts: list[Step], tls: ssl.SSLContext | None = None) -> Peer:
    """A server for ``async with``."""
    return Peer(scripts, tls)


def reply(body: bytes = b"ok", status: str = "200 OK", *headers: bytes) -> Put:
    """A step that sends a whole response."""
    lines = b"".join(header + b"\r\n" for header in headers)
    return Put(b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status.encode(), lines, len(body), body))


@pytest.fixture(scope="session", name="scripts")
def scripted_peer() -> type[Steps]:
    """The steps and the peer, for test modules."""
    return Steps


class Steps:
    """The vocabulary of scripts."""

    HEAD = staticmethod(HEAD)
    REQUEST = staticmethod(REQUEST)
    CLOSE = staticmethod(CLOSE)
    RESET = staticmethod(RESET)
    HOLD = staticmethod(HOLD)
    Put = Put
    Until = Until
    Mark = Mark
    until = staticmethod(until)
    peer = staticmethod(peer)
    reply = staticmethod(reply)


@dataclass
class Certificates:
    """Files of a throw-away authority and of servers it signed."""

    ca: str
    good: ssl.SSLContext
    wrong_name: ssl.SSLContext
    expired: ssl.SSLContext


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Made by the openssl command; skipped without it."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed: no certificates for TLS tests")
    folder = tmp_path_factory.mktemp("certificates")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout")
    _openssl(folder, "req", "-x509", *key, "ca.key", "-days", "2", "-out", "ca.pem", "-subj", "/CN=test authority")
    _openssl(folder, "req", *key, "server.key", "-out", "server.csr", "-subj", "/CN=server")
    return Certificates(
        str(folder / "ca.pem"),
        _signed(folder, "good", "DNS:localhost,IP:127.0.0.1", "1"),
        _signed(folder, "wrong_name", "DNS:elsewhere.example", "1"),
        _signed(folder, "expired", "DNS:localhost,IP:127.0.0.1", "-1"),
    )


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def _signed(folder: Path, name: str, names: str, days: str) -> ssl.SSLContext:
    (folder / f"{name}.ext").write_text(f"subjectAltName={names}\n")
    sign = ("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
    _openssl(folder, *sign, "-days", days, "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / "server.key")
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context
