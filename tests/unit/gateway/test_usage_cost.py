"""`usage.cost`: an answer that is written here says in dollars what its receipt says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from headgate.client import Target
from headgate.domain.cost import Cost, cost_field
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import Rig, running_gateway
from headgate.wire.json import JsonObject, encode

ASK = [{"role": "user", "content": "Where is the harbour?"}]
SURFACES: dict[str, tuple[str, str, JsonObject]] = {
    "chat": ("/v1/chat/completions", "sim-anthropic", {"messages": ASK}),
    "responses": ("/v1/responses", "sim-gemini", {"input": "Where is the harbour?"}),
    "completions": ("/v1/completions", "sim-anthropic", {"prompt": "The harbour", "max_tokens": 20}),
    "messages": ("/v1/messages", "sim-openai", {"messages": ASK, "max_tokens": 50}),
}
FOUND = re.compile(rb'"cost":([^,}]+)')
surfaces = pytest.mark.parametrize("name", SURFACES)
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    def unpriced(target: Target) -> Target:
        return replace(target, card=None) if target.model == "sim-large" else target

    with running_gateway(tmp_path_factory.mktemp("cost"), settings=SimSettings(seed=7), change=unpriced) as running:
        yield running


def asked(rig: Rig, name: str, stream: bool, model: str = "sim-small", provider: str = "", **headers: str) -> tuple[dict[str, str], bytes]:
    """The headers and the body of an answer."""
    path, usual, fields = SURFACES[name]
    body = {"model": f"{provider or usual}/{model}", **fields, "stream": stream}
    if stream and name in ("chat", "completions"):
        body["stream_options"] = {"include_usage": True}
    parts = urlsplit(rig.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    sent = {"authorization": f"Bearer {rig.key}", "content-type": "application/json", **headers}
    try:
        connection.request("POST", path, json.dumps(body).encode(), sent)
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status == 200, data
        return {key.lower(): value for key, value in answer.getheaders()}, data
    finally:
        connection.close()


@surfaces
@streamed
def test_the_answer_says_what_the_receipt_says(rig: Rig, name: str, stream: bool) -> None:
    headers, body = asked(rig, name, stream)
    rig.run(rig.drain())
    receipt = rig.all_receipts()[-1]
    assert [Decimal(found.decode()) for found in FOUND.findall(body)] == [receipt.cost.usd]
    assert stream or Decimal(headers["x-headgate-cost"]) == receipt.cost.usd


@surfaces
@streamed
def test_an_unknown_price_is_null(rig: Rig, name: str, stream: bool) -> None:
    assert FOUND.findall(asked(rig, name, stream, "sim-large")[1]) == [b"null"]


@surfaces
@streamed
def test_a_client_can_do_without(rig: Rig, name: str, stream: bool) -> None:
    assert not FOUND.findall(asked(rig, name, stream, **{"x-headgate-usage-cost": "false"})[1])


@pytest.mark.parametrize("name", ["chat", "messages"])
@streamed
def test_bytes_that_pass_through_stay_as_they_are(rig: Rig, name: str, stream: bool) -> None:
    same = "sim-openai" if name == "chat" else "sim-anthropic"
    assert not FOUND.findall(asked(rig, name, stream, provider=same)[1])


def test_dollars_are_exact() -> None:
    assert encode(cost_field(Cost(1))) == b'{"cost":0.000000001}'
    assert encode(cost_field(Cost(123_456_789_012_345_678))) == b'{"cost":123456789.012345678}'
    assert encode(cost_field(Cost(None))) == b'{"cost":null}'
    assert cost_field(None) == {}
