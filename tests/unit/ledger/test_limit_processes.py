"""Four real processes with one limit, over SQLite, PostgreSQL and Redis, which dies or forgets meanwhile: never above, and near."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.config import Secret

SCRIPT = Path(__file__).with_name("limited_process.py")
PROCESSES = 4
RPM, TPM, PLACES = 900, 25_000, 6
SECONDS = 2.0


def run_processes(place: str, redis: str, seconds: float, meanwhile: Callable[[], None] | None = None) -> list[dict[str, object]]:
    """What each process says it was given."""
    children = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), place, redis, f"process-{number}", str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
        for number in range(PROCESSES)
    ]
    timer = threading.Timer(seconds / 3, meanwhile) if meanwhile is not None else None
    if timer is not None:
        timer.start()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    outputs = [child.communicate(timeout=60)[0] for child in children]
    if timer is not None:
        timer.join()
    assert [child.returncode for child in children] == [0] * PROCESSES
    return [json.loads(output) for output in outputs]


def most_at_a_time(spans: list[tuple[float, float]]) -> int:
    """How many of the spans overlap at most."""
    events = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans], key=lambda event: (event[0], event[1]))
    most = active = 0
    for _, change in events:
        active += change
        most = max(most, active)
    return most


def check(found: list[dict[str, object]], record: Callable[[str, object], None]) -> None:
    """All within the limits together. How near they came is noted: it depends on how busy the machine is."""
    requests, tokens = ([one[name] for one in found] for name in ("requests", "tokens"))
    spans = [tuple(span) for one in found for span in one["spans"]]
    record("requests", requests)
    record("tokens", tokens)
    record("at a time", most_at_a_time(spans))
    assert sum(requests) <= RPM
    assert sum(tokens) <= TPM
    assert most_at_a_time(spans) <= PLACES
    assert sum(requests) > PLACES


def test_over_one_file(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    check(run_processes(str(tmp_path / "ledger.db"), "", SECONDS), record_property)


@pytest.mark.service
def test_over_postgresql(postgres_url: Secret, record_property: Callable[[str, object], None]) -> None:
    check(run_processes(postgres_url.reveal(), "", SECONDS), record_property)


@pytest.mark.service
def test_with_redis(tmp_path: Path, service_url: Callable[[str], str], record_property: Callable[[str, object], None]) -> None:
    check(run_processes(str(tmp_path / f"{os.getpid()}.db"), service_url("redis"), SECONDS), record_property)


class PrivateRedis:
    """A server of our own, that may be killed."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = folder
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, with nothing in it, and wait until it listens."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        for line in process.stdout:
            if b"Ready to accept connections" in line:
                break
        return process

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}"

    def command(self, *words: str) -> None:
        """Send one command."""
        subprocess.run(["redis-cli", "-p", str(self.port), *words], check=True, capture_output=True)

    def kill(self) -> None:
        """As a crash does."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def restart(self) -> None:
        """It comes back empty."""
        self.kill()
        self.process = self.start()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[PrivateRedis]:
    if shutil.which("redis-server") is None or shutil.which("redis-cli") is None:
        pytest.skip("redis-server is not installed")
    server = PrivateRedis(tmp_path)
    yield server
    server.kill()


@pytest.mark.service
@pytest.mark.parametrize(
    "fault", ["killed", "flushed", *(pytest.param(name, marks=pytest.mark.proofs) for name in ("restarted", "full", "stopped"))]
)
def test_whatever_becomes_of_redis(fault: str, redis: PrivateRedis, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    faults: dict[str, Callable[[], None]] = {
        "killed": redis.kill,
        "flushed": lambda: redis.command("FLUSHALL"),
        "restarted": redis.restart,
        "full": lambda: redis.command("CONFIG", "SET", "maxmemory", "1"),
        "stopped": lambda: redis.command("CLIENT", "PAUSE", "60000", "ALL"),
    }
    check(run_processes(str(tmp_path / "ledger.db"), redis.url, SECONDS, faults[fault]), record_property)
