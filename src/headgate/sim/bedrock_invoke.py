"""Amazon Bedrock's InvokeModel and CountTokens: Anthropic messages, Titan and Cohere embeddings (recorded traffic; Bedrock user guide)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterator

from headgate.errors import WireError
from headgate.sim import anthropic_wire, bedrock_wire, event_frames, tokens, vectors
from headgate.sim.anthropic_wire import Said, Turn
from headgate.sim.bill import Tokens
from headgate.sim.exchange import Answer, Headers, Problem, answer_json, need_list, need_object
from headgate.sim.openai_flavours import without
from headgate.sim.responder import prompt_tokens
from headgate.sim.world import Call
from headgate.wire.json import JsonObject, decode, encode

VERSION = "bedrock-2023-05-31"
TITAN_SIZES = (1024, 512, 256)
TITAN_V1 = 1536
COHERE_V3 = 1024
COHERE_V4 = 1536
MAX_TEXTS = 96
_PURPOSES = ("search_document", "search_query", "classification", "clustering", "image")


def _counts(read: int, made: int | None = None) -> Headers:
    """The headers that tell what an invocation cost."""
    headers = (("x-amzn-bedrock-invocation-latency", "1"), ("x-amzn-bedrock-input-token-count", str(read)))
    return headers if made is None else (*headers, ("x-amzn-bedrock-output-token-count", str(made)))


def operation(body: JsonObject) -> str:
    """Whether an invocation embeds or chats."""
    return "embed" if "inputText" in body or "texts" in body else "chat"


def invoke(call: Call) -> Answer:
    """``POST /model/{model}/invoke``: the body tells whose shape it is."""
    model, body = bedrock_wire.model_of(call), call.json()
    if "inputText" in body:
        return _titan(call, model, body)
    if "texts" in body:
        return _cohere(call, model, body)
    said = bedrock_wire.execute(call, parse_invoke(model, body))
    return answer_json(whole(said), headers=_counts(said.tokens.input, said.tokens.output + said.tokens.reasoning))


def parse_invoke(model: str, body: JsonObject) -> Turn:
    """An Anthropic request, whose model is in the path."""
    if body.get("anthropic_version") != VERSION:
        raise Problem("bad_request", "anthropic_version: Field required")
    return anthropic_wire.parse_message({**body, "model": model, "stream": False})


def whole(said: Said) -> JsonObject:
    """The whole answer as one object."""
    body = without(anthropic_wire.message(said), "stop_details")
    usage = without(body["usage"], "service_tier", "inference_geo", "cache_creation")
    return {**body, "id": _message_id(said), "usage": usage}


def _message_id(said: Said) -> str:
    return said.id.replace("msg_", "msg_bdrk_", 1)


def invoke_stream(call: Call) -> Answer:
    """``POST /model/{model}/invoke-with-response-stream``: Anthropic's events, each in a frame."""
    said = bedrock_wire.execute(call, parse_invoke(bedrock_wire.model_of(call), call.json()))
    events = tuple(event_frames.event("chunk", {"bytes": b64encode(encode(body)).decode()}) for body in _bodies(said))
    return Answer(events=events, content_type=event_frames.EVENTSTREAM, headers=(("x-amzn-bedrock-content-type", "application/json"),))


def _bodies(said: Said) -> Iterator[JsonObject]:
    """Anthropic's events without pings; the last tells the invocation's figures."""
    for event in anthropic_wire.stream(said):
        body: JsonObject = decode(event.partition(b"\ndata: ")[2])
        if body["type"] == "message_start":
            usage = without(body["message"]["usage"], "service_tier", "inference_geo", "cache_creation")
            kept = without(body["message"], "stop_details")
            body["message"] = {**kept, "id": _message_id(said), "usage": usage}
        if body["type"] == "message_delta":
            body["delta"] = without(body["delta"], "stop_details")
            body["usage"] = {"output_tokens": body["usage"]["output_tokens"]}
        if body["type"] == "message_stop":
            body["amazon-bedrock-invocationMetrics"] = _metrics(said)
        if body["type"] != "ping":
            yield body


def _metrics(said: Said) -> JsonObject:
    spent = said.tokens
    return {
        "inputTokenCount": spent.input,
        "outputTokenCount": spent.output + spent.reasoning,
        "invocationLatency": 1,
        "firstByteLatency": 1,
        "cacheReadInputTokenCount": spent.cache_read,
        "cacheWriteInputTokenCount": spent.cache_write_5m + spent.cache_write_1h,
    }


def _titan(call: Call, model: str, body: JsonObject) -> Answer:
    """Titan text embeddings: one text, 1024, 512 or 256 numbers (the first version has 1536)."""
    text = body["inputText"]
    if not isinstance(text, str) or not text:
        raise Problem(
            "bad_request", "Malformed input request: #/inputText: expected minLength: 1, please reformat your input and try again."
        )
    size = TITAN_V1 if "v1" in model else body.get("dimensions") or TITAN_SIZES[0]
    if size not in (*TITAN_SIZES, TITAN_V1):
        raise Problem(
            "bad_request", f"Malformed input request: #/dimensions: {size} is not a valid enum value, please reformat your input."
        )
    count = tokens.count(text)
    call.charge(model, Tokens(input=count), call.request_id)
    made = vectors.vector(text, size, unit=body.get("normalize") is not False)
    return answer_json({"embedding": made, "inputTextTokenCount": count}, headers=_counts(count))


def _cohere(call: Call, model: str, body: JsonObject) -> Answer:
    """Cohere embeddings: up to 96 texts; version 4 answers by type, as version 3 does when types are asked for."""
    texts = [str(text) for text in need_list(body["texts"], "texts")]
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise Problem("bad_request", f"Malformed input request: #/texts: 1 to {MAX_TEXTS} items, please reformat your input and try again.")
    if body.get("input_type") not in _PURPOSES:
        raise Problem("bad_request", "Malformed input request: #: required key [input_type] not found, please reformat your input.")
    fourth = "v4" in model
    size = body.get("output_dimension") or COHERE_V4 if fourth else COHERE_V3
    if not isinstance(size, int) or not 1 <= size <= COHERE_V4:
        raise Problem("bad_request", f"output_dimension must be at most {COHERE_V4}")
    count = sum(tokens.count(text) for text in texts)
    call.charge(model, Tokens(input=count), call.request_id)
    made = [vectors.vector(text, size) for text in texts]
    by_type = fourth or bool(body.get("embedding_types"))
    kind = "embeddings_by_type" if by_type else "embeddings_floats"
    answer = {"id": call.world.new_uuid(), "texts": texts, "embeddings": {"float": made} if by_type else made, "response_type": kind}
    return answer_json(answer, headers=_counts(count))


def count_tokens(call: Call) -> Answer:
    """``POST /model/{model}/count-tokens``: of a Converse request, or of an invocation's body in base64."""
    model, given = bedrock_wire.model_of(call), need_object(call.json().get("input"), "input")
    if "converse" in given:
        turn = bedrock_wire.parse_converse(model, need_object(given["converse"], "input.converse"))
    else:
        raw = need_object(given.get("invokeModel"), "input.invokeModel").get("body")
        try:
            turn = parse_invoke(model, need_object(decode(b64decode(str(raw), validate=True)), "input.invokeModel.body"))
        except (WireError, Error) as error:
            raise Problem("bad_request", "input.invokeModel.body must be JSON in base64") from error
    return answer_json({"inputTokens": prompt_tokens(turn.ask)})
