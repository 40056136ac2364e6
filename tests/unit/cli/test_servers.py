"""``headgate serve``, ``headgate sim`` and ``headgate demo`` as processes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]
HEADGATE = [sys.executable, "-c", "from headgate.cli import main; main()"]


@contextmanager
def started(*arguments: str, cwd: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server and its port, as soon as it says where it listens. It must end well when it is asked to."""
    with subprocess.Popen([*HEADGATE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            said = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:(\d+)", said)
            assert found is not None, said + process.stderr.read()
            yield process, int(found[1])
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def call(port: int, method: str, path: str, body: Json = None, **headers: str) -> tuple[int, Json]:
    """One request."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), {"content-type": "application/json", **headers})
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


QUESTION = {"model": "sim-anthropic/sim-small", "messages": [{"role": "user", "content": "Hello."}]}


def test_serve_prints_its_key_once_and_keeps_others_out(headgate_environment: Path) -> None:
    with started("serve", "--port", "0", cwd=headgate_environment) as (process, port):
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        key = re.search(r"^  key +(\S+)   \(made for this start", "".join(lines), re.MULTILINE)
        assert key is not None
        assert call(port, "POST", "/v1/chat/completions", QUESTION)[0] == 401
        status, answer = call(port, "POST", "/v1/chat/completions", QUESTION, authorization=f"Bearer {key[1]}")
        assert status == 200
        assert answer["choices"][0]["message"]["content"]
        assert call(port, "GET", "/healthz")[0] == 200
    assert process.returncode == 0


def test_serve_knows_the_keys_that_were_made_meanwhile(headgate_environment: Path) -> None:
    with started("serve", "--port", "0", cwd=headgate_environment) as (_, port):
        made = subprocess.run([*HEADGATE, "keys", "create", "--quiet"], capture_output=True, text=True, check=True, cwd=headgate_environment)
        key = made.stdout.strip()
        status, answer = call(port, "GET", "/v1/key", authorization=f"Bearer {key}")
        assert (status, answer["id"]) == (200, key.split("-")[1])
        assert call(port, "POST", "/v1/chat/completions", QUESTION, authorization=f"Bearer {key}")[0] == 200
        assert call(port, "GET", "/v1/keys", authorization=f"Bearer {key}")[0] == 403


def test_serve_lives_on_when_its_clients_leave(headgate_environment: Path) -> None:
    with started("serve", "--port", "0", "--no-auth", cwd=headgate_environment) as (process, port):
        body = json.dumps({**QUESTION, "stream": True}).encode()
        fields = f"host: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        head = f"POST /v1/chat/completions HTTP/1.1\r\n{fields}\r\n\r\n"
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(head.encode() + body)
        assert call(port, "GET", "/healthz")[0] == 200
        assert process.poll() is None


def test_serve_without_a_key_is_for_this_machine_only(headgate: Command) -> None:
    done = headgate("serve", "--host", "0.0.0.0", "--no-auth")
    assert done.code in (2, 3)
    assert "key" in done.err or "--no-auth" in done.err


@pytest.mark.parametrize("command", ["serve", "sim"])
def test_a_port_that_is_taken_is_named(headgate: Command, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = headgate(command, "--port", str(port), code=3)
    assert str(port) in done.err.splitlines()[0]
    assert "--port" in done.err


def test_sim_is_a_provider_and_obeys_its_script(headgate_environment: Path) -> None:
    script = headgate_environment / "faults.json"
    script.write_text('[{"match": {"operation": "chat", "first": 1}, "action": {"kind": "status", "error": "rate_limit"}}]')
    with started("sim", "--port", "0", "--seed", "7", "--faults", str(script), cwd=headgate_environment) as (process, port):
        assert process.stdout is not None
        assert f"HEADGATE_SIM_URL=http://127.0.0.1:{port}" in process.stdout.readline()
        question = {"model": "sim-small", "messages": [{"role": "user", "content": "Hello."}]}
        statuses = [call(port, "POST", "/openai/v1/chat/completions", question, authorization="Bearer sim-k")[0] for _ in range(2)]
        assert statuses == [429, 200]
        assert call(port, "GET", "/_sim/bill")[1]["count"] == 1
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("[", "the fault script is not valid JSON"),
        ('[{"action": {"kind": "no-such-kind"}}]', "no-such-kind"),
        ('[{"action": {"kind": "status", "error": "auth"}, "match": {"operation": "chatt"}}]', "unknown operation 'chatt'"),
        ('{"rules": 1}', "Expected `array`"),
    ],
)
def test_a_script_that_is_wrong_is_refused(headgate: Command, headgate_environment: Path, script: str, told: str) -> None:
    path = headgate_environment / "faults.json"
    path.write_text(script)
    done = headgate("sim", "--port", "0", "--faults", str(path), code=3)
    assert done.err.startswith(f"error: {path}: ")
    assert told in done.err


def test_the_demo_from_an_empty_folder(tmp_path: Path) -> None:
    """A newcomer's first command: no keys, no settings, no network; two runs, the theory, and a bill that agrees."""
    bare = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    start = time.monotonic()
    done = subprocess.run(
        [*HEADGATE, "demo"], capture_output=True, text=True, check=False, cwd=tmp_path, env={**bare, "HOME": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 40
    assert "100 units, realtime: Simulator (OpenAI wire)" in done.stdout
    assert "100 units, batch: Simulator (Anthropic wire)" in done.stdout
    assert done.stdout.count("complete: 100 valid, 0 failed") == 2
    assert done.stdout.count("95 % interval") == 2
    assert "equal to the nano-dollar" in done.stdout
    for name in re.findall(r"runs/\S+\.jsonl", done.stdout):
        assert (tmp_path / name).is_file()
    look = re.search(r"headgate status (\S+)", done.stdout)
    assert look is not None
    after = subprocess.run(
        [*HEADGATE, "status", look[1]], capture_output=True, text=True, check=False, cwd=tmp_path, env={**bare, "HOME": str(tmp_path)}
    )
    assert after.returncode == 0
    assert "DrunkenSailor, realtime, complete" in after.stdout


def test_an_interrupt_pauses_a_run(headgate_environment: Path) -> None:
    """Ctrl-C: exit code 130, how to go on, and going on loses nothing."""
    run = [*HEADGATE, "run", "DrunkenSailor", "-p", "sim-openai", "-r", "one", "--concurrency", "1"]
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=headgate_environment) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "analyze" in line and not line.strip().startswith("0%  random_walk 0/0"):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        code = process.wait(20)
    if code != 0:
        assert code == 130, rest
        assert "go on with: headgate run DrunkenSailor --run-dir runs/one" in rest
    again = subprocess.run([*run, "-q", "--json"], capture_output=True, text=True, check=False, cwd=headgate_environment)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["valid"] == 100
