"""xAI's flavour of OpenAI's chat and Responses below ``/xai/v1`` (recorded traffic; xAI API reference).

In chat, reasoning tokens stand beside the completion's tokens, and the total counts both; thinking is ``reasoning_content``. In Responses
the output's tokens include them. Errors are ``{"code", "error"}`` with a sentence for a code.
"""

from __future__ import annotations

from collections.abc import Iterator

from headgate.sim import openai_flavours, openai_wire, responses_routes
from headgate.sim.bill import PRICES, REALTIME, Tokens, charge
from headgate.sim.exchange import Answer, Problem, Request, answer_json
from headgate.sim.models import MODELS, is_unknown
from headgate.sim.openai_flavours import Flavour, each_choice, without
from headgate.sim.openai_wire import Done
from headgate.sim.responses_answer import Said
from headgate.sim.world import Call, Route, Wire, World
from headgate.wire.json import JsonObject, encode

FINGERPRINT = "fp_2a885414fb"
TICKS_PER_NANO = 10
_INVALID = "Client specified an invalid argument"
_EXHAUSTED = "Some resource has been exhausted"
_MISSING = "Some requested entity was not found"
_UNAVAILABLE = "The service is currently unavailable"
_DENIED = "The caller does not have permission to execute the specified operation"

XAI_ERRORS: dict[str, tuple[int, str, str]] = {
    "auth": (400, _INVALID, "Incorrect API key provided. You can obtain an API key from https://console.x.ai."),
    "permission": (403, _DENIED, "Your API key does not have access to this endpoint."),
    "not_found": (404, _MISSING, "The requested resource was not found."),
    "model_not_found": (404, _MISSING, "The model does not exist or your team does not have access to it."),
    "rate_limit": (429, _EXHAUSTED, "Too many requests for team: requests per second exceeded."),
    "quota": (429, _EXHAUSTED, "Your team has either used all available credits or reached its monthly spending limit."),
    "server": (500, "Internal error", "Internal server error."),
    "unavailable": (503, _UNAVAILABLE, "Service temporarily unavailable."),
    "overloaded": (503, _UNAVAILABLE, "The model is at capacity and currently cannot serve this request."),
    "context_length": (400, _INVALID, "This model's maximum prompt length is exceeded by the request."),
    "bad_request": (400, _INVALID, "Invalid request content."),
    "too_large": (413, _INVALID, "The request is too large."),
    "timeout": (504, "Deadline exceeded", "The request timed out."),
    "conflict": (409, "The operation was aborted", "The request conflicts with the current state."),
}
"""Error name -> status, code, default message."""


def authenticate(request: Request) -> str:
    """The account of a request: its bearer key. A wrong one is a bad request, a missing one is not (xAI's debugging guide)."""
    if not request.headers.get("authorization"):
        raise Problem("auth", "No authorization header or an invalid authorization token is provided.", status=401)
    return openai_flavours.bearer(request, "Incorrect API key provided. You can obtain an API key from https://console.x.ai.")


def error_body(problem: Problem) -> JsonObject:
    """``{"code": sentence, "error": message}``."""
    _, code, message = XAI_ERRORS[problem.name]
    return {"code": code, "error": problem.message or message}


def refuse(problem: Problem, request_id: str, request: Request) -> Answer:
    """A problem in xAI's shape."""
    status = problem.status or XAI_ERRORS[problem.name][0]
    return answer_json(error_body(problem), status=status, headers=openai_flavours.retry_headers(problem))


def stream_error(problem: Problem, request_id: str) -> bytes:
    """An error inside a stream that has begun."""
    return b"data: " + encode(error_body(problem)) + b"\n\n"


def _ticks(model: str, spent: Tokens) -> int:
    """What an answer costs, in the ten-billionths of a dollar that xAI reports."""
    return charge(model, spent, REALTIME) * TICKS_PER_NANO


def usage(done: Done) -> JsonObject:
    """The usage object: the completion's tokens are without reasoning, the total is with it."""
    spent = done.tokens
    return {
        "prompt_tokens": done.prompt,
        "completion_tokens": spent.output,
        "total_tokens": done.prompt + spent.output + spent.reasoning,
        "prompt_tokens_details": {"text_tokens": done.prompt, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": done.cached},
        "completion_tokens_details": {
            "reasoning_tokens": spent.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
        "num_sources_used": 0,
        "cost_in_usd_ticks": _ticks(done.model, spent),
    }


def completion(call: Call, done: Done, body: JsonObject) -> JsonObject:
    """The whole answer."""

    def change(choice: JsonObject) -> JsonObject:
        message = without(choice["message"], "annotations")
        if message["content"] is None:
            message["content"] = ""
        return {**without(choice, "logprobs"), "message": message}

    return {**without(each_choice(body, change), "service_tier"), "system_fingerprint": FINGERPRINT}


def chunks(call: Call, done: Done, made: Iterator[JsonObject]) -> Iterator[JsonObject]:
    """The stream: no nulls, the role beside each choice's first piece, a whole tool call in one delta, usage in a last chunk of its own."""
    opened: set[int] = set()
    for chunk in openai_flavours.with_whole_calls(done, made):
        kept = {key: value for key, value in without(chunk, "service_tier").items() if value is not None}
        kept["system_fingerprint"] = FINGERPRINT
        if not chunk["choices"]:
            yield kept
            continue
        choice = chunk["choices"][0]
        delta = _delta(choice["delta"])
        if delta and choice["index"] not in opened:
            opened.add(choice["index"])
            delta["role"] = "assistant"
        finish = {} if choice["finish_reason"] is None else {"finish_reason": choice["finish_reason"]}
        if delta or finish:
            yield {**kept, "choices": [{"index": choice["index"], "delta": delta, **finish}]}


def _delta(delta: JsonObject) -> JsonObject:
    """A delta without its role and without what is empty; a refusal is plain text here."""
    text = delta.get("content") or delta.get("refusal")
    kept = without(delta, "role", "content", "refusal")
    return {**kept, "content": text} if text else kept


def new_id(world: World) -> str:
    """A UUID."""
    return world.new_uuid()


def response_shape(said: Said, body: JsonObject) -> JsonObject:
    """A response object in xAI's look: costs in ticks beside the usage, the fingerprint among the metadata."""
    spent = body["usage"]
    if spent is not None:
        extra = {"num_sources_used": 0, "num_server_side_tools_used": 0, "cost_in_usd_ticks": _ticks(body["model"], said.tokens)}
        read = without(spent["input_tokens_details"], "cache_write_tokens")
        spent = {**spent, "input_tokens_details": read, **extra}
    kept = without(body, "prompt_cache_retention")
    return {**kept, "text": without(body["text"], "verbosity"), "usage": spent, "metadata": {"system_fingerprint": FINGERPRINT}}


def _cents(price: str) -> int:
    """Dollars per million tokens -> hundredths of a cent per million."""
    whole, _, part = price.partition(".")
    return int(whole + (part + "0000")[:4])


def _language_model(name: str) -> JsonObject:
    price = PRICES[name if name in PRICES else MODELS[0]]
    return {
        "id": name,
        "fingerprint": FINGERPRINT,
        "created": 1_750_000_000,
        "object": "model",
        "owned_by": "xai",
        "version": "1.0",
        "input_modalities": ["text", "image"],
        "output_modalities": ["text"],
        "prompt_text_token_price": _cents(price.input),
        "cached_prompt_text_token_price": _cents(price.cache_read or price.input),
        "prompt_image_token_price": _cents(price.input),
        "completion_text_token_price": _cents(price.output),
        "aliases": [],
    }


def language_models(call: Call) -> Answer:
    """``GET /v1/language-models``: every model with its prices, in hundredths of a cent per million tokens."""
    return answer_json({"models": [_language_model(name) for name in MODELS]})


def language_model(call: Call) -> Answer:
    """``GET /v1/language-models/{model}``."""
    name = call.params["model"]
    if is_unknown(name):
        raise Problem("model_not_found", f"The model {name} does not exist or your team does not have access to it.")
    return answer_json(_language_model(name))


FLAVOUR = Flavour(usage, completion, chunks, new_id, reasoning="reasoning_content")

WIRE = Wire(
    name="xai",
    routes=(
        Route("POST", "/v1/chat/completions", "chat", openai_flavours.chat_as(FLAVOUR), chat=True),
        Route("POST", "/v1/responses", "chat", responses_routes.create_as(response_shape, padded=False), chat=True),
        Route("GET", "/v1/responses/{response}", "response_get", responses_routes.get),
        Route("DELETE", "/v1/responses/{response}", "response_delete", responses_routes.delete),
        Route("GET", "/v1/models", "models", openai_wire.models),
        Route("GET", "/v1/models/{model}", "models", openai_wire.model),
        Route("GET", "/v1/language-models", "models", language_models),
        Route("GET", "/v1/language-models/{model}", "models", language_model),
    ),
    authenticate=authenticate,
    refuse=refuse,
    stream_error=stream_error,
    request_id_header="x-request-id",
    request_id_prefix="",
    uuids=True,
    base="/v1",
)
