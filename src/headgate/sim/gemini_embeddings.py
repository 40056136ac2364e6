"""Gemini embeddings as generativelanguage.googleapis.com speaks them (recorded traffic; Gemini API reference)."""

from __future__ import annotations

import msgspec

from headgate.sim import tokens, vectors
from headgate.sim.bill import Tokens
from headgate.sim.exchange import Answer, Problem, answer_json, need_list, need_object
from headgate.sim.gemini_wire import JSON_UTF8, field, flat_text
from headgate.sim.models import is_unknown
from headgate.sim.world import Call
from headgate.wire.json import Json, JsonObject

MAX_REQUESTS = 100
DIMENSIONS = 3072


class Embedded(msgspec.Struct, frozen=True):
    """One embedded content: its numbers, tokens and characters."""

    values: list[float]
    tokens: int
    characters: int


def check_model(model: str) -> None:
    """Raises `Problem` when the model does not exist."""
    if is_unknown(model):
        raise Problem(
            "model_not_found",
            f"models/{model} is not found for API version v1beta, or is not supported for embedContent. "
            "Call ListModels to see the list of available models and their supported methods.",
        )


def dimensions(value: Json) -> int:
    """How many numbers a vector has."""
    if value is None:
        return DIMENSIONS
    if type(value) is not int or not 1 <= value <= DIMENSIONS:
        raise Problem("bad_request", f"output_dimensionality must be in the range [1, {DIMENSIONS}].")
    return value


def embed_text(text: str, size: int) -> Embedded:
    """Embed one text. Raises `Problem` for an empty one."""
    if not text:
        raise Problem("bad_request", "* EmbedContentRequest.content contains an empty Part.")
    return Embedded(vectors.vector(text, size), tokens.count(text), len(text))


def _one(request: JsonObject) -> Embedded:
    content = need_object(request.get("content"), "content")
    return embed_text(flat_text(content), dimensions(field(request, "outputDimensionality")))


def _usage(total: int) -> JsonObject:
    return {"promptTokenCount": total, "promptTokenDetails": [{"modality": "TEXT", "tokenCount": total}]}


def charge(call: Call, model: str, made: list[Embedded]) -> int:
    """Put embedded contents on the bill and return their tokens."""
    total = sum(one.tokens for one in made)
    call.request_id = call.entry.request_id = call.world.new_id("", 23)
    call.charge(model, Tokens(input=total), call.request_id)
    return total


def embed(call: Call) -> Answer:
    """``POST /v1beta/models/{model}:embedContent``."""
    model = call.params["model"]
    check_model(model)
    made = _one(call.json())
    total = charge(call, model, [made])
    return answer_json({"embedding": {"values": made.values}, "usageMetadata": _usage(total)}, content_type=JSON_UTF8)


def batch_embed(call: Call) -> Answer:
    """``POST /v1beta/models/{model}:batchEmbedContents``: up to 100 requests, all for the model in the path."""
    model = call.params["model"]
    check_model(model)
    requests = [need_object(item, f"requests[{index}]") for index, item in enumerate(need_list(call.json().get("requests"), "requests"))]
    if not 1 <= len(requests) <= MAX_REQUESTS:
        message = f"* BatchEmbedContentsRequest.requests: at most {MAX_REQUESTS} requests can be in one batch"
        raise Problem("bad_request", message)
    for index, request in enumerate(requests):
        if request.get("model") != f"models/{model}":
            raise Problem("bad_request", f"* BatchEmbedContentsRequest.requests[{index}].model: must match the model in the URL.")
    made = [_one(request) for request in requests]
    total = charge(call, model, made)
    body = {"embeddings": [{"values": one.values} for one in made], "usageMetadata": _usage(total)}
    return answer_json(body, content_type=JSON_UTF8)
