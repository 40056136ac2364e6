"""Counting tokens through the gateway with the official clients."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from headgate.testing.gateway import Rig

COUNTING = ("sim-openai", "sim-anthropic", "sim-gemini", "sim-vertex")


@pytest.mark.parametrize("provider", [*COUNTING, "sim-groq", "sim-bedrock"])
def test_anthropics_client_counts_for_every_provider(rig: Rig, provider: str) -> None:
    client = anthropic.Anthropic(base_url=rig.url, api_key=rig.key, max_retries=0)
    reply = client.messages.with_raw_response.count_tokens(
        model=f"{provider}/sim-small", system="Be brief.", messages=[{"role": "user", "content": "Name three rivers."}]
    )
    assert reply.parse().input_tokens > 0
    assert reply.headers["x-headgate-count-source"] == ("provider" if provider in COUNTING else "estimated")
    assert rig.all_receipts() == []


@pytest.mark.parametrize("provider", [*COUNTING, "sim-groq"])
def test_openais_client_counts_for_every_provider(rig: Rig, provider: str) -> None:
    client = openai.OpenAI(base_url=rig.url + "/v1", api_key=rig.key, max_retries=0)
    assert client.responses.input_tokens.count(model=f"{provider}/sim-small", input="Name three rivers.").input_tokens > 0
    client.close()


@pytest.mark.parametrize("provider", [*COUNTING, "sim-groq"])
def test_googles_client_counts_for_every_provider(rig: Rig, provider: str) -> None:
    client = genai.Client(api_key=rig.key, http_options=types.HttpOptions(base_url=rig.url))
    assert (client.models.count_tokens(model=f"{provider}/sim-small", contents="Name three rivers.").total_tokens or 0) > 0
    client.close()


def test_a_malformed_request_is_refused_in_the_envelope(rig: Rig) -> None:
    client = anthropic.Anthropic(base_url=rig.url, api_key=rig.key, max_retries=0)
    no_messages: Any = "what?"
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.count_tokens(model="sim-openai/sim-small", messages=no_messages)
    assert "messages" in str(caught.value)
    with pytest.raises(anthropic.NotFoundError):
        client.messages.count_tokens(model="nobody/at-all", messages=[{"role": "user", "content": "Hi"}])
