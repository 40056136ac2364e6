"""A simulator on a free port with a clock that moves only when told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import NamedTuple

import anthropic
import openai
import pytest

from headgate.sim.clock import ManualClock
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.wire.json import Json

START = 1_780_000_000.0
END_OF_BATCH = 3600.0


class Reply(NamedTuple):
    """What a plain HTTP call brought back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Json:
        return json.loads(self.body)


class Http:
    """One-shot HTTP calls to a simulator, with the Gemini key set."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim

    def __call__(self, method: str, path: str, body: Json = None, headers: dict[str, str] | None = None) -> Reply:
        connection = HTTPConnection("127.0.0.1", self.sim.port, timeout=20)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"x-goog-api-key": "sim-key", "content-type": "application/json", **(headers or {})}
        try:
            connection.request(method, path, data, sent)
            reply = connection.getresponse()
            return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        finally:
            connection.close()


@pytest.fixture
def settings() -> SimSettings:
    return SimSettings(seed=7)


@pytest.fixture
def sim(settings: SimSettings) -> Iterator[Simulator]:
    with Simulator(settings, clock=ManualClock(START)).run_in_thread() as running:
        yield running


@pytest.fixture
def http(sim: Simulator) -> Http:
    return Http(sim)


@pytest.fixture
def openai_client(sim: Simulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{sim.url}/openai/v1", api_key="sim-key", max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic_client(sim: Simulator) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=f"{sim.url}/anthropic", api_key="sim-key", max_retries=0) as client:
        yield client
