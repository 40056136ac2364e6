"""Amazon Bedrock, judged by botocore's own signer and event-stream reader, and by the Anthropic client for its bodies."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from headgate.sim import event_frames, sigv4
from headgate.sim.exchange import Problem, Request
from headgate.sim.faults import StreamError
from headgate.sim.server import Simulator
from headgate.wire.json import Json

Http = Callable[..., Json]
BEARER = {"authorization": "Bearer sim-key"}
MODEL = "/bedrock/model/us.anthropic.claude-v1%3A0"
HELLO = {"messages": [{"role": "user", "content": [{"text": "Tell me about harbours, city: Lima"}]}]}
SPEC = {"name": "look", "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}}}
FORCED = {"toolConfig": {"tools": [{"toolSpec": SPEC}], "toolChoice": {"any": {}}}}
THINK = {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}}
INVOKE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 200, "messages": [{"role": "user", "content": "Tell me about harbours"}]}


def frames(body: bytes) -> list[tuple[Json, Json]]:
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    return [(event.headers, json.loads(event.payload)) for event in buffer]


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=30), max_size=4), st.binary(max_size=200))
def test_frames_are_read_by_botocore_and_by_us(headers: dict[str, str], payload: bytes) -> None:
    headers = {name: value for name, value in headers.items() if len(name.encode()) < 255}
    data = event_frames.frame(headers, payload)
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    (event,) = buffer
    assert (event.headers, event.payload) == (headers, payload) == event_frames.unframe(data)
    assert event_frames.unframe(data + b"x") is None


def test_an_answer(sim: Simulator, http: Http) -> None:
    reply = http("POST", MODEL + "/converse", HELLO, BEARER)
    body = reply.json()
    usage = body["usage"]
    assert (body["stopReason"], usage["totalTokens"]) == ("end_turn", usage["inputTokens"] + usage["outputTokens"])
    (line,) = sim.bill.lines
    assert (line.provider, line.model) == ("bedrock", "us.anthropic.claude-v1:0")
    assert line.request_id == line.response_id == reply.headers["x-amzn-requestid"]


@pytest.mark.parametrize(
    "extra", [{}, FORCED, THINK, {"inferenceConfig": {"maxTokens": 5}}, {"inferenceConfig": {"stopSequences": [" about"]}}]
)
def test_a_stream_says_what_the_whole_answer_says(http: Http, extra: Json) -> None:
    whole = http("POST", MODEL + "/converse", {**HELLO, **extra}, BEARER).json()
    seen = frames(http("POST", MODEL + "/converse-stream", {**HELLO, **extra}, BEARER).body)
    kinds = [headers[":event-type"] for headers, _ in seen]
    assert (kinds[0], kinds[-2:]) == ("messageStart", ["messageStop", "metadata"])
    assert ("contentBlockStart" in kinds) == ("toolConfig" in extra)
    deltas = [payload["delta"] for headers, payload in seen if headers[":event-type"] == "contentBlockDelta"]
    blocks = whole["output"]["message"]["content"]
    assert "".join(delta.get("text", "") for delta in deltas) == "".join(block.get("text", "") for block in blocks)
    called = "".join(delta["toolUse"]["input"] for delta in deltas if "toolUse" in delta)
    assert ([json.loads(called)] if called else []) == [block["toolUse"]["input"] for block in blocks if "toolUse" in block]
    thought = "".join(delta["reasoningContent"].get("text", "") for delta in deltas if "reasoningContent" in delta)
    assert thought == "".join(block["reasoningContent"]["reasoningText"]["text"] for block in blocks if "reasoningContent" in block)
    assert seen[-2][1]["stopReason"] == whole["stopReason"] and seen[-1][1]["usage"].items() <= whole["usage"].items()


def test_tools_documents_pictures_and_results_are_read(http: Http) -> None:
    first = http("POST", MODEL + "/converse", {**HELLO, **FORCED}, BEARER).json()["output"]["message"]
    call = first["content"][0]["toolUse"]
    assert (call["name"], call["input"]) == ("look", {"city": "Lima"})
    result = {
        "toolResult": {"toolUseId": call["toolUseId"], "content": [{"json": {"sky": "foggy"}}, {"text": "cold"}], "status": "success"}
    }
    talk = [*HELLO["messages"], first, {"role": "user", "content": [result]}]
    said = http("POST", MODEL + "/converse", {"messages": talk, "toolConfig": {"tools": [{"toolSpec": SPEC}]}}, BEARER).json()
    assert "foggy" in said["output"]["message"]["content"][0]["text"] and "cold" in said["output"]["message"]["content"][0]["text"]
    picture = {"image": {"format": "png", "source": {"bytes": "AA=="}}}
    page = {"document": {"format": "txt", "name": "page", "source": {"text": "city: Lima " * 20}}}
    plain = http("POST", MODEL + "/converse", HELLO, BEARER).json()["usage"]["inputTokens"]
    content = [*HELLO["messages"][0]["content"], picture, page]
    assert (
        http("POST", MODEL + "/converse", {"messages": [{"role": "user", "content": content}]}, BEARER).json()["usage"]["inputTokens"]
        > plain + 100
    )


def test_schemas_are_obeyed(http: Http) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    wanted = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"name": "city", "schema": json.dumps(schema)}}}}
    body = http("POST", MODEL + "/converse", {**HELLO, "outputConfig": wanted}, BEARER).json()
    assert json.loads(body["output"]["message"]["content"][0]["text"]) == {"city": "Lima"}


def test_cache_points(sim: Simulator, http: Http) -> None:
    body = {**HELLO, "system": [{"text": "rule " * 2000}, {"cachePoint": {"type": "default"}}]}
    first, second = (http("POST", MODEL + "/converse", body, BEARER).json()["usage"] for _ in range(2))
    assert first["cacheWriteInputTokens"] == second["cacheReadInputTokens"] > 2000
    assert first["totalTokens"] == second["totalTokens"] > first["inputTokens"] + first["outputTokens"]
    assert [line.usage.cache_read for line in sim.bill.lines] == [0, second["cacheReadInputTokens"]]


def test_anthropic_bodies(sim: Simulator, http: Http) -> None:
    reply = http("POST", MODEL + "/invoke", INVOKE, BEARER)
    whole = reply.json()
    assert whole["id"].startswith("msg_bdrk_") and reply.headers["x-amzn-bedrock-input-token-count"] == str(whole["usage"]["input_tokens"])
    seen = [
        json.loads(base64.b64decode(payload["bytes"]))
        for _, payload in frames(http("POST", MODEL + "/invoke-with-response-stream", INVOKE, BEARER).body)
    ]
    assert (seen[0]["type"], seen[-1]["type"]) == ("message_start", "message_stop") and "ping" not in {body["type"] for body in seen}
    assert "".join(body["delta"].get("text", "") for body in seen if body["type"] == "content_block_delta") == whole["content"][0]["text"]
    assert (
        seen[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"]
        == whole["usage"]["output_tokens"]
        == sim.bill.lines[1].usage.output
    )
    assert http("POST", MODEL + "/invoke", {**INVOKE, "anthropic_version": "other"}, BEARER).status == 400


def test_tokens_are_counted(http: Http) -> None:
    counted = http("POST", MODEL + "/count-tokens", {"input": {"converse": HELLO}}, BEARER).json()
    assert counted["inputTokens"] == http("POST", MODEL + "/converse", HELLO, BEARER).json()["usage"]["inputTokens"]
    packed = base64.b64encode(json.dumps(INVOKE).encode()).decode()
    asked = http("POST", MODEL + "/invoke", INVOKE, BEARER).json()["usage"]["input_tokens"]
    assert http("POST", MODEL + "/count-tokens", {"input": {"invokeModel": {"body": packed}}}, BEARER).json() == {"inputTokens": asked}
    assert http("POST", MODEL + "/count-tokens", {"input": {"invokeModel": {"body": "no base64!"}}}, BEARER).status == 400


def test_models_may_be_arns(sim: Simulator, http: Http) -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-v1:0"
    assert http("POST", f"/bedrock/model/{arn}/converse", HELLO, BEARER).status == 200
    assert sim.requests[-1].model == arn


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        ("auth", 403, "UnrecognizedClientException"),
        ("permission", 403, "AccessDeniedException"),
        ("rate_limit", 429, "ThrottlingException"),
        ("server", 500, "InternalServerException"),
        ("timeout", 408, "ModelTimeoutException"),
        ("context_length", 400, "ValidationException"),
    ],
)
def test_refusals(sim: Simulator, http: Http, error: str, status: int, name: str) -> None:
    sim.fail(error)
    reply = http("POST", MODEL + "/converse", HELLO, BEARER)
    assert (reply.status, reply.headers["x-amzn-errortype"].partition(":")[0], list(reply.json())) == (status, name, ["message"])


@pytest.mark.parametrize("operation", ["converse-stream", "invoke-with-response-stream"])
def test_an_error_in_a_stream_is_an_exception_frame(sim: Simulator, http: Http, operation: str) -> None:
    sim.fail(StreamError(2, "rate_limit"))
    body = INVOKE if operation.startswith("invoke") else HELLO
    headers, payload = frames(http("POST", f"{MODEL}/{operation}", body, BEARER).body)[-1]
    assert (headers[":message-type"], headers[":exception-type"]) == ("exception", "throttlingException") and payload["message"]


def signed(
    sim: Simulator,
    path: str,
    body: Json,
    *,
    key: str = sigv4.ACCESS_KEY,
    secret: str = sigv4.SECRET,
    token: str | None = None,
) -> dict[str, str]:
    request = AWSRequest("POST", sim.url + path, {"content-type": "application/json"}, json.dumps(body).encode())
    SigV4Auth(Credentials(key, secret, token), "bedrock", "us-east-1").add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@pytest.mark.parametrize("token", [None, "sim-session-token"])
@pytest.mark.parametrize(
    "path", [MODEL + "/converse", "/bedrock/model/us.anthropic.claude-v1:0/converse", MODEL + "/converse?b=2&a=one%20two"]
)
def test_signatures_of_botocore_are_accepted(sim: Simulator, http: Http, path: str, token: str | None) -> None:
    reply = http("POST", path, HELLO, signed(sim, path, HELLO, token=token))
    assert reply.status == 200, reply.body
    assert sim.bill.lines[0].account == sigv4.ACCESS_KEY


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"secret": "wrong"}, "InvalidSignatureException"),
        ({"key": "AKIASOMEBODYELSE000"}, "UnrecognizedClientException"),
    ],
)
def test_wrong_credentials_are_refused(sim: Simulator, http: Http, change: dict[str, str], name: str) -> None:
    path = MODEL + "/converse"
    reply = http("POST", path, HELLO, signed(sim, path, HELLO, **change))
    assert (reply.status, reply.headers["x-amzn-errortype"].partition(":")[0]) == (403, name) and len(sim.bill) == 0


def test_a_signature_covers_body_path_and_token(sim: Simulator, http: Http) -> None:
    path = MODEL + "/converse"
    headers = signed(sim, path, HELLO)
    assert http("POST", path, {**HELLO, "system": [{"text": "x"}]}, headers).status == 403
    assert http("POST", path + "?x=1", HELLO, headers).status == 403
    assert http("POST", path, HELLO, {**headers, "x-amz-security-token": "sim-late"}).status == 403
    assert http("POST", path, HELLO, {**headers, "authorization": headers["authorization"].partition(",")[0]}).status == 403


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer other"])
def test_keys_are_needed(http: Http, header: str) -> None:
    assert http("POST", MODEL + "/converse", HELLO, {"authorization": header}).status == 403


def test_another_service_is_not_ours() -> None:
    request = Request(
        "POST",
        "/x",
        {},
        {"authorization": "AWS4-HMAC-SHA256 Credential=AKIASIMHEADGATE0000/20260101/r/s3/aws4_request, SignedHeaders=host, Signature=0"},
        b"",
    )
    with pytest.raises(Problem, match="correct service"):
        sigv4.check(request, "bedrock")
