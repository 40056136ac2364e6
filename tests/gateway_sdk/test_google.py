"""The official `google-genai` client against the gateway, whichever provider answers."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest
from google import genai
from google.genai import errors, types

from headgate.sim.faults import Rule, Status
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import ONCE, Rig, running_gateway

QUESTION = "Where is the sailor's harbour?"
EMBEDDERS = ("sim-openai/sim-small", "sim-gemini/sim-small")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running_gateway(tmp_path_factory.mktemp("google"), settings=SimSettings(seed=7), gate=ONCE) as running:
        yield running


@pytest.fixture(params=["v1beta", "v1"])
def google(rig: Rig, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=rig.url, api_version=request.param)
    with genai.Client(api_key=rig.key, http_options=options) as client:
        yield client


def test_generate(google: genai.Client, rig: Rig, model: str, books: int) -> None:
    answer = google.models.generate_content(model=model, contents=QUESTION)
    assert answer.text
    assert answer.candidates and answer.candidates[0].finish_reason == "STOP"
    assert answer.usage_metadata is not None and answer.usage_metadata.prompt_token_count
    receipt = rig.receipts(books + 1)[-1]
    assert (receipt.dialect_in, receipt.provider) == ("gemini_generate", model.partition("/")[0])


def test_models_are_listed(google: genai.Client, model: str) -> None:
    found = {one.name: one for one in google.models.list()}
    assert f"models/{model}" in found and "generateContent" in (found[f"models/{model}"].supported_actions or ())
    assert google.models.get(model=f"models/{model}") == found[f"models/{model}"]
    with pytest.raises(errors.ClientError) as missing:
        google.models.get(model="models/nothing")
    assert (missing.value.code, missing.value.status) == (404, "NOT_FOUND")


def test_a_stream_equals_the_whole_answer(google: genai.Client, model: str) -> None:
    whole = google.models.generate_content(model=model, contents=QUESTION)
    pieces = list(google.models.generate_content_stream(model=model, contents=QUESTION))
    assert "".join(piece.text or "" for piece in pieces) == whole.text
    assert pieces[-1].usage_metadata is not None and pieces[-1].usage_metadata.candidates_token_count


def test_tools(google: genai.Client, model: str) -> None:
    city = types.Schema(type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)}, required=["city"])
    tool = types.Tool(function_declarations=[types.FunctionDeclaration(name="get_weather", description="The weather.", parameters=city)])
    forced = types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY))
    answer = google.models.generate_content(
        model=model, contents="The weather in city: Oslo?", config=types.GenerateContentConfig(tools=[tool], tool_config=forced)
    )
    assert answer.function_calls and answer.function_calls[0].name == "get_weather"


@pytest.mark.parametrize("embedder", EMBEDDERS)
def test_embeddings(google: genai.Client, rig: Rig, embedder: str, books: int) -> None:
    config = types.EmbedContentConfig(output_dimensionality=32)
    one = google.models.embed_content(model=embedder, contents="the harbour", config=config)
    two = google.models.embed_content(model=embedder, contents=["a sailor", "the harbour"], config=config)
    assert one.embeddings and two.embeddings and len(two.embeddings) == 2
    assert two.embeddings[1].values == one.embeddings[0].values != two.embeddings[0].values
    assert len(one.embeddings[0].values or ()) == 32
    receipts = rig.receipts(books + 2)[books:]
    assert {(receipt.operation, receipt.dialect_in, receipt.status) for receipt in receipts} == {("embed", "gemini_embeddings", "ok")}


def test_errors_come_in_googles_envelope(google: genai.Client, rig: Rig, model: str) -> None:
    rig.sim.set_faults((Rule(Status("rate_limit")),))
    with pytest.raises(errors.ClientError) as limited:
        google.models.generate_content(model=model, contents=QUESTION)
    assert (limited.value.code, limited.value.status) == (429, "RESOURCE_EXHAUSTED")
    rig.sim.set_faults(())
    with pytest.raises(errors.ClientError) as missing:
        google.models.generate_content(model="nothing/at-all", contents=QUESTION)
    assert (missing.value.code, missing.value.status) == (404, "NOT_FOUND")


def ask(rig: Rig, path: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(rig.url.removeprefix("http://"), timeout=10)
    connection.request("POST", path, body, {"x-goog-api-key": rig.key, "content-type": "application/json"})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, data


def test_a_stream_without_sse_is_one_array(rig: Rig, model: str) -> None:
    body = json.dumps({"contents": [{"parts": [{"text": QUESTION}]}]}).encode()
    status, whole = ask(rig, f"/v1beta/models/{model}:generateContent", body)
    assert status == 200
    status, data = ask(rig, f"/v1beta/models/{model}:streamGenerateContent", body)
    chunks = json.loads(data)
    said = "".join(part.get("text", "") for chunk in chunks for c in chunk.get("candidates", ()) for part in c["content"].get("parts", ()))
    assert status == 200 and len(chunks) > 1
    assert said == json.loads(whole)["candidates"][0]["content"]["parts"][0]["text"]


def test_what_is_not_served(rig: Rig) -> None:
    for path in ("/v1beta/models/sim-gemini/sim-small:predictLongRunning", "/v1beta/models/sim-gemini/sim-small"):
        status, data = ask(rig, path, b"{}")
        assert status == 404
        assert json.loads(data)["error"]["status"] == "NOT_FOUND"
    status, data = ask(rig, "/v1beta/models/sim-gemini/sim-small:generateContent", b"[]")
    assert (status, json.loads(data)["error"]["status"]) == (400, "INVALID_ARGUMENT")
    status, data = ask(rig, "/v1beta/models/sim-openai/sim-small:generateContent", b'{"contents": 5}')
    violation = json.loads(data)["error"]["details"][1]["fieldViolations"][0]
    assert (status, violation["field"]) == (400, "contents")


def test_a_wrong_key(rig: Rig) -> None:
    options = types.HttpOptions(base_url=rig.url)
    with genai.Client(api_key="wrong-" + rig.key, http_options=options) as client, pytest.raises(errors.ClientError) as refused:
        client.models.generate_content(model="sim-gemini/sim-small", contents=QUESTION)
    assert (refused.value.code, refused.value.status) == (401, "UNAUTHENTICATED")
