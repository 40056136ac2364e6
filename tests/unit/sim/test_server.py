"""The simulator's HTTP server, its control API, its hooks and its life."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anthropic
import openai
import pytest

from headgate.sim.clock import ManualClock, ScaledClock
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.wire.json import Json, encode

CHAT = {"model": "sim-small", "messages": [{"role": "user", "content": "Tell me about harbours"}]}
AUTH = {"authorization": "Bearer sim-key"}
OPENAI = "/openai/v1/chat/completions"
HEAD = b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: s\r\nauthorization: Bearer sim-key\r\n"
Http = Callable[..., Json]


def talk(sim: Simulator, *pieces: bytes, until: bytes = b"}}") -> bytes:
    with socket.create_connection(("127.0.0.1", sim.port), timeout=20) as client:
        received = b""
        for piece in pieces:
            client.sendall(piece)
        while until not in received and (more := client.recv(65536)):
            received += more
    return received


def test_chunked_requests_and_100_continue(sim: Simulator) -> None:
    data = encode(CHAT)
    chunks = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (10, data[:10], len(data) - 10, data[10:])
    received = talk(sim, HEAD + b"expect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n", chunks, until=b'"usage"')
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_any_split_of_a_request_is_read(sim: Simulator) -> None:
    data = encode(CHAT)
    request = HEAD + b"content-length: %d\r\n\r\n" % len(data) + data
    pieces = [request[at : at + 1] for at in range(len(request))]
    assert talk(sim, *pieces, until=b'"usage"').startswith(b"HTTP/1.1 200 OK\r\n")


def test_close_is_honoured(sim: Simulator) -> None:
    data = encode(CHAT)
    received = talk(sim, HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(data) + data, until=b"never")
    assert b"connection: close\r\n" in received and received.endswith(b"}")


def test_what_is_not_http_is_refused(sim: Simulator) -> None:
    assert talk(sim, b"BREW /pot HTCPCP/1.0\r\n\r\n", until=b"never").startswith(b"HTTP/1.1 400 ")


def test_large_uploads(sim: Simulator, openai_client: openai.OpenAI) -> None:
    data = b"x" * 30_000_000
    file = openai_client.files.create(file=("big.jsonl", data), purpose="batch")
    assert file.bytes == len(data) and openai_client.files.content(file.id).content == data


@pytest.mark.parametrize("path", ["/", "/openai/v1/nothing", "/nobody/v1/chat/completions", "/_sim/nothing"])
def test_unknown_addresses_say_what_there_is(http: Http, path: str) -> None:
    reply = http("GET", path, headers=AUTH)
    assert reply.status == 404 and reply.json()["error"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (OPENAI, AUTH),
        ("/anthropic/v1/messages", {"x-api-key": "sim-key", "anthropic-version": "2023-06-01"}),
        ("/gemini/v1beta/models/sim-flash:generateContent", {}),
    ],
)
@pytest.mark.parametrize("body", [b"{nope", b"[]", b'"text"', b"", b"\xff\xfe", b"{}"])
def test_bad_bodies_are_refused_in_the_providers_shape(sim: Simulator, http: Http, path: str, headers: dict[str, str], body: bytes) -> None:
    reply = http("POST", path, body, headers)
    assert reply.status == 400 and reply.json()["error"]["message"]
    assert len(sim.bill) == 0


def test_the_control_api(sim: Simulator, http: Http) -> None:
    assert http("GET", "/_sim/health").json()["status"] == "ok"
    assert http("POST", "/_sim/faults", [{"match": {"nth": 2}, "action": {"kind": "status", "error": "server"}}]).json() == {"rules": 1}
    assert [http("POST", OPENAI, CHAT, AUTH).status for _ in range(3)] == [200, 500, 200]
    journal = http("GET", "/_sim/requests").json()["requests"]
    assert [(entry["seq"], entry["operation"], entry["status"], entry["key"]) for entry in journal] == [
        (1, "chat", 200, "sim-key"),
        (2, "chat", 500, "sim-key"),
        (3, "chat", 200, "sim-key"),
    ]
    assert (journal[0]["provider"], journal[0]["model"]) == ("openai", "sim-small")
    bill = http("GET", "/_sim/bill").json()
    assert (bill["count"], bill["total_nanos"]) == (2, sim.bill.total)
    assert bill["lines"][0]["request_id"] == journal[0]["request_id"]
    before = http("GET", "/_sim/health").json()["time"]
    assert http("POST", "/_sim/clock", {"advance": 60}).json()["time"] == before + 60
    assert http("POST", "/_sim/reset").json() == {"status": "ok"}
    assert http("GET", "/_sim/bill").json()["count"] == 0


@pytest.mark.parametrize(
    ("path", "body"), [("/_sim/faults", [{"action": {"kind": "x"}}]), ("/_sim/clock", {"advance": -1}), ("/_sim/clock", None)]
)
def test_control_mistakes_are_explained(http: Http, path: str, body: Json) -> None:
    reply = http("POST", path, body)
    assert reply.status == 400 and reply.json()["error"]


def test_the_journal_names_batches_rows_and_tags(sim: Simulator, openai_client: openai.OpenAI) -> None:
    row = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
    file = openai_client.files.create(file=("in.jsonl", encode(row)), purpose="batch")
    batch = openai_client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"tag": "t"}
    )
    entry = sim.requests[-1]
    assert (entry.operation, entry.rows, entry.batch_id, entry.tag) == ("batch_create", 1, batch.id, {"tag": "t"})


def test_hooks_run_around_the_execution() -> None:
    seen: list[tuple[str, int, str]] = []
    settings = SimSettings(
        on_request=lambda seq, operation: seen.append(("before", seq, operation)),
        on_executed=lambda seq, operation: seen.append(("after", seq, operation)),
    )
    simulator = Simulator(settings, clock=ManualClock())
    with simulator.run_in_thread(), openai.OpenAI(base_url=simulator.url + "/openai/v1", api_key="sim-key") as client:
        client.chat.completions.create(**CHAT)
        list(client.chat.completions.create(**CHAT, stream=True))
    assert seen == [("before", 1, "chat"), ("after", 1, "chat"), ("before", 2, "stream"), ("after", 2, "stream")]


def test_paced_streams_arrive_whole_and_a_client_that_leaves_is_noted() -> None:
    simulator = Simulator(SimSettings(event_gap=0.002))
    with simulator.run_in_thread(), openai.OpenAI(base_url=simulator.url + "/openai/v1", api_key="sim-key") as client:
        whole = client.chat.completions.create(**CHAT).choices[0].message.content
        chunks = list(client.chat.completions.create(**CHAT, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
        with client.chat.completions.create(**CHAT, stream=True) as stream:
            next(iter(stream))
        client.close()
        deadline = time.monotonic() + 20
        while simulator.requests[-1].client_gone is None and time.monotonic() < deadline:
            pass
    assert [entry.client_gone is None for entry in simulator.requests] == [True, True, False]


def test_in_the_callers_loop() -> None:
    async def ask() -> tuple[str, int]:
        async with (
            Simulator(SimSettings(latency=0.001)) as simulator,
            openai.AsyncOpenAI(base_url=simulator.url + "/openai/v1", api_key="sim-key") as client,
        ):
            answers = await asyncio.gather(*(client.chat.completions.create(**CHAT) for _ in range(20)))
            return answers[0].object, len(simulator.bill)

    assert asyncio.run(ask()) == ("chat.completion", 20)


def test_a_taken_port_is_an_os_error(sim: Simulator) -> None:
    with pytest.raises(OSError, match="in use"), Simulator().run_in_thread(port=sim.port):
        raise AssertionError("a taken port was served")


def test_two_runs_of_the_same_requests_are_equal() -> None:
    def play() -> list[bytes]:
        simulator = Simulator(SimSettings(seed=3), clock=ManualClock())
        with simulator.run_in_thread(), openai.OpenAI(base_url=simulator.url + "/openai/v1", api_key="sim-key") as client:
            return [client.chat.completions.with_raw_response.create(**CHAT, n=number).content for number in (1, 2)]

    assert play() == play()


def test_state_survives_a_restart(tmp_path: Path) -> None:
    settings = SimSettings(state_dir=str(tmp_path))
    clock = ManualClock()

    def row(index: int) -> Json:
        return {"custom_id": f"r{index}", "params": {**CHAT, "max_tokens": 40}}

    first = Simulator(settings, clock=clock)
    with first.run_in_thread(), anthropic.Anthropic(base_url=first.url + "/anthropic", api_key="sim-key") as client:
        batch = client.messages.batches.create(requests=[row(index) for index in range(7)])
        said = client.messages.create(**CHAT, max_tokens=40)
    (tmp_path / "bill.jsonl").write_bytes((tmp_path / "bill.jsonl").read_bytes() + b'{"torn')
    second = Simulator(settings, clock=clock)
    with second.run_in_thread(), anthropic.Anthropic(base_url=second.url + "/anthropic", api_key="sim-key") as client:
        assert [line.response_id for line in second.bill.lines] == [said.id]
        second.advance(3600)
        assert len(list(client.messages.batches.results(batch.id))) == 7
        assert client.messages.create(**CHAT, max_tokens=40).id != said.id
        invoice = second.bill.document()
    third = Simulator(settings, clock=clock)
    assert third.bill.document() == invoice and invoice["count"] == 9
    with third.run_in_thread(), anthropic.Anthropic(base_url=third.url + "/anthropic", api_key="sim-key") as client:
        assert len(list(client.messages.batches.results(batch.id))) == 7


def test_scaled_time() -> None:
    ticks = iter([0.0, 0.0, 2.0, 2.0])
    clock = ScaledClock(100.0, 60.0, lambda: next(ticks))
    assert [clock.now(), clock.now()] == [100.0, 220.0]
    clock.advance(5)
    assert clock.now() == 225.0


def test_serve_runs_until_a_signal() -> None:
    program = (
        "import os, signal\n"
        "from headgate.sim.server import serve\n"
        "from headgate.sim.settings import SimSettings\n"
        "def ready(sim):\n"
        "    print(sim.url, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "serve(SimSettings(port=0), ready)\n"
        "print('stopped')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("http://127.0.0.1:") and done.stdout.endswith("stopped\n")
    assert done.stderr == ""
