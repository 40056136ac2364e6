"""Azure's flavour of OpenAI below ``/azure/openai`` (recorded traffic; Azure OpenAI API reference).

The model is a deployment's name in the path, the key is in ``api-key``, every call outside ``/v1`` names an ``api-version``; answers carry
what the content filter found, and a prompt it blocks is refused with 400 ``content_filter``.
"""

from __future__ import annotations

from collections.abc import Iterator

from headgate.sim import openai_completions, openai_embeddings, openai_flavours, openai_wire, responses_routes
from headgate.sim.exchange import Answer, Problem, Request, answer_json
from headgate.sim.openai_flavours import Flavour, each_choice, without
from headgate.sim.openai_wire import ERRORS, Done
from headgate.sim.responses_answer import Said
from headgate.sim.world import Call, Handler, Route, Wire, World
from headgate.wire.json import JsonObject, encode

_DENIED = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription "
    "and use a correct regional API endpoint for your resource."
)
_NO_DEPLOYMENT = (
    "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment "
    "and try again."
)
_RATE = "Requests to this operation under this API version have exceeded the call rate limit of your current tier. Please retry later."
_FILTERED = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry. "
    "To learn more about our content filtering policies please read our documentation: https://go.microsoft.com/fwlink/?linkid=2198766"
)
GATEWAY_ERRORS: dict[str, tuple[int, str, str]] = {
    "auth": (401, "401", _DENIED),
    "permission": (403, "403", "Public access is disabled. Please configure private endpoint."),
    "not_found": (404, "404", "Resource not found"),
    "model_not_found": (404, "DeploymentNotFound", _NO_DEPLOYMENT),
    "rate_limit": (429, "429", _RATE),
    "quota": (403, "403", "Out of call volume quota."),
    "timeout": (408, "Timeout", "The operation was timeout."),
}
"""Error name -> status, code, message, for what Azure's gateway refuses before OpenAI's service sees it."""

SAFE: JsonObject = {"filtered": False, "severity": "safe"}
UNDETECTED: JsonObject = {"filtered": False, "detected": False}
CATEGORIES = ("hate", "self_harm", "sexual", "violence")
RESULTS: JsonObject = dict.fromkeys(CATEGORIES, SAFE)
PROMPT_RESULTS: JsonObject = {**RESULTS, "jailbreak": UNDETECTED}
PROTECTED: JsonObject = {**RESULTS, "protected_material_code": UNDETECTED, "protected_material_text": UNDETECTED}


def authenticate(request: Request) -> str:
    """The account of a request: its ``api-key``, or an Entra token as a bearer key."""
    key = request.headers.get("api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
    if not key.startswith("sim-"):
        raise Problem("auth")
    if not request.path.startswith("/azure/openai/v1/") and not request.query.get("api-version"):
        raise Problem("not_found", "Resource not found")
    return key


def error_body(problem: Problem) -> JsonObject:
    """``{"error": {code, message}}`` from the gateway, OpenAI's own shape from the service behind it, and the filter's."""
    if problem.code == "content_filter":
        return {"error": _filtered()}
    if problem.name in GATEWAY_ERRORS:
        _, code, message = GATEWAY_ERRORS[problem.name]
        return {"error": {"code": code, "message": problem.message or message}}
    return openai_wire.error_body(problem)


def _filtered() -> JsonObject:
    found = {**PROMPT_RESULTS, "violence": {"filtered": True, "severity": "medium"}}
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": found}
    return {"message": _FILTERED, "type": None, "param": "prompt", "code": "content_filter", "status": 400, "innererror": inner}


def refuse(problem: Problem, request_id: str, request: Request) -> Answer:
    """A problem in Azure's shape."""
    table = GATEWAY_ERRORS if problem.name in GATEWAY_ERRORS else ERRORS
    status = problem.status or table[problem.name][0]
    return answer_json(error_body(problem), status=status, headers=openai_flavours.retry_headers(problem))


def stream_error(problem: Problem, request_id: str) -> bytes:
    """An error inside a stream that has begun."""
    return b"data: " + encode(error_body(problem)) + b"\n\n"


def completion(call: Call, done: Done, body: JsonObject) -> JsonObject:
    """The whole answer with the filter's findings."""

    def change(choice: JsonObject) -> JsonObject:
        return {"content_filter_results": {} if done.calls[choice["index"]] else PROTECTED, **choice}

    found = [{"prompt_index": 0, "content_filter_results": PROMPT_RESULTS}]
    return {**without(each_choice(body, change), "service_tier"), "prompt_filter_results": found}


def chunks(call: Call, done: Done, made: Iterator[JsonObject]) -> Iterator[JsonObject]:
    """The stream: first a chunk with the findings on the prompt and nothing else, findings on every piece of text."""
    found = [{"prompt_index": 0, "content_filter_results": PROMPT_RESULTS}]
    yield {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": found}
    for chunk in made:
        yield without(each_choice(chunk, _chunk_choice), "service_tier")


def _chunk_choice(choice: JsonObject) -> JsonObject:
    return {"content_filter_results": RESULTS if choice["delta"].get("content") else {}, **choice}


def new_id(world: World) -> str:
    """``chatcmpl-`` and 29 characters, as at OpenAI."""
    return world.new_id("chatcmpl-", 29)


FLAVOUR = Flavour(openai_wire.usage, completion, chunks, new_id)


def _deployed(handler: Handler) -> Handler:
    """A handler whose model is the deployment in the path, if there is one, and which the content filter guards.

    What the filter blocks was worked on, and is billed with what was made (Azure OpenAI content filter guide).
    """

    def handle(call: Call) -> Answer:
        named = call.params.get("model")
        if named is not None:
            call.body = {**call.json(), "model": named}
        answer = handler(call)
        if call.twist == "refusal":
            raise Problem("bad_request", code="content_filter")
        return answer

    return handle


def response_shape(said: Said, body: JsonObject) -> JsonObject:
    """A response object with the filter's findings."""
    if body["usage"] is None:
        return {**body, "content_filters": None}
    place = {"start_offset": 0, "end_offset": len(said.reply.text), "check_offset": 0}
    common = {"blocked": False, "content_filter_raw": [], "content_filter_offsets": place}
    prompt = {**common, "source_type": "prompt", "content_filter_results": PROMPT_RESULTS}
    return {**body, "content_filters": [prompt, {**common, "source_type": "completion", "content_filter_results": PROTECTED}]}


_CHAT = _deployed(openai_flavours.chat_as(FLAVOUR))
_RESPONSES = _deployed(responses_routes.create_as(response_shape))
_EMBED = _deployed(openai_embeddings.embeddings)
_COMPLETE = _deployed(openai_completions.completions)
_DEPLOYMENT = "/openai/deployments/{model}"


def _both(path: str) -> tuple[str, str]:
    """A path without a deployment, under its old and its new base."""
    return f"/openai{path}", f"/openai/v1{path}"


WIRE = Wire(
    name="azure",
    routes=(
        Route("POST", _DEPLOYMENT + "/chat/completions", "chat", _CHAT, chat=True),
        Route("POST", _DEPLOYMENT + "/completions", "chat", _COMPLETE, chat=True),
        Route("POST", _DEPLOYMENT + "/embeddings", "embed", _EMBED),
        Route("POST", "/openai/v1/chat/completions", "chat", _CHAT, chat=True),
        Route("POST", "/openai/v1/embeddings", "embed", _EMBED),
        *(Route("POST", path, "chat", _RESPONSES, chat=True) for path in _both("/responses")),
        *(Route("GET", path, "response_get", responses_routes.get) for path in _both("/responses/{response}")),
        *(Route("DELETE", path, "response_delete", responses_routes.delete) for path in _both("/responses/{response}")),
        *(Route("GET", path, "models", openai_wire.models) for path in _both("/models")),
    ),
    authenticate=authenticate,
    refuse=refuse,
    stream_error=stream_error,
    request_id_header="x-request-id",
    request_id_prefix="",
    uuids=True,
)
