"""The Gemini wire: answers, CRLF streams, arrays and errors as recorded traffic shows them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from headgate.sim.server import Simulator
from headgate.wire.json import Json, JsonObject

MODEL = "/gemini/v1beta/models/sim-flash"
HELLO: JsonObject = {"contents": [{"role": "user", "parts": [{"text": "Tell me about harbours, city: Lima"}]}]}
TOOLS = [{"functionDeclarations": [{"name": "look", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}}]}]
FORCED = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}}
Http = Callable[..., "Json"]


def text_of(candidate: JsonObject, thought: bool = False) -> str:
    return "".join(part["text"] for part in candidate["content"]["parts"] if "text" in part and part.get("thought", False) == thought)


def events(body: bytes) -> list[JsonObject]:
    assert body.endswith(b"\r\n\r\n") and b"[DONE]" not in body
    return [json.loads(frame.removeprefix(b"data: ")) for frame in body[:-4].split(b"\r\n\r\n")]


def test_generate(sim: Simulator, http: Http) -> None:
    reply = http("POST", MODEL + ":generateContent", HELLO)
    answer = reply.json()
    usage = answer["usageMetadata"]
    assert answer["candidates"][0]["finishReason"] == "STOP"
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage["candidatesTokenCount"]
    (line,) = sim.bill.lines
    assert (line.provider, line.response_id) == ("gemini", answer["responseId"])
    assert line.nanos == usage["promptTokenCount"] * 100 + usage["candidatesTokenCount"] * 400


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"generationConfig": {"candidateCount": 2}},
        {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}},
        {"generation_config": {"thinking_config": {"thinking_budget": 100}}},
        {"generationConfig": {"maxOutputTokens": 4}},
        {"tools": TOOLS, "toolConfig": FORCED},
    ],
)
def test_streams_say_what_the_whole_answer_says(http: Http, extra: JsonObject) -> None:
    whole = http("POST", MODEL + ":generateContent", {**HELLO, **extra}).json()
    sse = http("POST", MODEL + ":streamGenerateContent?alt=sse", {**HELLO, **extra})
    array = http("POST", MODEL + ":streamGenerateContent", {**HELLO, **extra})
    assert (sse.headers["content-type"], array.headers["content-type"]) == ("text/event-stream", "application/json; charset=UTF-8")
    for chunks in (events(sse.body), array.json()):
        assert chunks[-1]["usageMetadata"] == whole["usageMetadata"]
        totals = [chunk["usageMetadata"]["totalTokenCount"] for chunk in chunks]
        assert totals == sorted(totals)
        for index, candidate in enumerate(whole["candidates"]):
            pieces = [piece for chunk in chunks for piece in chunk["candidates"] if piece["index"] == index]
            for thought in (False, True):
                assert "".join(text_of(piece, thought) for piece in pieces) == text_of(candidate, thought)
            assert [piece["finishReason"] for piece in pieces if "finishReason" in piece] == [candidate["finishReason"]]


def test_thoughts_are_counted_apart(sim: Simulator, http: Http) -> None:
    body = {**HELLO, "generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
    answer = http("POST", MODEL + ":generateContent", body).json()
    usage = answer["usageMetadata"]
    assert answer["candidates"][0]["content"]["parts"][0]["thought"] is True
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage["candidatesTokenCount"] + usage["thoughtsTokenCount"]
    assert sim.bill.lines[0].usage.reasoning == usage["thoughtsTokenCount"]


def test_tools_round_trip(http: Http) -> None:
    first = http("POST", MODEL + ":generateContent", {**HELLO, "tools": TOOLS, "toolConfig": FORCED}).json()["candidates"][0]
    (part,) = first["content"]["parts"]
    assert (first["finishReason"], part["functionCall"]["args"]) == ("STOP", {"city": "Lima"})
    response = {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"sky": "foggy"}}}]}
    follow = {"contents": [*HELLO["contents"], first["content"], response], "tools": TOOLS}
    assert "foggy" in text_of(http("POST", MODEL + ":generateContent", follow).json()["candidates"][0])


@pytest.mark.parametrize("name", ["responseSchema", "responseJsonSchema", "response_schema"])
def test_structured_output(http: Http, name: str) -> None:
    schema = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}, "n": {"type": "INTEGER", "minimum": 3, "maximum": 3}}}
    body = {**HELLO, "generationConfig": {"responseMimeType": "application/json", name: schema}}
    assert json.loads(text_of(http("POST", MODEL + ":generateContent", body).json()["candidates"][0])) == {"city": "Lima", "n": 3}


@pytest.mark.parametrize(
    ("path", "key", "status", "canonical"),
    [
        (MODEL + ":generateContent", "wrong", 400, "INVALID_ARGUMENT"),
        (MODEL + ":generateContent", "", 403, "PERMISSION_DENIED"),
        ("/gemini/v1beta/models/unknown-1:generateContent", "sim-key", 404, "NOT_FOUND"),
    ],
)
def test_errors(sim: Simulator, http: Http, path: str, key: str, status: int, canonical: str) -> None:
    reply = http("POST", path, HELLO, {"x-goog-api-key": key})
    error = reply.json()["error"]
    assert (reply.status, error["code"], error["status"]) == (status, status, canonical)
    assert ("API_KEY_INVALID" in reply.body.decode()) == (key == "wrong")
    assert len(sim.bill) == 0


def test_an_error_on_a_stream_is_plain_json_under_the_streams_type(http: Http) -> None:
    reply = http("POST", MODEL + ":streamGenerateContent?alt=sse", {"contents": []})
    assert (reply.status, reply.headers["content-type"]) == (400, "text/event-stream")
    assert reply.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_the_key_may_be_in_the_query(http: Http) -> None:
    assert http("POST", MODEL + ":generateContent?key=sim-q", HELLO, {"x-goog-api-key": ""}).status == 200


def test_counting_and_models(http: Http) -> None:
    total = http("POST", MODEL + ":countTokens", HELLO).json()["totalTokens"]
    assert total == http("POST", MODEL + ":generateContent", HELLO).json()["usageMetadata"]["promptTokenCount"]
    assert {model["name"] for model in http("GET", "/gemini/v1beta/models").json()["models"]} >= {"models/sim-flash"}
    assert http("GET", MODEL).json()["name"] == "models/sim-flash"
