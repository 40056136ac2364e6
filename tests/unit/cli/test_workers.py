"""``headgate serve --workers``: several processes, one gateway."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from headgate.assembly.listeners import listeners, wants_spans
from headgate.errors import ConfigError
from headgate.observe.counters import Counters

pytest_plugins = ["headgate.testing.pytest_plugin"]

HEADGATE = [sys.executable, "-c", "from headgate.cli import main; main()"]
ADMIN_KEY = "hg-the-key-of-the-administrator"
PROMPT = "canary-prompt-90aa"
QUESTION = json.dumps({"model": "sim-anthropic/sim-small", "messages": [{"role": "user", "content": PROMPT}]})


class Served:
    """A gateway of several processes. `lines` is what it said on standard error so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None and process.stderr is not None
        self.process = process
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        said = [process.stdout.readline() for _ in range(5)]
        found = re.search(r"http://127\.0\.0\.1:(\d+), 2 processes", said[0])
        key = re.search(r"key +(\S+) ", said[4])
        assert found and key, said
        self.port, self.key = int(found[1]), key[1]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()

    def wait_for(self, words: str) -> None:
        """Return when it has said so."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(words in line for line in self.lines), 20), self.lines

    def call(self, method: str, path: str, body: str | None = None, key: str | None = None) -> tuple[int, bytes]:
        """One request on a connection of its own, with the key it printed or another."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {"authorization": f"Bearer {key or self.key}", "content-type": "application/json"})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def workers(self) -> list[int]:
        """The processes it runs."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in children.split()]

    def end(self) -> int:
        """Ask it to stop; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self._reader.join()
        return code


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[Served]:
    """A gateway while the block runs."""
    command = [*HEADGATE, "serve", "--port", "0", "--workers", "2", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder) as process:
        gateway = Served(process)
        try:
            yield gateway
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def test_several_processes_serve_and_are_replaced(headgate_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_ADMIN_KEY", ADMIN_KEY)
    with served(headgate_environment) as gateway:
        for _ in range(6):
            status, body = gateway.call("POST", "/v1/chat/completions", QUESTION)
            assert status == 200, body
        assert gateway.call("GET", "/healthz")[0] == 200
        status, body = gateway.call("GET", "/readyz")
        assert (status, json.loads(body)["checks"]["ledger"]) == (200, "ok")
        first = gateway.workers()
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        gateway.wait_for("was ended by SIGKILL")
        gateway.wait_for("serves again")
        assert len(set(gateway.workers()) - set(first)) == 1
        assert gateway.call("POST", "/v1/chat/completions", QUESTION)[0] == 200
        status, metrics = gateway.call("GET", "/metrics", key=ADMIN_KEY)
        assert status == 200
        assert b"headgate_build_info" in metrics
        snapshots = list(headgate_environment.rglob("metrics/*/*.json"))
        assert len(snapshots) == 2
        assert gateway.end() == 0
        told = "".join(gateway.lines).encode() + metrics + b"".join(path.read_bytes() for path in snapshots)
    assert PROMPT.encode() not in told
    assert gateway.key.encode() not in told
    assert ADMIN_KEY.encode() not in told


def test_the_key_is_in_no_argument_and_no_variable(headgate_environment: Path) -> None:
    with served(headgate_environment) as gateway:
        for pid in gateway.workers():
            for name in ("cmdline", "environ"):
                assert gateway.key.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
        assert gateway.end() == 0


def test_a_port_that_is_taken_is_named(headgate_environment: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [*HEADGATE, "serve", "--workers", "2", "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=headgate_environment)
    assert done.returncode == 3
    assert "in use by another program" in done.stderr


def test_nobody_starts_a_worker_by_hand(headgate_environment: Path) -> None:
    command = [sys.executable, "-m", "headgate.cli.actions.worker"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd=headgate_environment)
    assert done.returncode == 3
    assert "headgate serve --workers" in done.stderr


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_spans_are_sent_where_a_collector_is_named(variables: dict[str, str], wanted: bool) -> None:
    assert wants_spans(variables) == wanted


def test_spans_need_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "headgate.observe.otel", None)
    start = time.monotonic()
    with (
        pytest.raises(ConfigError, match="need the extra otel"),
        listeners({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, Counters(), access=False),
    ):
        pass
    assert time.monotonic() - start < 5
