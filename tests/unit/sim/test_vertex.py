"""Gemini on Vertex AI: paths, tokens, and what its usage tells; and Gemini's own two API versions."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from headgate.sim.faults import StreamError, Twist
from headgate.sim.server import Simulator
from headgate.wire.json import Json

Http = Callable[..., Json]
BASE = "/vertex/v1/projects/p/locations/us-central1/publishers/google/models/"
TOKEN = {"authorization": "Bearer sim-token", "x-goog-api-key": ""}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "Tell me about harbours, city: Lima"}]}]}


def events(body: bytes) -> list[Json]:
    return [json.loads(frame.removeprefix(b"data: ")) for frame in body.split(b"\r\n\r\n") if frame]


def test_an_answer(sim: Simulator, http: Http) -> None:
    body = http("POST", BASE + "sim-flash:generateContent", CONTENTS, TOKEN).json()
    usage = body["usageMetadata"]
    assert usage["trafficType"] == "ON_DEMAND" and usage["candidatesTokensDetails"][0]["tokenCount"] == usage["candidatesTokenCount"]
    assert body["createTime"].endswith("Z") and "index" not in body["candidates"][0]
    (line,) = sim.bill.lines
    assert (line.provider, line.account, line.response_id) == ("vertex", "sim-token", body["responseId"])
    assert line.nanos == usage["promptTokenCount"] * 100 + usage["candidatesTokenCount"] * 400


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_stream_tells_its_usage_at_the_end(http: Http, version: str) -> None:
    base = BASE.replace("/v1/", f"/{version}/")
    whole = http("POST", base + "sim-flash:generateContent", CONTENTS, TOKEN).json()
    chunks = events(http("POST", base + "sim-flash:streamGenerateContent?alt=sse", CONTENTS, TOKEN).body)
    text = "".join(part["text"] for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"])
    assert text == whole["candidates"][0]["content"]["parts"][0]["text"]
    assert [chunk["usageMetadata"] for chunk in chunks[:-1]] == [{"trafficType": "ON_DEMAND"}] * (len(chunks) - 1)
    assert chunks[-1]["usageMetadata"] == whole["usageMetadata"] and chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    array = json.loads(http("POST", base + "sim-flash:streamGenerateContent", CONTENTS, TOKEN).body)
    assert len(array) == len(chunks)


def test_a_blocked_prompt_has_no_candidates(sim: Simulator, http: Http) -> None:
    sim.fail(Twist("empty"))
    (chunk,) = events(http("POST", BASE + "sim-flash:streamGenerateContent?alt=sse", CONTENTS, TOKEN).body)
    assert "candidates" not in chunk and chunk["promptFeedback"]["blockReason"] == "OTHER"


def test_tokens_and_characters_are_counted(http: Http) -> None:
    counted = http("POST", BASE + "sim-flash:countTokens", CONTENTS, TOKEN).json()
    made = http("POST", BASE + "sim-flash:generateContent", CONTENTS, TOKEN).json()
    assert counted["totalTokens"] == made["usageMetadata"]["promptTokenCount"]
    assert counted["totalBillableCharacters"] == len("Tellmeaboutharbours,city:Lima")


def test_refusals(sim: Simulator, http: Http) -> None:
    nobody = http("POST", BASE + "sim-flash:generateContent", CONTENTS, {"authorization": ""})
    assert (nobody.status, nobody.json()["error"]["status"]) == (401, "UNAUTHENTICATED") and "bearer" in nobody.headers[
        "www-authenticate"
    ].lower()
    unknown = http("POST", BASE + "unknown-1:generateContent", CONTENTS, TOKEN)
    assert (
        unknown.status == 404
        and "projects/p/locations/us-central1/publishers/google/models/unknown-1" in unknown.json()["error"]["message"]
    )
    sim.fail(StreamError(1, "unavailable"))
    body = http("POST", BASE + "sim-flash:streamGenerateContent?alt=sse", CONTENTS, TOKEN).body
    assert json.loads(body.split(b"\r\n\r\n")[1])["error"]["status"] == "UNAVAILABLE"


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_gemini_speaks_two_versions(http: Http, version: str) -> None:
    base = f"/gemini/{version}/models"
    assert http("POST", base + "/sim-flash:generateContent", CONTENTS).json()["candidates"]
    assert events(http("POST", base + "/sim-flash:streamGenerateContent?alt=sse", CONTENTS).body)
    assert http("POST", base + "/sim-flash:countTokens", CONTENTS).json()["totalTokens"] > 0
    assert http("GET", base).json()["models"] and http("GET", base + "/sim-flash").status == 200
