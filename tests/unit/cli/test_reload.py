"""Settings read anew by a gateway that serves, alone and in several processes: by `headgate reload`, by SIGHUP, by the file alone (F18)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from headgate.router.features import read_decided
from headgate.serving.pid_file import pid_file, read_pid_file
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

HEADGATE = [sys.executable, "-c", "from headgate.cli import main; main()"]
PATIENCE = 20.0
GAUGES_TOLD = {
    "headgate_in_flight_requests",
    "headgate_open_connections",
    "headgate_queue_length",
    "headgate_journal_depth",
    "headgate_cache_bytes",
    "headgate_upstream_connections",
    "headgate_breaker_state",
    "headgate_resident_memory_bytes",
    "headgate_ready",
}
TAKEN = ("reloaded: generation 2\n", "nothing changed\n")
"""The watcher may have been quicker than the command."""


class Gateway:
    """A gateway on a port, whose settings file lies in `folder`."""

    def __init__(self, process: subprocess.Popen[str], port: int, folder: Path) -> None:
        self.process = process
        self.port = port
        self.folder = folder

    def configure(self, **routes: str) -> None:
        """Write the settings file, whole."""
        partial = self.folder / "headgate.yaml.new"
        partial.write_text(settings(**routes), encoding="utf-8")
        partial.replace(self.folder / "headgate.yaml")

    def call(self, method: str, path: str, body: Json = None) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {"content-type": "application/json"})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def ask(self, model: str) -> int:
        """The status of a chat request."""
        return self.call("POST", "/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": "Hello."}]})[0]

    def reload(self) -> subprocess.CompletedProcess[str]:
        """What `headgate reload` says."""
        command = [*HEADGATE, "reload", "--port", str(self.port)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder)

    def checks(self) -> dict[str, str]:
        """What readiness says of each check."""
        found: dict[str, str] = json.loads(self.call("GET", "/readyz")[1])["checks"]
        return found


def settings(**routes: str) -> str:
    named = {name: {"deployments": [model]} for name, model in routes.items()}
    return json.dumps({"gateway": {"metrics": "open"}, "routing_log": "decisions.jsonl", "routes": named})


def until(wanted: Callable[[], bool]) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not wanted():
        assert time.monotonic() < deadline


@contextmanager
def served(folder: Path, workers: int) -> Iterator[Gateway]:
    (folder / "headgate.yaml").write_text(settings(first="sim-openai/sim-small"), encoding="utf-8")
    command = [*HEADGATE, "serve", "--port", "0", "--no-auth", "--workers", str(workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert found is not None
            yield Gateway(process, int(found[1]), folder)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("workers", [1, 2])
def test_settings_are_read_anew(headgate_environment: Path, workers: int) -> None:
    with served(headgate_environment, workers) as gateway:
        file = pid_file(Path(os.environ["HEADGATE_DATA_DIR"]), gateway.port)
        serving = read_pid_file(file)
        assert serving is not None
        assert serving.pid == gateway.process.pid
        assert (gateway.ask("first"), gateway.ask("second")) == (200, 404)

        gateway.configure(first="sim-openai/sim-small", second="sim-anthropic/sim-small")
        done = gateway.reload()
        assert done.returncode == 0, done.stderr
        assert done.stdout in TAKEN
        assert [gateway.ask("second") for _ in range(6)] == [200] * 6
        listed = json.loads(gateway.call("GET", "/v1/models")[1])["data"]
        assert [one["id"] for one in listed if one["owned_by"] == "headgate"] == ["first", "second"]

        gateway.configure(third="nobody/x")
        done = gateway.reload()
        assert done.returncode == 3
        assert "unknown model 'nobody/x'" in done.stderr
        assert [gateway.ask("second") for _ in range(6)] == [200] * 6
        until(lambda: gateway.checks()["settings"] == "file not taken")
        assert gateway.call("GET", "/readyz")[0] == 200
        assert b'headgate_config_reloads_total{outcome="failed"}' in gateway.call("GET", "/metrics")[1]

        metrics = gateway.call("GET", "/metrics")[1].decode()
        told = set(re.findall(r"^(headgate_\w+)", metrics, re.MULTILINE))
        assert told >= GAUGES_TOLD
        assert re.search(r'^headgate_refused_total{code="model_not_found"} 1$', metrics, re.MULTILINE)

        gateway.configure(third="sim-gemini/sim-small")
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: [gateway.ask("third") for _ in range(6)] == [200] * 6)
        until(lambda: gateway.checks()["settings"] == "ok")
        assert gateway.ask("second") == 404

        gateway.configure(fourth="sim-gemini/sim-small")
        until(lambda: [gateway.ask("fourth") for _ in range(6)] == [200] * 6)
    assert not file.exists()
    decisions = read_decided((headgate_environment / "decisions.jsonl").read_bytes().splitlines())
    assert {decided.wish.model for decided in decisions} == {"first", "second", "third", "fourth"}
    assert [decided for decided in decisions if decided.attempts != 1 or decided.chosen is None or decided.duration is None] == []


def test_a_process_that_was_replaced_does_not_hold_up_a_reading(headgate_environment: Path) -> None:
    with served(headgate_environment, 2) as gateway:
        children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children")
        before = children.read_text(encoding="ascii").split()
        os.kill(int(before[0]), signal.SIGKILL)
        until(lambda: len(set(children.read_text(encoding="ascii").split()) - set(before)) == 1)
        gateway.configure(second="sim-openai/sim-small")
        done = gateway.reload()
        assert done.returncode == 0, done.stderr
        assert done.stdout in TAKEN
