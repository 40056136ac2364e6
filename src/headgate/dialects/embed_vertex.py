"""Embeddings on Vertex AI: `predict` for text embedding models, `embedContent` for the second generation of Gemini's.

``{"instances": [{"content", "task_type", "title"}], "parameters": {"outputDimensionality", "autoTruncate"}}`` (Vertex AI API reference,
"Text embeddings"; recorded traffic). Paths are written as the Gemini API has them; the provider puts project and location before them.
Spelling marks: "single" (`embedContent`) and those of `embed_gemini` for it, "parameters:empty".
"""

from __future__ import annotations

import re
from urllib.parse import unquote

import msgspec

from headgate.dialects import embed_gemini
from headgate.dialects.base import RenderedRequest
from headgate.dialects.embed import EmbedDialect
from headgate.dialects.embed_common import Losses, counted, input_usage, parse_task, positive, texts, vector, without
from headgate.dialects.embed_gemini import WORDS, parse_items, render_items
from headgate.dialects.gemini_generate.errors import classify, find_error, parse_error, render_error
from headgate.dialects.gemini_generate.names import quoted_resource
from headgate.domain.capabilities import Capabilities
from headgate.domain.embedding import Embedding, EmbedRequest, EmbedResponse
from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject, arr, decode, encode, obj, text

NAME = "vertex_embeddings"
_PATH = re.compile(r"/?(?:v[0-9][a-z0-9]*/)?(?:[^:?#]*/)?models/([^:?#/]+):(predict|embedContent)(?:\?.*)?")
_FAMILIES: tuple[tuple[str, int], ...] = (("gemini-embedding-2", 1), ("gemini-embedding", 1))
MOST = 250
"""Inputs of one `predict` call (Vertex AI API reference); Gemini's embedding models take one."""


def max_inputs(model: str) -> int:
    """How many inputs one call to `model` takes."""
    return next((most for family, most in _FAMILIES if model.startswith(family)), MOST)


def render_request(request: EmbedRequest, capabilities: Capabilities) -> RenderedRequest:
    """Write a request of any origin, for the method the model is served by. Raises `Unsupported` for tokens."""
    losses = Losses(request, NAME)
    form = request.form if losses.own else ()
    losses.unless_none("user", "this wire does not take the name of a user")
    place = f"/v1beta/{quoted_resource(request.model)}"
    if "single" in form or (not losses.own and request.model.startswith("gemini-embedding-2")):
        single = msgspec.structs.replace(request, form=(*form, "single"))
        item = render_items(single, losses)[0]
        if not losses.own:
            item.pop("model", None)
        return RenderedRequest(f"{place}:embedContent", item, tuple(losses.notes))
    return RenderedRequest(f"{place}:predict", _predict(request, losses, form), tuple(losses.notes))


def _predict(request: EmbedRequest, losses: Losses, form: tuple[str, ...]) -> JsonObject:
    task = losses.task(WORDS)
    instances: list[Json] = []
    for place, words in enumerate(texts(request)):
        instance: JsonObject = {"content": words}
        if task is not None:
            instance["task_type"] = task
        if losses.own and request.each:
            instance.update(request.each[place] or {})
        instances.append(instance)
    payload: JsonObject = {"instances": instances}
    extra = dict(request.extra or {}) if losses.own else {}
    parameters: JsonObject = {} if request.dimensions is None else {"outputDimensionality": request.dimensions}
    rest = extra.pop("parameters", {})
    if parameters or rest or "parameters:empty" in form:
        payload["parameters"] = {**parameters, **rest}
    payload.update(extra)
    return payload


def parse_request(body: bytes, path: str) -> EmbedRequest:
    """Read a request of either method. Raises `WireError` whose `param` names the malformed place."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise WireError(f"the path {path!r} names no model: expected …/models/MODEL:predict", param="model")
    model = unquote(match[1])
    raw = obj(decode(body, what="the request body"), "body")
    if match[2] == "embedContent":
        return parse_items(model, [raw], ["single"], None, NAME)
    return _parse_predict(model, raw)


def _parse_predict(model: str, raw: JsonObject) -> EmbedRequest:
    items = [dict(obj(item, f"instances[{place}]")) for place, item in enumerate(arr(raw.get("instances"), "instances"))]
    if not items:
        raise WireError("instances must not be empty", param="instances")
    inputs = tuple(text(item.pop("content", None), f"instances[{place}].content") for place, item in enumerate(items))
    fields: dict[str, Json] = {}
    word = items[0].get("task_type")
    task = parse_task(word, WORDS) if isinstance(word, str) and all(item.get("task_type") == word for item in items) else None
    if task is not None:
        fields["task"] = task
        for item in items:
            del item["task_type"]
    extra: JsonObject = {key: value for key, value in raw.items() if key not in ("instances", "parameters")}
    if "parameters" in raw:
        _parse_parameters(raw["parameters"], fields, extra)
    each = tuple(item or None for item in items) if any(items) else ()
    return EmbedRequest(model=model, inputs=inputs, dialect=NAME, extra=extra or None, each=each, **fields)


def _parse_parameters(value: Json, fields: dict[str, Json], extra: JsonObject) -> None:
    parameters = dict(obj(value, "parameters"))
    if not parameters:
        fields["form"] = ("parameters:empty",)
    if parameters.get("outputDimensionality") is not None:
        fields["dimensions"] = positive(parameters.pop("outputDimensionality"), "parameters.outputDimensionality")
    if parameters:
        extra["parameters"] = parameters


def render_response(response: EmbedResponse, request: EmbedRequest) -> bytes:
    """Write an answer of any origin, in the form `request` came in."""
    own = response.dialect == NAME
    if "single" in (request.form if request.dialect == NAME else response.form):
        kin = msgspec.structs.replace(response, dialect=embed_gemini.NAME if own else response.dialect, form=("single",))
        return embed_gemini.render_response(kin, msgspec.structs.replace(request, dialect="", form=()))
    share = _shares(response)
    predictions = []
    for place, item in enumerate(response.embeddings):
        embeddings: JsonObject = {"values": list(item.values)}
        statistics = (item.extra or {}).get("statistics") if own else {"truncated": False, "token_count": share[place]}
        if statistics is not None:
            embeddings["statistics"] = statistics
        rest = {key: value for key, value in (item.extra or {}).items() if key != "statistics"} if own else {}
        predictions.append({"embeddings": embeddings, **rest})
    return encode({"predictions": predictions, **((response.extra if own else None) or {})})


def _shares(response: EmbedResponse) -> list[int]:
    """The tokens of all inputs, spread over them: other wires count them together."""
    count = len(response.embeddings)
    total = 0 if response.usage is None else response.usage.input_total
    return [total // count + (place < total % count) for place in range(count)]


def parse_response(body: bytes, headers: dict[str, str]) -> EmbedResponse:
    """Read an answer of either method. Raises `ProviderError` for an error object in it, `WireError` for anything malformed."""
    raw = obj(decode(body, what="the answer"), "body")
    error = find_error(body) if "error" in raw else None
    if error is not None:
        raise classify(error, None)
    if "predictions" not in raw:
        return msgspec.structs.replace(embed_gemini.parse_response(body, headers), dialect=NAME)
    found = [_parse_prediction(item, place) for place, item in enumerate(arr(raw["predictions"], "predictions"))]
    counts = [counted(((item.extra or {}).get("statistics") or {}).get("token_count")) for item in found]
    total = None if any(count is None for count in counts) else sum(count or 0 for count in counts)
    extra = without(raw, frozenset({"predictions"}))
    return EmbedResponse(embeddings=tuple(found), usage=input_usage(total, extra), dialect=NAME, extra=extra)


def _parse_prediction(item: Json, place: int) -> Embedding:
    where = f"predictions[{place}]"
    fields = obj(item, where)
    inner = obj(fields.get("embeddings"), f"{where}.embeddings")
    extra = without(fields, frozenset({"embeddings"})) or {}
    if isinstance(inner.get("statistics"), dict):
        extra["statistics"] = inner["statistics"]
    return Embedding(place, vector(inner.get("values"), f"{where}.embeddings.values"), extra or None)


DIALECT = EmbedDialect(
    name=NAME,
    max_inputs=max_inputs,
    render_request=render_request,
    parse_request=parse_request,
    render_response=render_response,
    parse_response=parse_response,
    render_error=render_error,
    parse_error=parse_error,
)
