"""The list of models in both shapes, and health."""

from __future__ import annotations

import json

import pytest
from anthropic.types import ModelInfo

from headgate.catalog.load import load_catalog
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


@pytest.mark.parametrize(("path", "headers"), [("/v1beta/models", {}), ("/v1/models", {"x_goog_api_client": "gl-go/1.24"})])
def test_google_shape(rig: Rig, path: str, headers: dict[str, str]) -> None:
    document = json.loads(get(rig, path, **headers).body)
    assert set(document) == {"models"}
    found = {entry["name"]: entry for entry in document["models"]}
    for entry in document["models"]:
        assert entry["name"].startswith("models/") and entry["displayName"]
    assert found["models/sim-gemini/sim-small"]["inputTokenLimit"] > 0
    methods = {
        card.kind: found[f"models/{card.name}"]["supportedGenerationMethods"]
        for card in load_catalog().cards
        if f"models/{card.name}" in found
    }
    assert methods["embedding"][0] == "embedContent" and methods["chat"][0] == "generateContent"
    assert len(found) == len(json.loads(get(rig, "/v1/models").body)["data"])


@pytest.mark.parametrize("path", ["/v1beta/models/sim-openai/sim-small", "/v1beta/sim-openai/sim-small"])
def test_one_in_googles_shape(rig: Rig, path: str) -> None:
    assert json.loads(get(rig, path).body)["name"] == "models/sim-openai/sim-small"


@pytest.mark.parametrize("path", ["/v1beta/models/nothing", "/v1beta/files"])
def test_unknown_in_googles_shape(rig: Rig, path: str) -> None:
    reply = get(rig, path)
    assert (reply.status, json.loads(reply.body)["error"]["status"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/v1beta/models?key={key}", {}, 200),
        ("/v1beta/models?pageSize=5&key={key}&alt=json", {}, 200),
        ("/v1beta/models/sim-openai/sim-small?key={key}", {"x_goog_api_key": "{key}"}, 200),
        ("/v1beta/models?key={key}", {"x_goog_api_key": "hg-another-key-0123456789"}, 400),
        ("/v1beta/models?key={key}&key=hg-another-key-0123456789", {}, 400),
        ("/v1beta/models?key=hg-another-key-0123456789", {}, 401),
        ("/v1beta/models?key=", {}, 401),
        ("/v1beta/models?monkey={key}", {}, 401),
        ("/v1/models?key={key}", {}, 401),
        ("/v1/receipts?key={key}", {}, 401),
    ],
)
def test_a_key_in_the_query_is_for_googles_surface(rig: Rig, target: str, headers: dict[str, str], status: int) -> None:
    with RawWire(int(rig.url.rpartition(":")[2])) as wire:
        sent = {name: value.format(key=rig.key) for name, value in headers.items()}
        wire.send(request_bytes("GET", target.format(key=rig.key), key=None, **sent))
        assert wire.reply().status == status


def test_health_needs_nothing(rig: Rig) -> None:
    with RawWire(int(rig.url.rpartition(":")[2])) as wire:
        wire.send(b"GET /healthz HTTP/1.1\r\nhost: whatever\r\n\r\n")
        assert json.loads(wire.reply().body) == {"status": "ok"}
