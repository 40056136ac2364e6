"""The gateway's handlers mounted under a server that is not ours: uvicorn, with a real client and a simulated provider."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
import uvicorn

from headgate.ledger import Receipt
from headgate.serving.app import App
from headgate.serving.asgi import AsgiApp, Message
from headgate.serving.auth import OpenDoor
from headgate.serving.request import Request
from headgate.serving.response import Stream
from headgate.serving.routes import Route, Routes
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import Rig, running_gateway
from headgate.testing.raw_http import PATIENCE

ASK = [{"role": "user", "content": "Where is the harbour?"}]


@contextmanager
def mounted(rig: Rig) -> Iterator[int]:
    """The rig's app under uvicorn, on the rig's own loop; gives the port."""
    assert rig.app is not None
    config = uvicorn.Config(AsgiApp(rig.app), host="127.0.0.1", port=0, log_level="critical", lifespan="off", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    rig.run(server.startup())
    ticking = asyncio.run_coroutine_threadsafe(server.main_loop(), rig.loop)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        ticking.result(PATIENCE)
        rig.run(server.shutdown())


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder: Path = tmp_path_factory.mktemp("asgi")
    with running_gateway(folder, settings=SimSettings(seed=7, event_gap=0.02)) as running:
        yield running


@pytest.fixture(scope="module")
def port(rig: Rig) -> Iterator[int]:
    with mounted(rig) as found:
        yield found


def asked(port: int, rig: Rig, path: str, body: object, key: str = "") -> tuple[int, dict[str, str], bytes]:
    """One request; its whole answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {"authorization": f"Bearer {key or rig.key}", "content-type": "application/json"}
    try:
        connection.request("POST", path, json.dumps(body).encode(), headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def booked(rig: Rig) -> Receipt:
    """The latest receipt."""
    rig.run(rig.drain())
    return rig.all_receipts()[-1]


@pytest.mark.parametrize("provider", ["sim-openai", "sim-anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_chat(port: int, rig: Rig, provider: str, stream: bool) -> None:
    body = {"model": f"{provider}/sim-small", "messages": ASK, "stream": stream}
    status, headers, data = asked(port, rig, "/v1/chat/completions", body)
    assert status == 200
    assert data.endswith(b"data: [DONE]\n\n") if stream else json.loads(data)["choices"][0]["message"]["content"]
    receipt = booked(rig)
    assert headers["x-headgate-request-id"] == receipt.id
    assert (receipt.status, receipt.provider, receipt.stream) == ("ok", provider, stream)


def test_errors_come_in_the_surfaces_envelope(port: int, rig: Rig) -> None:
    status, _, data = asked(port, rig, "/v1/messages", {"model": "sim-openai/sim-small", "messages": ASK, "max_tokens": 9}, key="hg-wrong")
    assert (status, json.loads(data)["error"]["type"]) == (401, "authentication_error")
    status, _, data = asked(port, rig, "/v1/chat/completions", {"model": "no/such", "messages": ASK})
    assert (status, json.loads(data)["error"]["code"]) == (404, "model_not_found")


def test_a_client_that_leaves_cancels_the_call(port: int, rig: Rig) -> None:
    rig.run(rig.drain())
    before = len(rig.all_receipts())
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {"authorization": f"Bearer {rig.key}", "content-type": "application/json"}
    body = {"model": "sim-openai/sim-small", "messages": ASK, "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body).encode(), headers)
    answer = connection.getresponse()
    assert answer.read(6) == b"data: "
    answer.close()
    connection.close()
    assert rig.receipts(before + 1)[-1].status == "cancelled"


def test_a_bug_within_a_stream_ends_it_with_last_words() -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b"one"
        raise ZeroDivisionError

    async def endpoint(request: Request) -> Stream:
        return Stream(200, (), chunks(), farewell=lambda error: error.message.encode())

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        await asyncio.Event().wait()
        return {}

    app = App(Routes([Route(method="GET", path="/x", endpoint=endpoint, scope=None)]), door=OpenDoor(None), hosts=None)
    scope: Message = {"type": "http", "method": "GET", "path": "/x", "headers": [(b"host", b"a")]}
    with pytest.raises(ZeroDivisionError):
        asyncio.run(AsgiApp(app)(scope, receive, send))
    assert [message.get("body") for message in sent[1:]] == [b"one", b"internal error"]
    assert not sent[-1].get("more_body")
