"""``x-headgate-fidelity``: what was not sent as asked is said before the answer, whole or streamed."""

from __future__ import annotations

import json

import pytest

from headgate.testing.gateway import Rig
from headgate.testing.raw_http import RawWire, request_bytes


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_lost_in_translation_is_in_the_head(rig: Rig, stream: bool) -> None:
    body = {
        "model": "sim-anthropic/sim-small",
        "messages": [{"role": "user", "content": "Say hello"}],
        "max_tokens": 50,
        "stream": stream,
        "logit_bias": {"50256": -100},
    }
    with RawWire(int(rig.url.rpartition(":")[2])) as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", json.dumps(body).encode(), key=rig.key, connection="close"))
        head, _, _ = wire.read_to_end().partition(b"\r\n\r\n")
    assert b"x-headgate-fidelity: dropped:logit_bias" in head
