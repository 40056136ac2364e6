"""Several processes on one port, for real: killed, replaced, drained, left alone (faults D15, D16)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from headgate.errors import ConfigError
from headgate.serving.inheritance import LONGEST, Inherited, render_inherited
from headgate.serving.listening import BALANCED, listen_together
from headgate.serving.restarts import HOPELESS, LONGEST_DELAY, SHORT_LIFE, decide_restart
from headgate.testing.raw_http import RawWire, request_bytes

PATIENCE = 20.0

WORKER = """
import asyncio, json, os, signal, sys
from headgate.serving.app import App
from headgate.serving.auth import OpenDoor
from headgate.serving.inheritance import Lifeline
from headgate.serving.limits import ServerLimits
from headgate.serving.response import Stream, json_response
from headgate.serving.routes import Route, Routes
from headgate.serving.server import serve

lifeline = Lifeline()
told = lifeline.read()
print("printed by", told.slot)
if told.options["mode"] == "refuses" or os.path.exists(os.path.join(os.path.dirname(__file__), "broken")):
    print("error: the settings are wrong", file=sys.stderr)
    sys.exit(3)
if told.options["mode"] == "dies":
    sys.exit(7)
reloads = 0

def reload(*_):
    global reloads
    reloads += 1

signal.signal(signal.SIGHUP, reload)
lifeline.watch()

async def who(request):
    return json_response({"slot": told.slot, "pid": os.getpid(), "reloads": reloads, "secret": told.options["secret"]})

async def stream(request):
    await request.body()
    async def chunks():
        yield b"begun\\n"
        while not stopping.is_set():
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        yield b"whole\\n"
    return Stream(200, (), chunks())

async def forever(request):
    await request.body()
    await asyncio.Event().wait()

async def main():
    global stopping
    stopping = asyncio.Event()
    routes = Routes((
        Route(method="GET", path="/who", endpoint=who, scope=None),
        Route(method="POST", path="/stream", endpoint=stream, scope=None, body_limit=9),
        Route(method="POST", path="/forever", endpoint=forever, scope=None, body_limit=9),
    ))
    def ready(server):
        lifeline.ready()
        before = signal.getsignal(signal.SIGTERM)
        def stop(number, frame):
            asyncio.get_running_loop().call_soon_threadsafe(stopping.set)
            before(number, frame)
        signal.signal(signal.SIGTERM, stop)
    app, limits = App(routes, door=OpenDoor(None), hosts=None), ServerLimits(drain=told.options["drain"])
    await serve(app, "127.0.0.1", 0, sock=told.listening(), limits=limits, ready=ready)

asyncio.run(main())
"""

SUPERVISOR = """
import json, sys
from headgate.serving.listening import listen_together
from headgate.serving.restarts import Restart, decide_restart
from headgate.serving.supervisor import Supervisor

worker, port, workers, options = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
sockets = listen_together("127.0.0.1", port, 128, workers)
print(sockets[0].getsockname()[1], flush=True)
said = lambda line: print(line, file=sys.stderr, flush=True)
options["secret"] = "canary-secret-4b1d"

def hasty(short_lives, lived):
    found = decide_restart(short_lives, lived)
    return Restart(found.delay / 50, found.short_lives, found.hopeless)

command = [sys.executable, worker]
supervisor = Supervisor(command, sockets, options, say=said, ready=lambda: said("ready"), drain=options["drain"], decide=hasty)
sys.exit(supervisor.run())
"""


class Gang:
    """A supervisor and its processes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: SimpleQueue[str] = SimpleQueue()
        self.said: list[str] = []
        assert process.stdout is not None
        self.port = int(process.stdout.readline())
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.put(line.rstrip("\n"))

    def wait_for(self, words: str) -> str:
        """The first line from now on that has `words` in it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                pytest.fail(f"nobody said {words!r}, but {self.said}")
            self.said.append(line)
            if words in line:
                return line

    def who(self) -> dict[str, int]:
        """Who answers a new connection."""
        with RawWire(self.port) as wire:
            wire.send(request_bytes("GET", "/who"))
            found: dict[str, int] = json.loads(wire.reply().body)
            return found

    def seen(self, enough: Callable[[list[dict[str, int]]], bool]) -> list[dict[str, int]]:
        """Answers, until they are enough."""
        found: list[dict[str, int]] = []
        deadline = time.monotonic() + PATIENCE
        while not enough(found):
            assert time.monotonic() < deadline, Counter(answer["slot"] for answer in found)
            found.append(self.who())
        return found

    def refuses(self) -> None:
        """Return when nothing listens any more."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                RawWire(self.port).close()
            except ConnectionRefusedError:
                return
            except ConnectionResetError:  # it was being taken when the socket was closed: the next one is refused
                continue
        pytest.fail("it still listens")

    def pids(self, workers: int) -> dict[int, int]:
        """The process in each place."""
        found = self.seen(lambda answers: len({answer["slot"] for answer in answers}) == workers)
        return {answer["slot"]: answer["pid"] for answer in found}

    def end(self) -> int:
        """Wait for the end; the exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        while not self.lines.empty():
            self.said.append(self.lines.get())
        return code


@pytest.fixture
def gang(tmp_path: Path) -> Iterator[Callable[..., Gang]]:
    """Starts supervisors, and sees to it that nothing of them is left."""
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "supervisor.py").write_text(SUPERVISOR)
    started: list[Gang] = []

    def start(workers: int = 2, mode: str = "serves", drain: int = 5, port: int = 0) -> Gang:
        command = [sys.executable, str(tmp_path / "supervisor.py"), str(tmp_path / "worker.py"), str(port), str(workers)]
        options = json.dumps({"mode": mode, "drain": drain})
        process = subprocess.Popen([*command, options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(Gang(process))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()  # the processes see the end of their lifeline
        one.end()
        assert one.process.stdout is not None and one.process.stderr is not None
        one.process.stdout.close()
        one.process.stderr.close()


def gone(pid: int) -> bool:
    """Whether a process has ended, soon."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        threading.Event().wait(0.01)
    return False


def test_a_process_that_is_killed_is_replaced_and_nobody_notices(gang: Callable[..., Gang]) -> None:
    running = gang(workers=2)
    running.wait_for("ready")
    pids = running.pids(2)
    with RawWire(running.port) as wire:  # a stream on one of them, of which we do not know which
        wire.send(request_bytes("POST", "/stream", b"{}"))
        assert wire.socket.recv(4096)
        for slot in (0, 1):
            os.kill(pids[slot], signal.SIGKILL)
            assert f"worker {slot} was ended by SIGKILL" in running.wait_for("started again")
            for _ in range(10):
                running.who()  # every new connection is answered, also those that wait for the replacement
            running.wait_for(f"worker {slot} serves again")
    after = running.pids(2)
    assert not set(after.values()) & set(pids.values())
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 0


def test_streams_under_way_are_served_to_their_end(gang: Callable[..., Gang]) -> None:
    running = gang(workers=2)
    running.wait_for("ready")
    wires = [RawWire(running.port) for _ in range(8)]
    for wire in wires:
        wire.send(request_bytes("POST", "/stream", b"{}"))
    begun = [wire.socket.recv(4096) for wire in wires]
    assert all(begun)
    running.process.send_signal(signal.SIGTERM)
    for wire in wires:
        assert b"whole" in wire.read_to_end()
        wire.close()
    assert running.end() == 0
    with pytest.raises(ConnectionRefusedError):
        RawWire(running.port)


def test_a_second_signal_ends_the_drain(gang: Callable[..., Gang]) -> None:
    running = gang(workers=1, drain=60)
    running.wait_for("ready")
    with RawWire(running.port) as wire:
        wire.send(request_bytes("POST", "/forever", b"{}"))
        running.who()
        start = time.monotonic()
        running.process.send_signal(signal.SIGINT)
        running.wait_for("60 s")
        running.refuses()  # the drain has begun
        running.process.send_signal(signal.SIGINT)
        assert running.end() == 0
    assert time.monotonic() - start < 30


def test_reloading_reaches_every_process(gang: Callable[..., Gang]) -> None:
    running = gang(workers=2)
    running.wait_for("ready")
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("reloading")
    running.seen(lambda answers: len({answer["slot"] for answer in answers if answer["reloads"] == 1}) == 2)


def test_processes_end_when_their_supervisor_is_killed(gang: Callable[..., Gang]) -> None:
    running = gang(workers=2)
    running.wait_for("ready")
    pids = running.pids(2)
    with RawWire(running.port) as wire:
        wire.send(request_bytes("POST", "/stream", b"{}"))
        assert wire.socket.recv(4096)
        running.process.kill()
        assert b"whole" in wire.read_to_end()
    assert all(gone(pid) for pid in pids.values())


def test_settings_that_are_wrong_end_it_with_their_own_code(gang: Callable[..., Gang]) -> None:
    running = gang(workers=2, mode="refuses")
    assert running.end() == 3
    assert "error: the settings are wrong" in running.said


def test_settings_broken_since_end_none_of_those_that_serve(gang: Callable[..., Gang], tmp_path: Path) -> None:
    running = gang(workers=2)
    running.wait_for("ready")
    pids = running.pids(2)
    (tmp_path / "broken").touch()
    os.kill(pids[0], signal.SIGKILL)
    for _ in range(HOPELESS + 1):
        running.wait_for("worker 0 ended with code 3; it is started again")
    (tmp_path / "broken").unlink()
    running.wait_for("worker 0 serves again")
    assert running.pids(2)[1] == pids[1]
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 0


def test_a_crash_loop_ends_with_a_message(gang: Callable[..., Gang], tmp_path: Path) -> None:
    running = gang(workers=1, mode="dies")
    line = running.wait_for("giving up")
    assert line == f"worker 0 ended with code 7 {HOPELESS} times in a row right after its start: giving up"
    assert running.end() == 1


def test_secrets_are_in_no_argument_and_no_variable(gang: Callable[..., Gang]) -> None:
    running = gang(workers=1)
    running.wait_for("ready")
    answer = running.who()
    assert answer["secret"] == "canary-secret-4b1d"
    for name in ("cmdline", "environ"):
        assert b"canary-secret" not in Path(f"/proc/{answer['pid']}/{name}").read_bytes()
    assert any(line == "printed by 0" for line in running.said)  # what a process prints goes where messages go


@pytest.mark.skipif(not BALANCED, reason="the kernel does not spread connections here")
def test_connections_are_spread(gang: Callable[..., Gang]) -> None:
    running = gang(workers=2)
    running.wait_for("ready")
    shares = Counter(answer["slot"] for answer in running.seen(lambda answers: len(answers) == 200))
    assert min(shares.values()) > 50


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="in use by another program"):
        listen_together("127.0.0.1", taken.getsockname()[1], 128, 2)


def test_a_second_gateway_does_not_share_the_port_of_the_first() -> None:
    sockets = listen_together("127.0.0.1", 0, 128, 2)
    try:
        with pytest.raises(ConfigError, match="in use by another program"):
            listen_together("127.0.0.1", sockets[0].getsockname()[1], 128, 2)
    finally:
        for one in set(sockets):
            one.close()


def test_what_is_told_fits_into_a_pipe() -> None:
    with pytest.raises(ValueError, match="can be told"):
        render_inherited(Inherited(0, 1, 3, {"key": "x" * LONGEST}))


def test_restarts_slow_down_and_forgive() -> None:
    short, delays = 0, []
    for _ in range(20):
        restart = decide_restart(short, 0.1)
        short = restart.short_lives
        delays.append(restart.delay)
    assert delays[:5] == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert max(delays) == LONGEST_DELAY
    assert decide_restart(HOPELESS - 1, 0.1).hopeless
    assert decide_restart(HOPELESS, SHORT_LIFE).short_lives == 0
