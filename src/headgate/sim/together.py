"""Together's flavour of OpenAI's chat below ``/together/v1`` (recorded traffic; Together API reference).

A natural end is ``eos``; answers repeat the (empty) prompt and a seed; usage has three counts and stands in the stream's last chunk, whose
choices are not empty, whether asked for or not.
"""

from __future__ import annotations

from collections.abc import Iterator

from headgate.sim import openai_embeddings, openai_flavours
from headgate.sim.dice import HEX, Dice
from headgate.sim.exchange import Answer, Problem, Request, answer_json
from headgate.sim.models import MODELS
from headgate.sim.openai_flavours import Flavour, each_choice, reply_of, without
from headgate.sim.openai_wire import ERRORS, Done
from headgate.sim.world import Call, Route, Wire, World
from headgate.wire.json import JsonObject, encode

DIMENSIONS = 768
_BAD = "invalid_request_error"
_NO_MODEL = "Unable to access model. Please visit https://api.together.ai/models to view the list of supported models."
_OVERRIDES: dict[str, tuple[int, str, str | None, str]] = {
    "auth": (401, _BAD, "invalid_api_key", "Invalid API key provided."),
    "model_not_found": (404, _BAD, "model_not_available", _NO_MODEL),
    "rate_limit": (429, "rate_limit", "rate_limit", "You have reached the rate limit specific to this model."),
    "quota": (402, "credit_limit", "credit_limit_exceeded", "Credit limit exceeded, please navigate to billing to add credits."),
    "context_length": (422, _BAD, None, "Input validation error: `inputs` tokens + `max_new_tokens` is too large."),
    "overloaded": (503, "service_unavailable", "engine_overloaded", "The server is overloaded or not ready yet."),
}
TOGETHER_ERRORS = {**ERRORS, **_OVERRIDES}
"""Error name -> status, type, code, default message."""


def authenticate(request: Request) -> str:
    """The account of a request: its bearer key."""
    return openai_flavours.bearer(
        request, "Invalid API key provided. You can find your API key at https://api.together.ai/settings/api-keys."
    )


def error_body(problem: Problem) -> JsonObject:
    """The error object, without the id in front of it."""
    _, kind, code, message = TOGETHER_ERRORS[problem.name]
    return {"error": {"message": problem.message or message, "type": kind, "param": problem.param, "code": problem.code or code}}


def refuse(problem: Problem, request_id: str, request: Request) -> Answer:
    """A problem in Together's shape."""
    status = problem.status or TOGETHER_ERRORS[problem.name][0]
    body = {"id": request_id, **error_body(problem)}
    return answer_json(body, status=status, headers=openai_flavours.retry_headers(problem))


def stream_error(problem: Problem, request_id: str) -> bytes:
    """An error inside a stream that has begun."""
    return b"data: " + encode(error_body(problem)) + b"\n\n"


def _finish(done: Done, choice: JsonObject) -> str | None:
    natural = choice["finish_reason"] == "stop" and reply_of(done, choice).finish != "stop_sequence"
    return "eos" if natural else choice["finish_reason"]


def _seed(call: Call) -> int:
    return Dice("seed", call.request_id).below(1 << 63)


def completion(call: Call, done: Done, body: JsonObject) -> JsonObject:
    """The whole answer."""

    def change(choice: JsonObject) -> JsonObject:
        message = without(choice["message"], "refusal", "annotations", "tool_calls")
        message["content"] = message["content"] or choice["message"].get("refusal")
        message["tool_calls"] = [{"index": at, **made} for at, made in enumerate(done.calls[choice["index"]])]
        return {**choice, "seed": _seed(call), "message": message, "finish_reason": _finish(done, choice)}

    return {**without(each_choice(body, change), "service_tier", "system_fingerprint"), "prompt": []}


def chunks(call: Call, done: Done, made: Iterator[JsonObject]) -> Iterator[JsonObject]:
    """The stream: every delta names the role, the last chunk has the usage."""
    held: JsonObject | None = None
    for chunk in made:
        if not chunk["choices"]:
            break
        if held is not None:
            yield held
        held = {**without(each_choice(chunk, lambda choice: _chunk_choice(call, done, choice)), "service_tier", "system_fingerprint")}
        held["usage"] = None
    if held is not None:
        yield {**held, "usage": openai_flavours.plain_usage(done)}


def _chunk_choice(call: Call, done: Done, choice: JsonObject) -> JsonObject:
    delta = choice["delta"]
    text = delta.get("content") or delta.get("refusal") or ""
    kept: JsonObject = {"token_id": None, "role": "assistant", "content": text, **without(delta, "role", "content", "refusal")}
    finish = _finish(done, choice)
    return {**choice, "text": text, "seed": _seed(call) if finish else None, "delta": kept, "finish_reason": finish}


def new_id(world: World) -> str:
    """Sixteen hexadecimal digits."""
    return world.new_id("", 16, HEX)


def embeddings(call: Call) -> Answer:
    """``POST /v1/embeddings``: plain numbers and, unlike elsewhere, no usage."""
    done = openai_embeddings.execute(call, {**call.json(), "encoding_format": "float"}, size=DIMENSIONS)
    return answer_json({"object": "list", "data": done.data, "model": done.model, "request_id": call.request_id})


def _model_info(name: str) -> JsonObject:
    fixed = {"object": "model", "created": 0, "type": "chat", "running": False, "organization": "simulator"}
    return {"id": name, **fixed, "display_name": name}


def models(call: Call) -> Answer:
    """``GET /v1/models``: a bare list."""
    return answer_json([_model_info(name) for name in MODELS])


FLAVOUR = Flavour(openai_flavours.plain_usage, completion, chunks, new_id, reasoning="reasoning")

WIRE = Wire(
    name="together",
    routes=(
        Route("POST", "/v1/chat/completions", "chat", openai_flavours.chat_as(FLAVOUR), chat=True),
        Route("POST", "/v1/embeddings", "embed", embeddings),
        Route("GET", "/v1/models", "models", models),
    ),
    authenticate=authenticate,
    refuse=refuse,
    stream_error=stream_error,
    request_id_header="x-request-id",
    request_id_prefix="",
    base="/v1",
)
