"""Gemini on Google Cloud's Vertex AI below ``/vertex/v1`` (recorded traffic; Vertex AI API reference).

A model lies under project, location and publisher; the key is an access token. Usage tells the traffic type and the modalities of the
answer, in a stream only with the last chunk; embeddings are predictions.
"""

from __future__ import annotations

from collections.abc import Iterator

from headgate.sim import gemini_embeddings, gemini_wire
from headgate.sim.clock import iso
from headgate.sim.exchange import Answer, Headers, Problem, Request, answer_json, need_list, need_object
from headgate.sim.gemini_wire import ERRORS, JSON_UTF8, Generated, field, flat_text
from headgate.sim.models import is_unknown
from headgate.sim.openai_flavours import without
from headgate.sim.responder import prompt_tokens
from headgate.sim.world import Call, Handler, Route, Wire
from headgate.wire.json import Json, JsonObject, encode

HEADERS: Headers = (("vary", "Origin, X-Origin, Referer"),)
MAX_INSTANCES = 250
_NO_IDENTITY = (
    "API keys are not supported by this API. Expected OAuth2 access token or other authentication credentials that assert a principal."
)
_SERVICE = {"service": "aiplatform.googleapis.com"}


def authenticate(request: Request) -> str:
    """The account of a request: its access token, which starts with ``sim-`` here."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not token.startswith("sim-"):
        raise Problem("auth")
    return token


def error_body(problem: Problem) -> JsonObject:
    """``{"error": {code, message, status, details?}}``; a missing or wrong token is 401 UNAUTHENTICATED."""
    if problem.name != "auth":
        return gemini_wire.error_body(problem)
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "CREDENTIALS_MISSING", "domain": "googleapis.com"}
    details = [{**info, "metadata": _SERVICE}]
    return {"error": {"code": 401, "message": problem.message or _NO_IDENTITY, "status": "UNAUTHENTICATED", "details": details}}


def refuse(problem: Problem, request_id: str, request: Request) -> Answer:
    """A problem in Vertex's shape."""
    status = problem.status or (401 if problem.name == "auth" else ERRORS[problem.name][0])
    headers = (*HEADERS, ("www-authenticate", 'Bearer realm="https://accounts.google.com/"')) if status == 401 else HEADERS
    return answer_json(error_body(problem), status=status, content_type=JSON_UTF8, headers=headers)


def stream_error(problem: Problem, request_id: str) -> bytes:
    """An error after a stream has begun."""
    return encode(error_body(problem)) + b"\r\n"


def _check_model(call: Call) -> str:
    model = call.params["model"]
    if is_unknown(model):
        place = f"projects/{call.params['project']}/locations/{call.params['location']}/publishers/google/models/{model}"
        raise Problem("model_not_found", f"Publisher Model `{place}` was not found or your project does not have access to it.")
    return model


def _execute(call: Call) -> Generated:
    made = gemini_wire.execute(call, gemini_wire.parse_generate(_check_model(call), call.json()))
    gemini_wire.charge(call, made)
    return made


def _usage(made: Generated, spent: JsonObject) -> JsonObject:
    """Gemini's usage with the traffic type and what the answer is made of."""
    kept = without(spent, "serviceTier")
    if made.tokens.output:
        kept["candidatesTokensDetails"] = [{"modality": "TEXT", "tokenCount": made.tokens.output}]
    return {**kept, "trafficType": "ON_DEMAND"}


def _dressed(call: Call, made: Generated, body: JsonObject) -> JsonObject:
    """A Gemini answer in Vertex's look."""
    if "candidates" in body:
        body["candidates"] = [_candidate(made, candidate) for candidate in body["candidates"]]
    return {**body, "usageMetadata": _usage(made, body["usageMetadata"]), "createTime": iso(call.now, "Z")}


def _candidate(made: Generated, candidate: JsonObject) -> JsonObject:
    """A lone candidate has no index; a finished one tells its average log probability."""
    kept = without(candidate, "finishMessage", *(("index",) if len(made.replies) == 1 else ()))
    return {**kept, "avgLogprobs": -0.25} if "finishReason" in kept else kept


def generate(call: Call) -> Answer:
    """``POST …/models/{model}:generateContent``."""
    made = _execute(call)
    return answer_json(_dressed(call, made, gemini_wire.response(made)), content_type=JSON_UTF8, headers=HEADERS)


def stream_generate(call: Call) -> Answer:
    """``POST …/models/{model}:streamGenerateContent``: CRLF events with ``?alt=sse``, else one JSON array."""
    made = _execute(call)
    return gemini_wire.streamed(call, tuple(_chunks(call, made)), HEADERS)


def _chunks(call: Call, made: Generated) -> Iterator[JsonObject]:
    chunks = list(gemini_wire.chunked(made))
    for number, chunk in enumerate(chunks, 1):
        dressed = _dressed(call, made, chunk)
        dressed["candidates"] = [without(candidate, "avgLogprobs") for candidate in dressed.get("candidates", ())]
        if number < len(chunks):
            dressed["usageMetadata"] = {"trafficType": "ON_DEMAND"}
        yield dressed if dressed["candidates"] else without(dressed, "candidates")


def count_tokens(call: Call) -> Answer:
    """``POST …/models/{model}:countTokens``: tokens, and characters other than blanks."""
    ask = gemini_wire.parse_generate(_check_model(call), call.json()).ask
    total = prompt_tokens(ask)
    characters = sum(not char.isspace() for text in ask.texts for char in text)
    body = {"totalTokens": total, "totalBillableCharacters": characters}
    return answer_json({**body, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]}, content_type=JSON_UTF8)


def predict(call: Call) -> Answer:
    """``POST …/models/{model}:predict``: text embeddings of up to 250 instances."""
    model = _check_model(call)
    body = call.json()
    instances = need_list(body.get("instances"), "instances")
    if not 1 <= len(instances) <= MAX_INSTANCES:
        raise Problem("bad_request", f"{len(instances)} instance(s) is not allowed per prediction; send 1 to {MAX_INSTANCES}.")
    size = gemini_embeddings.dimensions(need_object(body.get("parameters") or {}, "parameters").get("outputDimensionality"))
    texts = [_content(instance, index) for index, instance in enumerate(instances)]
    made = [gemini_embeddings.embed_text(text, size) for text in texts]
    gemini_embeddings.charge(call, model, made)
    predictions = [{"embeddings": {"statistics": {"truncated": False, "token_count": one.tokens}, "values": one.values}} for one in made]
    metadata = {"billableCharacterCount": sum(one.characters for one in made)}
    return answer_json({"predictions": predictions, "metadata": metadata}, content_type=JSON_UTF8, headers=HEADERS)


def _content(instance: Json, index: int) -> str:
    content = need_object(instance, f"instances[{index}]").get("content")
    if not isinstance(content, str):
        raise Problem("bad_request", f"instances[{index}].content must be a text.")
    return content


def embed(call: Call) -> Answer:
    """``POST …/models/{model}:embedContent``."""
    model, body = _check_model(call), call.json()
    text = flat_text(need_object(body.get("content"), "content"))
    made = gemini_embeddings.embed_text(text, gemini_embeddings.dimensions(field(body, "outputDimensionality")))
    total = gemini_embeddings.charge(call, model, [made])
    usage = {"promptTokenCount": total, "totalTokenCount": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]}
    return answer_json({"embedding": {"values": made.values}, "usageMetadata": usage}, content_type=JSON_UTF8, headers=HEADERS)


_METHODS: tuple[tuple[str, str, Handler], ...] = (
    ("generateContent", "chat", generate),
    ("streamGenerateContent", "stream", stream_generate),
    ("countTokens", "count_tokens", count_tokens),
    ("predict", "embed", predict),
    ("embedContent", "embed", embed),
)

WIRE = Wire(
    name="vertex",
    routes=tuple(
        Route("POST", f"/{version}/projects/{{project}}/locations/{{location}}/publishers/google/models/{{model}}:{method}", name, handler)
        for version in ("v1", "v1beta1")
        for method, name, handler in _METHODS
    ),
    authenticate=authenticate,
    refuse=refuse,
    stream_error=stream_error,
    request_id_header="",
    request_id_prefix="",
)
