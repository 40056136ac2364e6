"""Groq's flavour of OpenAI's chat below ``/groq/openai/v1`` (recorded traffic; Groq API reference).

Usage comes with timings, in ``x_groq`` of the stream's last chunk whether asked for or not; thinking is ``reasoning``; errors inside a
stream are an ``error`` event with a status code.
"""

from __future__ import annotations

from collections.abc import Iterator

from headgate.sim import openai_flavours, openai_wire
from headgate.sim.exchange import Answer, Problem, Request, answer_json
from headgate.sim.openai_flavours import Flavour, without
from headgate.sim.openai_wire import ERRORS, Done
from headgate.sim.world import Call, Route, Wire, World
from headgate.wire.json import JsonObject, encode

_SECONDS = 0.0005
_OVERRIDES: dict[str, tuple[int, str, str | None, str]] = {
    "auth": (401, "invalid_request_error", "invalid_api_key", "Invalid API Key"),
    "rate_limit": (
        429,
        "tokens",
        "rate_limit_exceeded",
        "Rate limit reached for model on tokens per minute (TPM). Please try again later.",
    ),
    "server": (500, "internal_server_error", None, "Internal Server Error"),
    "unavailable": (503, "internal_server_error", "service_unavailable", "Service Unavailable"),
    "overloaded": (498, "internal_server_error", "capacity_exceeded", "The flex tier is over capacity. Please try again later."),
    "context_length": (400, "invalid_request_error", "context_length_exceeded", "Please reduce the length of the messages or completion."),
    "too_large": (413, "invalid_request_error", "request_too_large", "Request Entity Too Large"),
}
GROQ_ERRORS = {**ERRORS, **_OVERRIDES}
"""Error name -> status, type, code, default message."""


def authenticate(request: Request) -> str:
    """The account of a request: its bearer key."""
    return openai_flavours.bearer(request, "Invalid API Key")


def error_body(problem: Problem) -> JsonObject:
    """``{"error": {message, type, code?, param?}}``."""
    _, kind, code, message = GROQ_ERRORS[problem.name]
    error: JsonObject = {"message": problem.message or message, "type": kind}
    shown = problem.code or code
    if shown:
        error["code"] = shown
    if problem.param:
        error["param"] = problem.param
    return {"error": error}


def refuse(problem: Problem, request_id: str, request: Request) -> Answer:
    """A problem in Groq's shape."""
    status = problem.status or GROQ_ERRORS[problem.name][0]
    return answer_json(error_body(problem), status=status, headers=openai_flavours.retry_headers(problem))


def stream_error(problem: Problem, request_id: str) -> bytes:
    """An error inside a stream that has begun."""
    body = error_body(problem)
    body["error"]["status_code"] = problem.status or GROQ_ERRORS[problem.name][0]
    return b"event: error\ndata: " + encode(body) + b"\n\n"


def usage(done: Done) -> JsonObject:
    """Counts and the seconds they took."""
    plain = openai_flavours.plain_usage(done)
    times = {
        "queue_time": 0.05,
        "prompt_time": round(plain["prompt_tokens"] * _SECONDS / 10, 9),
        "completion_time": round(plain["completion_tokens"] * _SECONDS, 9),
    }
    times["total_time"] = round(times["prompt_time"] + times["completion_time"], 9)
    details = {"completion_tokens_details": {"reasoning_tokens": done.tokens.reasoning}} if done.tokens.reasoning else {}
    return {**plain, **times, **details}


def _mark(call: Call) -> JsonObject:
    """The ``x_groq`` object: the same request id throughout an answer."""
    return {"id": call.request_id}


def completion(call: Call, done: Done, body: JsonObject) -> JsonObject:
    """The whole answer: no refusals, no annotations, absent content left out."""
    for choice in body["choices"]:
        message = without(choice["message"], "refusal", "annotations")
        refused = choice["message"].get("refusal")
        if refused:
            message["content"] = refused
        choice["message"] = {key: value for key, value in message.items() if value is not None}
    return {**body, "usage_breakdown": None, "service_tier": "on_demand", "x_groq": _mark(call)}


def chunks(call: Call, done: Done, made: Iterator[JsonObject]) -> Iterator[JsonObject]:
    """The stream: ``x_groq`` with the id in the first chunk, with the usage in the last, which has choices."""
    held: JsonObject | None = None
    for number, chunk in enumerate(openai_flavours.with_whole_calls(done, made)):
        chunk = without(chunk, "service_tier", "usage")
        if number == 0:
            chunk["x_groq"] = _mark(call)
        for choice in chunk["choices"]:
            choice["delta"] = _delta(choice["delta"])
        if not chunk["choices"]:
            continue
        if held is not None:
            yield held
        held = chunk
    if held is not None:
        spent = usage(done)
        yield {**held, "x_groq": {**_mark(call), "usage": spent}, "usage": spent}


def _delta(delta: JsonObject) -> JsonObject:
    refused = delta.get("refusal")
    kept = {key: value for key, value in delta.items() if key != "refusal" and value is not None}
    return {**kept, "content": refused} if refused else kept


def new_id(world: World) -> str:
    """``chatcmpl-`` and a UUID."""
    return "chatcmpl-" + world.new_uuid()


FLAVOUR = Flavour(usage, completion, chunks, new_id, reasoning="reasoning")

WIRE = Wire(
    name="groq",
    routes=(
        Route("POST", "/openai/v1/chat/completions", "chat", openai_flavours.chat_as(FLAVOUR), chat=True),
        Route("GET", "/openai/v1/models", "models", openai_wire.models),
        Route("GET", "/openai/v1/models/{model...}", "models", openai_wire.model),
    ),
    authenticate=authenticate,
    refuse=refuse,
    stream_error=stream_error,
    request_id_header="x-request-id",
    request_id_prefix="req_01",
    base="/openai/v1",
)
