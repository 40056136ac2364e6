"""Embedding models on Amazon Bedrock through `InvokeModel`, which speaks the wire of each model's maker (Bedrock user guide, "Inference
parameters for foundation models"; recorded traffic).

Which wire that is follows from the model's id; a request that came in by this wire may name an inference profile instead, and is told by
its keys. Tokens are counted in the header ``x-amzn-bedrock-input-token-count``. Spelling marks: "titan", "cohere", "nova".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, unquote

import msgspec

from headgate.dialects.base import RenderedRequest
from headgate.dialects.bedrock_converse.errors import parse_error, render_error
from headgate.dialects.embed import EmbedDialect
from headgate.dialects.embed_common import Losses, counted, input_usage, parse_task, positive, texts, vector, without
from headgate.domain.capabilities import Capabilities
from headgate.domain.embedding import Embedding, EmbedRequest, EmbedResponse
from headgate.errors import Unsupported, WireError
from headgate.wire.json import Json, JsonObject, arr, decode, encode, obj, text

NAME = "bedrock_embeddings"
COUNT_HEADER = "x-amzn-bedrock-input-token-count"
COHERE_WORDS = {
    "query": "search_query",
    "document": "search_document",
    "classification": "classification",
    "clustering": "clustering",
}
NOVA_WORDS = {
    "query": "GENERIC_RETRIEVAL",
    "document": "GENERIC_INDEX",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}
_PATH = re.compile(r"/?model/([^/?#]+(?:/[^/?#]+)*)/invoke(?:\?.*)?")


class Family(msgspec.Struct, frozen=True):
    """The wire of one maker: how many inputs a call takes, and how a body is written and read."""

    name: str
    most: int
    key: str
    """The key that every request of this wire has."""
    write: Callable[[EmbedRequest, Losses], JsonObject]
    read: Callable[[JsonObject], dict[str, Json]]


def _write_titan(request: EmbedRequest, losses: Losses) -> JsonObject:
    if not losses.own:
        losses.unless_none("task", "Titan has no word for what vectors are for")
    payload: JsonObject = {"inputText": texts(request)[0]}
    if request.dimensions is not None:
        if "titan-embed-text-v1" in request.model:
            raise Unsupported(f"{request.model} gives vectors of one length", param="dimensions", hint="use amazon.titan-embed-text-v2:0")
        payload["dimensions"] = request.dimensions
    return payload


def _read_titan(raw: JsonObject) -> dict[str, Json]:
    fields: dict[str, Json] = {"inputs": (text(raw["inputText"], "inputText"),)}
    return fields | _taken(raw, "dimensions", "dimensions", {"inputText"})


def _write_cohere(request: EmbedRequest, losses: Losses) -> JsonObject:
    payload: JsonObject = {"texts": list(texts(request))}
    task = losses.task(COHERE_WORDS)
    if task is None and not (losses.own and "input_type" in (request.extra or {})):
        task = COHERE_WORDS["document"]
        losses.change("task", "this provider must be told a task: document was taken")
    if task is not None:
        payload["input_type"] = task
    if request.dimensions is not None:
        payload["output_dimension"] = request.dimensions
    return payload


def _read_cohere(raw: JsonObject) -> dict[str, Json]:
    words = tuple(text(item, f"texts[{place}]") for place, item in enumerate(arr(raw["texts"], "texts")))
    if not words:
        raise WireError("texts must not be empty", param="texts")
    word = raw.get("input_type")
    task = parse_task(word, COHERE_WORDS) if isinstance(word, str) else None
    known = {"texts"} if task is None else {"texts", "input_type"}
    return {"inputs": words, "task": task} | _taken(raw, "output_dimension", "dimensions", known)


def _write_nova(request: EmbedRequest, losses: Losses) -> JsonObject:
    own: JsonObject = dict((request.extra or {}).get("singleEmbeddingParams", {})) if losses.own else {}
    words = own.pop("text", {"truncationMode": "NONE"})
    parameters: JsonObject = {"text": {**words, "value": texts(request)[0]}}
    task = losses.task(NOVA_WORDS) or (None if losses.own else NOVA_WORDS["document"])
    if task is not None:
        parameters["embeddingPurpose"] = task
    if request.task is None and not losses.own:
        losses.change("task", "this provider must be told a task: document was taken")
    if request.dimensions is not None:
        parameters["embeddingDimension"] = request.dimensions
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {**parameters, **own}}


def _read_nova(raw: JsonObject) -> dict[str, Json]:
    parameters = dict(obj(raw["singleEmbeddingParams"], "singleEmbeddingParams"))
    words = dict(obj(parameters.pop("text", None), "singleEmbeddingParams.text"))
    fields: dict[str, Json] = {"inputs": (text(words.pop("value", None), "singleEmbeddingParams.text.value"),)}
    task = parse_task(parameters["embeddingPurpose"], NOVA_WORDS) if isinstance(parameters.get("embeddingPurpose"), str) else None
    if task is not None:
        fields["task"] = task
        del parameters["embeddingPurpose"]
    if parameters.get("embeddingDimension") is not None:
        fields["dimensions"] = positive(parameters.pop("embeddingDimension"), "singleEmbeddingParams.embeddingDimension")
    fields["extra"] = {**(without(raw, frozenset({"singleEmbeddingParams"})) or {}), "singleEmbeddingParams": {**parameters, "text": words}}
    return fields


def _taken(raw: JsonObject, key: str, field: str, known: set[str]) -> dict[str, Json]:
    """A number under `key` as `field`, and every key beside `known` as `extra`."""
    fields: dict[str, Json] = {}
    if raw.get(key) is not None:
        fields[field] = positive(raw[key], key)
        known = known | {key}
    fields["extra"] = without(raw, frozenset(known))
    return fields


TITAN = Family("titan", 1, "inputText", _write_titan, _read_titan)
COHERE = Family("cohere", 96, "texts", _write_cohere, _read_cohere)
NOVA = Family("nova", 1, "singleEmbeddingParams", _write_nova, _read_nova)
_FAMILIES = (TITAN, COHERE, NOVA)
_IDS: tuple[tuple[str, Family], ...] = (
    ("amazon.titan-embed-text", TITAN),
    ("cohere.embed", COHERE),
    ("amazon.nova-2-multimodal-embeddings", NOVA),
)
"""How model ids begin, behind the region of an inference profile ("us.cohere.embed-v4:0")."""


def family_of(model: str) -> Family | None:
    """The wire of a model id; None when it is that of no embedding model known here."""
    bare = model.rpartition("/")[2]
    return next((family for start, family in _IDS if bare.startswith(start) or f".{start}" in bare), None)


def max_inputs(model: str) -> int:
    """How many inputs one call to `model` takes."""
    family = family_of(model)
    return 1 if family is None else family.most


def render_request(request: EmbedRequest, capabilities: Capabilities) -> RenderedRequest:
    """Write a request of any origin. Raises `Unsupported` for tokens, and for a model whose wire is not known."""
    losses = Losses(request, NAME)
    family = next((known for known in _FAMILIES if losses.own and known.name in request.form), None) or family_of(request.model)
    if family is None:
        known_ids = ", ".join(start for start, _ in _IDS)
        raise Unsupported(f"{request.model} is no embedding model known here: those of Bedrock begin with {known_ids}", param="model")
    if len(request.inputs) > family.most:
        raise Unsupported(f"{request.model} takes {family.most} inputs per call, not {len(request.inputs)}", param="input")
    losses.unless_none("user", "this wire does not take the name of a user")
    payload = family.write(request, losses)
    if losses.own:
        payload.update({key: value for key, value in (request.extra or {}).items() if key not in payload})
    return RenderedRequest(f"/model/{quote(request.model, safe='')}/invoke", payload, tuple(losses.notes))


def parse_request(body: bytes, path: str) -> EmbedRequest:
    """Read a request of any of the wires. Raises `WireError` with `param` for malformed input."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise WireError(f"the path {path!r} names no model: expected /model/MODEL/invoke", param="model")
    raw = obj(decode(body, what="the request body"), "body")
    family = next((known for known in _FAMILIES if known.key in raw), None)
    if family is None:
        raise WireError(f"body must have {', '.join(known.key for known in _FAMILIES[:-1])} or {_FAMILIES[-1].key}", param="body")
    return EmbedRequest(model=unquote(match[1]), dialect=NAME, form=(family.name,), **family.read(raw))


def render_response(response: EmbedResponse, request: EmbedRequest) -> bytes:
    """Write an answer of any origin on the wire `request` came in. Titan's and Nova's hold one vector."""
    own = response.dialect == NAME
    extra = (response.extra if own else None) or {}
    form = request.form if request.dialect == NAME else response.form
    vectors = [list(item.values) for item in response.embeddings]
    if "titan" in form:
        count = 0 if response.usage is None else response.usage.input_total
        return encode({"embedding": vectors[0] if vectors else [], "inputTextTokenCount": count, **extra})
    if "nova" in form:
        rows: Json = [{"embedding": row, **_rest(item, own)} for row, item in zip(vectors, response.embeddings, strict=True)]
        return encode({"embeddings": rows, **extra})
    by_type = "float" in response.form if own else "v3" not in request.model
    rows = {"float": vectors, **extra.get("embeddings", {})} if by_type else vectors
    kind = "embeddings_by_type" if by_type else "embeddings_floats"
    rest = {key: value for key, value in extra.items() if key != "embeddings"}
    said: JsonObject = {} if own else {"texts": [item for item in request.inputs if isinstance(item, str)]}
    return encode({"id": response.id, "response_type": kind, "embeddings": rows, **said, **rest})


def _rest(item: Embedding, own: bool) -> JsonObject:
    return (item.extra or {}) if own else {"embeddingType": "TEXT"}


def parse_response(body: bytes, headers: dict[str, str]) -> EmbedResponse:
    """Read an answer of any of the wires. Raises `WireError` for anything malformed."""
    raw = obj(decode(body, what="the answer"), "body")
    if "embedding" in raw:
        response = _parse_titan(raw)
    elif isinstance(raw.get("embeddings"), list) and raw["embeddings"] and isinstance(raw["embeddings"][0], dict):
        response = _parse_nova(raw)
    else:
        response = _parse_cohere(raw)
    said = headers.get(COUNT_HEADER, "")
    count = int(said) if said.isascii() and said.isdigit() and len(said) < 16 else None
    if count is None:
        return response
    return msgspec.structs.replace(response, usage=input_usage(count, {COUNT_HEADER: count}))


def _parse_titan(raw: JsonObject) -> EmbedResponse:
    count = counted(raw.get("inputTextTokenCount"))
    known = {"embedding"} if count is None else {"embedding", "inputTextTokenCount"}
    return EmbedResponse(
        embeddings=(Embedding(0, vector(raw["embedding"], "embedding")),),
        usage=input_usage(count, {"inputTextTokenCount": count}),
        dialect=NAME,
        extra=without(raw, frozenset(known)),
        form=("titan",),
    )


def _parse_cohere(raw: JsonObject) -> EmbedResponse:
    found = raw.get("embeddings")
    by_type = isinstance(found, dict)
    extra = without(raw, frozenset({"embeddings", "id", "response_type"})) or {}
    rows = found
    if isinstance(found, dict):
        rows = found.get("float")
        if len(found) > 1:
            extra["embeddings"] = {key: value for key, value in found.items() if key != "float"}
    where = "embeddings.float" if by_type else "embeddings"
    own_id = raw.get("id")
    return EmbedResponse(
        embeddings=tuple(Embedding(place, vector(row, f"{where}[{place}]")) for place, row in enumerate(arr(rows, where))),
        id=own_id if isinstance(own_id, str) else "",
        dialect=NAME,
        extra=extra or None,
        form=("cohere", "float") if by_type else ("cohere",),
    )


def _parse_nova(raw: JsonObject) -> EmbedResponse:
    items = [obj(item, f"embeddings[{place}]") for place, item in enumerate(raw["embeddings"])]
    return EmbedResponse(
        embeddings=tuple(
            Embedding(place, vector(item.get("embedding"), f"embeddings[{place}].embedding"), without(item, frozenset({"embedding"})))
            for place, item in enumerate(items)
        ),
        dialect=NAME,
        extra=without(raw, frozenset({"embeddings"})),
        form=("nova",),
    )


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
