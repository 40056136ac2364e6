"""Secrets and prompts, each with a mark of its own, through every surface of a running gateway, and a look into all it left (faults J1–J5).

The gateway runs as ``headgate serve`` with its access log on, beside the simulator, whose scripted refusals quote the key they were
sent. Nothing that was written or answered may hold a mark, but for the answers to the client itself.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from headgate.sim.faults import Garbage, Match, Reset, Rule, Status, StreamError
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.testing.simulators import wait_for

pytest_plugins = ["headgate.testing.pytest_plugin"]

HEADGATE = [sys.executable, "-c", "from headgate.cli import main; main()"]
MARKS = {
    "the key of clients": "hg-canary-client-7d1f6a52c9",
    "the key of the administrator": "hg-canary-admin-08b3e47f21",
    "the provider's key": "sim-canary-provider-5c2a90be",
    "a wrong key": "hg-canary-stranger-e19d73a4b0",
    "the pepper": "canary-pepper-93ab10c7d5e2f4886b",
    "a prompt": "CanaryPromptQuokka",
    "a tool's arguments": "CanaryToolNumbat",
    "a tool's result": "CanaryResultBilby",
}
"""What must not be found, by what it is. What clients call their own requests (session, run, agent, user) is kept, and documented so."""
QUOTING = "Incorrect API key provided: " + MARKS["the provider's key"]


class Served(NamedTuple):
    port: int
    sim: Simulator
    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[str]


def call(port: int, method: str, path: str, body: Any = None, key: str | None = MARKS["the key of clients"], **headers: str) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    sent = {"content-type": "application/json", **headers, **({} if key is None else {"authorization": f"Bearer {key}"})}
    try:
        connection.request(method, path, None if body is None else body if isinstance(body, bytes) else json.dumps(body), sent)
        reply = connection.getresponse()
        return str(reply.status).encode() + b" " + str(reply.getheaders()).encode() + reply.read()
    finally:
        connection.close()


def chats() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every surface with every kind of target, whole and as a stream."""
    prompt = MARKS["a prompt"]
    arguments, result = json.dumps({"q": MARKS["a tool's arguments"]}), MARKS["a tool's result"]
    tool = {"type": "object", "properties": {"q": {"type": "string"}}}
    turns = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": arguments}}]},
        {"role": "tool", "tool_call_id": "c1", "content": result},
    ]
    blocks = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": json.loads(arguments)}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": result}]},
    ]
    for model in ("sim-openai/sim-small", "sim-anthropic/sim-small", "sim-gemini/sim-flash"):
        for stream in (False, True):
            common = {"model": model, "stream": stream}
            yield (
                "/v1/chat/completions",
                {**common, "messages": turns, "tools": [{"type": "function", "function": {"name": "look", "parameters": tool}}]},
            )
            yield "/v1/messages", {**common, "max_tokens": 90, "messages": blocks, "tools": [{"name": "look", "input_schema": tool}]}
            yield "/v1/responses", {**common, "input": prompt}
            verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
            yield f"/v1beta/models/{model}:{verb}", {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}
    yield "/v1/embeddings", {"model": "sim-openai/sim-small", "input": prompt}
    yield "/v1/completions", {"model": "sim-openai/sim-small", "prompt": prompt, "max_tokens": 20}
    yield "/v1/messages/count_tokens", {"model": "sim-anthropic/sim-small", "messages": [{"role": "user", "content": prompt}]}
    yield "/v1/route/explain", {"model": "sim-openai/sim-small", "messages": [{"role": "user", "content": prompt}]}
    yield "/v1/estimate-cost", {"model": "sim-openai/sim-small", "messages": [{"role": "user", "content": prompt}], "max_tokens": 5}


def troubles() -> Iterator[tuple[Rule, ...]]:
    """Refusals that quote the key they got, and what else makes a gateway speak of a request."""
    yield (Rule(Status("bad_request", message=QUOTING)),)
    yield (Rule(Garbage(400, body=f"<html>{QUOTING}</html>")),)
    yield (Rule(StreamError(1), Match(operation="stream", first=2)), Rule(Status("permission", message=QUOTING), Match(operation="chat")))
    yield (Rule(Status("server", message=QUOTING), Match(first=3)), Rule(Garbage(200, body=QUOTING), Match(first=8)), Rule(Reset()))
    yield (Rule(Status("auth", message=QUOTING)),)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("canaries")
    with Simulator(SimSettings(seed=7)).run_in_thread() as sim:
        environment = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": ":".join(sys.path),
            "HOME": str(folder),
            "HEADGATE_DATA_DIR": str(folder / "data"),
            "HEADGATE_RECEIPT_DIR": str(folder / "receipts"),
            "HEADGATE_ROUTING_LOG": str(folder / "routing.jsonl"),
            "HEADGATE_SIM_URL": sim.url,
            "HEADGATE_SIM_KEY": MARKS["the provider's key"],
            "HEADGATE_KEY": MARKS["the key of clients"],
            "HEADGATE_ADMIN_KEY": MARKS["the key of the administrator"],
            "HEADGATE_PEPPER": MARKS["the pepper"],
        }
        with (folder / "out.log").open("w") as out, (folder / "err.log").open("w") as err:
            command = [*HEADGATE, "serve", "--port", "0", "--access-log"]
            with subprocess.Popen(command, stdout=out, stderr=err, text=True, cwd=folder, env=environment) as process:
                try:
                    yield Served(listening(folder, process), sim, folder, environment, process)
                finally:
                    process.send_signal(signal.SIGTERM)
                    process.wait(20)


def listening(folder: Path, process: subprocess.Popen[str]) -> int:
    pattern = re.compile(r"http://127\.0\.0\.1:(\d+)")
    log = folder / "out.log"
    assert wait_for(lambda: pattern.search(log.read_text()) is not None or process.poll() is not None, 30.0)
    found = pattern.search(log.read_text())
    assert found is not None, (folder / "err.log").read_text()
    return int(found[1])


def told(served: Served) -> dict[str, bytes]:
    """Everything that is not the answer to a call: by where it stood."""
    port, admin = served.port, MARKS["the key of the administrator"]
    made = json.loads(call(port, "POST", "/v1/keys", {"name": "n"}, key=admin).partition(b"]")[2])
    for path, body in chats():
        answer = call(port, "POST", path, body, key=made["key"])
        assert answer.startswith(b"200") or path == "/v1/embeddings", answer
    found = {}
    for number, rules in enumerate(troubles()):
        served.sim.set_faults(rules)
        for path, body in chats():
            found[f"trouble {number} {path}"] = call(port, "POST", path, body)
    served.sim.set_faults(())
    for path, body in chats():
        found[f"wrong key {path}"] = call(port, "POST", path, body, key=MARKS["a wrong key"])
        found[f"broken {path}"] = call(port, "POST", path, json.dumps(body).encode()[:-1])
        found[f"wrong type {path}"] = call(port, "POST", path, {**body, "model": {"x": MARKS["a prompt"]}, "stream": 3})
        found[f"query {path}"] = call(port, "POST", f"{path}?key={MARKS['a wrong key']}", body, key=None)
    for path in ("/metrics", "/healthz", "/readyz", "/v1/receipts", "/v1/usage", "/v1/metrics", "/v1/budget", "/v1/keys", "/v1/models"):
        for key in (MARKS["the key of clients"], admin):
            found[f"GET {path} {len(found)}"] = call(port, "GET", path, key=key)
    listed = json.loads(call(port, "GET", "/v1/receipts").partition(b"]")[2])["data"]
    assert listed
    for receipt in listed[:20]:
        found[f"receipt {receipt['id']}"] = call(port, "GET", f"/v1/receipts/{receipt['id']}")
    found |= {"the new key": made["key"].encode()}
    return found


def commanded(served: Served) -> Iterator[tuple[str, bytes]]:
    """What the commands say that show settings, receipts and keys."""
    for line in (
        "config show",
        "config check",
        "doctor",
        "doctor --json",
        "receipts list",
        "receipts list --json",
        "receipts export",
        "receipts verify",
        "usage",
        "keys list",
        "keys list --json",
        "budgets list",
        "status",
    ):
        command = [*HEADGATE, *line.split()]
        done = subprocess.run(command, capture_output=True, cwd=served.folder, env=served.environment, check=False, timeout=60)
        yield f"headgate {line}", done.stdout + done.stderr


def test_no_sink_holds_a_secret_or_a_prompt(served: Served) -> None:
    sinks = told(served)
    minted = sinks.pop("the new key").decode()
    assert sum(b"Incorrect API key provided" in data for name, data in sinks.items() if name.startswith("trouble")) >= 10
    sinks |= dict(commanded(served))
    sinks |= {f"arguments of {served.process.pid}": Path(f"/proc/{served.process.pid}/cmdline").read_bytes()}
    sinks |= {f"file {path.relative_to(served.folder)}": path.read_bytes() for path in served.folder.rglob("*") if path.is_file()}
    assert any(name.endswith(".journal") for name in sinks) and any(name.endswith(".db") for name in sinks)
    marks = {**MARKS, "a virtual key": minted, "the secret of a virtual key": minted.rpartition("-")[2]}
    hits = [f"{what} in {name}" for name, data in sinks.items() for what, mark in marks.items() if mark.encode() in data]
    assert not hits, "\n".join(hits)
