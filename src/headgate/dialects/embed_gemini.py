"""Gemini's `embedContent` and `batchEmbedContents` (Gemini API reference, "Embeddings"; recorded traffic).

Each input is a request of its own with task, title and dimensions; what all of them share is the request's, the rest stays with its
input. Spelling marks: "single" (`embedContent`), "version:v1", "body:model" (a single request that repeats its model), "role:user",
"snake:0.task_type" (a key in its other spelling).
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from headgate.dialects.base import RenderedRequest
from headgate.dialects.embed import EmbedDialect
from headgate.dialects.embed_common import Losses, counted, input_usage, parse_task, positive, texts, vector, without
from headgate.dialects.gemini_generate.errors import classify, find_error, parse_error, render_error
from headgate.dialects.gemini_generate.names import VERSION, quoted_resource, resource
from headgate.domain.capabilities import Capabilities
from headgate.domain.embedding import Embedding, EmbedRequest, EmbedResponse
from headgate.domain.usage import Usage
from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject, arr, decode, encode, obj

NAME = "gemini_embeddings"
MOST = 100
"""Inputs of one `batchEmbedContents` call (translation case 108)."""
WORDS = {
    "query": "RETRIEVAL_QUERY",
    "document": "RETRIEVAL_DOCUMENT",
    "similarity": "SEMANTIC_SIMILARITY",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
    "question_answering": "QUESTION_ANSWERING",
    "fact_verification": "FACT_VERIFICATION",
    "code_query": "CODE_RETRIEVAL_QUERY",
}
SNAKE = {"task_type": "taskType", "output_dimensionality": "outputDimensionality"}
_PATH = re.compile(r"(?:/?(v[0-9][a-z0-9]*))?/?((?:models|tunedModels)/[^:?#]+):(embedContent|batchEmbedContents)(?:\?.*)?")
_SHARED = frozenset({"taskType", "outputDimensionality"})


def parse_path(path: str) -> tuple[str, list[str]]:
    """The model a path names, and its spelling marks. Raises `WireError` with param "model"."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise WireError(f"the path {path!r} names no model: expected /{VERSION}/models/MODEL:batchEmbedContents", param="model")
    version, name, method = match.groups()
    form = [f"version:{version}"] if version not in (None, VERSION) else []
    if method == "embedContent":
        form.append("single")
    return unquote(name.removeprefix("models/")), form


def render_request(request: EmbedRequest, capabilities: Capabilities) -> RenderedRequest:
    """Write a request of any origin; those of other wires go as a batch, however many inputs they have."""
    losses = Losses(request, NAME)
    form = request.form if losses.own else ()
    payload: JsonObject = {"requests": render_items(request, losses)}
    version = next((mark[8:] for mark in form if mark.startswith("version:")), VERSION)
    place = f"/{version}/{quoted_resource(request.model)}"
    losses.unless_none("user", "this wire does not take the name of a user")
    if "single" in form:
        return RenderedRequest(f"{place}:embedContent", payload["requests"][0], tuple(losses.notes))
    if losses.own:
        payload.update(request.extra or {})
    return RenderedRequest(f"{place}:batchEmbedContents", payload, tuple(losses.notes))


def render_items(request: EmbedRequest, losses: Losses) -> list[Json]:
    """One request object for each input."""
    form = request.form if losses.own else ()
    task = losses.task(WORDS)
    named = "single" not in form or "body:model" in form
    items: list[Json] = []
    for place, words in enumerate(texts(request)):
        content: JsonObject = {"parts": [{"text": words}]}
        if "role:user" in form:
            content["role"] = "user"
        item: JsonObject = {"content": content}
        if named:
            item["model"] = resource(request.model)
        if task is not None:
            item["taskType"] = task
        if request.dimensions is not None:
            item["outputDimensionality"] = request.dimensions
        if losses.own and request.each:
            item.update(request.each[place] or {})
        items.append(_respelled(item, place, form))
    return items


def _respelled(item: JsonObject, place: int, form: tuple[str, ...]) -> JsonObject:
    other = {SNAKE[mark[len(start) :]]: mark[len(start) :] for mark in form if mark.startswith(start := f"snake:{place}.")}
    return {other.get(key, key): value for key, value in item.items()} if other else item


def parse_request(body: bytes, path: str) -> EmbedRequest:
    """Read a request of either kind. Raises `WireError` whose `param` names the malformed place."""
    model, form = parse_path(path)
    raw = obj(decode(body, what="the request body"), "body")
    if "single" in form:
        return parse_items(model, [raw], form, None, NAME)
    requests = [obj(item, f"requests[{place}]") for place, item in enumerate(arr(raw.get("requests"), "requests"))]
    return parse_items(model, requests, form, without(raw, frozenset({"requests"})), NAME)


def parse_items(model: str, requests: list[JsonObject], form: list[str], extra: JsonObject | None, dialect: str) -> EmbedRequest:
    """Single requests as one: what they share comes first, what is left stays with each."""
    if not requests:
        raise WireError("requests must not be empty", param="requests")
    single = "single" in form
    items = [_canonical(item, place, form) for place, item in enumerate(requests)]
    roles = [item["content"].get("role") if isinstance(item.get("content"), dict) else None for item in items]
    if all(role == "user" for role in roles):
        form.append("role:user")
    inputs = tuple(_take_text(item, "content" if single else f"requests[{place}].content", form) for place, item in enumerate(items))
    if single and "model" in items[0]:
        form.append("body:model")
    for item in items:
        if item.get("model") == resource(model):
            del item["model"]
    fields = _take_shared(items)
    return EmbedRequest(
        model=model,
        inputs=inputs,
        dialect=dialect,
        extra=extra,
        each=tuple(item or None for item in items) if any(items) else (),
        form=tuple(form),
        **fields,
    )


def _canonical(item: JsonObject, place: int, form: list[str]) -> JsonObject:
    """A copy with the keys we know in their usual spelling."""
    found: JsonObject = {}
    for key, value in item.items():
        usual = SNAKE.get(key)
        if usual is None or usual in item:
            found[key] = value
        else:
            found[usual] = value
            form.append(f"snake:{place}.{key}")
    return found


def _take_text(item: JsonObject, param: str, form: list[str]) -> str:
    """The text of an input, taken out of `item`. Contents with anything but one text stay there, and only their texts are returned."""
    content = obj(item.get("content"), param)
    parts = [obj(part, f"{param}.parts[{place}]") for place, part in enumerate(arr(content.get("parts"), f"{param}.parts"))]
    words = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    usual = {"parts", "role"} if "role:user" in form else {"parts"}
    if len(words) == len(parts) == 1 and len(parts[0]) == 1 and set(content) == usual:
        del item["content"]
    return "".join(words)


def _take_shared(items: list[JsonObject]) -> dict[str, Json]:
    """Task and dimensions that all inputs have in common, taken out of `items`."""
    fields: dict[str, Json] = {}
    for place, item in enumerate(items):
        if item.get("outputDimensionality") is not None:
            positive(item["outputDimensionality"], f"requests[{place}].outputDimensionality")
    for key in _SHARED & items[0].keys():
        value = items[0][key]
        if any(item.get(key) != value for item in items):
            continue
        held = parse_task(value, WORDS) if key == "taskType" and isinstance(value, str) else value if key != "taskType" else None
        if held is not None:
            fields["task" if key == "taskType" else "dimensions"] = held
            for item in items:
                del item[key]
    return fields


def render_response(response: EmbedResponse, request: EmbedRequest) -> bytes:
    """Write an answer of any origin, in the form `request` came in."""
    own = response.dialect == NAME
    vectors = [{"values": list(item.values), **((item.extra if own else None) or {})} for item in response.embeddings]
    single = "single" in (request.form if request.dialect == NAME else response.form)
    payload: JsonObject = {"embedding": vectors[0]} if single and vectors else {"embeddings": vectors}
    if response.usage is not None:
        native = response.usage.native if own else None
        payload["usageMetadata"] = native if native is not None else render_usage(response.usage)
    if own:
        payload.update(response.extra or {})
    return encode(payload)


def render_usage(usage: Usage) -> JsonObject:
    """Usage of another wire in Gemini's words."""
    return {
        "promptTokenCount": usage.input_total,
        "promptTokenDetails": [{"modality": "TEXT", "tokenCount": usage.input_total}],
    }


def parse_response(body: bytes, headers: dict[str, str]) -> EmbedResponse:
    """Read an answer of either kind. Raises `ProviderError` for an error object in it, `WireError` for anything malformed."""
    raw = obj(decode(body, what="the answer"), "body")
    error = find_error(body) if "error" in raw else None
    if error is not None:
        raise classify(error, None)
    single = "embedding" in raw
    items = [raw["embedding"]] if single else arr(raw.get("embeddings"), "embeddings")
    native = raw.get("usageMetadata")
    usage = input_usage(counted(native.get("promptTokenCount")), native) if isinstance(native, dict) else None
    return EmbedResponse(
        embeddings=tuple(_parse_item(item, place) for place, item in enumerate(items)),
        usage=usage,
        dialect=NAME,
        extra=without(raw, frozenset({"embedding", "embeddings", *(("usageMetadata",) if usage is not None else ())})),
        form=("single",) if single else (),
    )


def _parse_item(item: Json, place: int) -> Embedding:
    where = f"embeddings[{place}]"
    fields = obj(item, where)
    return Embedding(place, vector(fields.get("values"), f"{where}.values"), without(fields, frozenset({"values"})))


DIALECT = EmbedDialect(
    name=NAME,
    max_inputs=lambda model: MOST,
    render_request=render_request,
    parse_request=parse_request,
    render_response=render_response,
    parse_response=parse_response,
    render_error=render_error,
    parse_error=parse_error,
)
