"""The list of models in both shapes, and health."""

from __future__ import annotations

import json

import pytest
from anthropic.types import ModelInfo

from headgate.testing.gateway import Rig
from headgate.testing.raw_http import RawWire, Reply, request_bytes


def get(rig: Rig, path: str, **headers: str) -> Reply:
    with RawWire(int(rig.url.rpartition(":")[2])) as wire:
        wire.send(request_bytes("GET", path, key=rig.key, **headers))
        return wire.reply()


def test_openai_shape(rig: Rig) -> None:
    document = json.loads(get(rig, "/v1/models").body)
    assert document["object"] == "list"
    for entry in document["data"]:
        assert set(entry) == {"id", "object", "created", "owned_by"}
        assert isinstance(entry["created"], int)
    assert "sim-gemini/sim-small" in {entry["id"] for entry in document["data"]}


def test_anthropic_shape(rig: Rig) -> None:
    document = json.loads(get(rig, "/v1/models", anthropic_version="2023-06-01").body)
    assert document["has_more"] is False
    assert (document["first_id"], document["last_id"]) == (document["data"][0]["id"], document["data"][-1]["id"])
    for entry in document["data"]:
        ModelInfo.model_validate(entry)
        assert (entry["lifecycle"] == "deprecated") == (entry["retires_at"] is not None)
    assert {entry["lifecycle"] for entry in document["data"]} == {"active", "deprecated"}
    assert any(entry["max_tokens"] and entry["max_input_tokens"] for entry in document["data"])


@pytest.mark.parametrize(
    ("path", "status"), [("sim-openai/sim-small", 200), ("sim-openai%2Fsim-small", 200), ("nothing", 404), ("openai/", 404)]
)
def test_one(rig: Rig, path: str, status: int) -> None:
    reply = get(rig, f"/v1/models/{path}")
    assert reply.status == status
    if status == 404:
        assert json.loads(reply.body)["error"]["code"] == "model_not_found"


def test_unknown_in_the_other_shape(rig: Rig) -> None:
    reply = get(rig, "/v1/models/nothing", anthropic_version="2023-06-01")
    assert (reply.status, json.loads(reply.body)["error"]["type"]) == (404, "not_found_error")


def test_health_needs_nothing(rig: Rig) -> None:
    with RawWire(int(rig.url.rpartition(":")[2])) as wire:
        wire.send(b"GET /healthz HTTP/1.1\r\nhost: whatever\r\n\r\n")
        assert json.loads(wire.reply().body) == {"status": "ok"}
