"""What this gateway does not have is refused as such, in the envelope of the surface, and no client tries it again."""

from __future__ import annotations

import io
import json

import anthropic
import openai
import pytest

from headgate.testing.gateway import Rig
from headgate.testing.raw_http import RawWire, Reply, request_bytes

CALLS = [
    ("GET", "/v1/files"),
    ("GET", "/v1/files/file-1/content"),
    ("DELETE", "/v1/files/file-1"),
    ("POST", "/v1/batches"),
    ("POST", "/v1/batches/batch_1/cancel"),
    ("GET", "/v1/responses/resp_1"),
    ("DELETE", "/v1/responses/resp_1"),
    ("POST", "/v1/responses/compact"),
    ("GET", "/v1/chat/completions/chatcmpl-1/messages"),
]


def ask(rig: Rig, method: str, path: str) -> Reply:
    with RawWire(int(rig.url.rpartition(":")[2])) as wire:
        wire.send(request_bytes(method, path, key=rig.key))
        return wire.reply()


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_openais_envelope(rig: Rig, method: str, path: str) -> None:
    reply = ask(rig, method, path)
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["type"], error["code"]) == (501, "server_error", "not_served")
    assert "(" in error["message"], "it says what to do instead"


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/messages/batches"), ("GET", "/v1/messages/batches/msgbatch_1/results")])
def test_anthropics_envelope(rig: Rig, method: str, path: str) -> None:
    reply = ask(rig, method, path)
    document = json.loads(reply.body)
    assert (reply.status, document["type"], document["error"]["type"]) == (501, "error", "api_error")
    assert document["error"]["details"] == {"error_code": "not_served"}


def test_the_key_comes_first(rig: Rig) -> None:
    with RawWire(int(rig.url.rpartition(":")[2])) as wire:
        wire.send(request_bytes("GET", "/v1/files", key=""))
        assert wire.reply().status == 401


def test_the_clients_do_not_try_again(rig: Rig) -> None:
    with openai.OpenAI(base_url=f"{rig.url}/v1", api_key=rig.key, max_retries=1000) as client:
        with pytest.raises(openai.InternalServerError) as refused:
            client.files.create(file=io.BytesIO(b"x" * 100_000), purpose="batch")
        assert (refused.value.status_code, refused.value.code) == (501, "not_served")
    with anthropic.Anthropic(base_url=rig.url, api_key=rig.key, max_retries=1000) as client:
        with pytest.raises(anthropic.InternalServerError) as turned_down:
            client.messages.batches.list()
        assert turned_down.value.status_code == 501
