"""OpenAI's embeddings, spoken by Together, Azure, Mistral, Voyage and others as well (OpenAI API reference, "Embeddings"; recordings).

Vectors come as arrays of numbers, or as base64 of little-endian 32-bit floats, which OpenAI's own clients ask for. `encoding_format` is
never sent as null (translation case 107). `input_type` ("query", "document"), which some of these providers have, is the task.
Spelling marks: "input:string", "input:tokens" (one input without its array); in an answer "base64".
"""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.base import RenderedRequest
from headgate.dialects.embed import EmbedDialect
from headgate.dialects.embed_common import Losses, counted, packed, parse_task, positive, unpacked, without
from headgate.dialects.openai_chat.errors import error_of, parse_error, provider_error, render_error
from headgate.domain.capabilities import Capabilities
from headgate.domain.embedding import Embedding, EmbedInput, EmbedRequest, EmbedResponse
from headgate.domain.usage import Usage
from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject, arr, decode, encode, obj, text

NAME = "openai_embeddings"
PATH = "/embeddings"
MOST = 2048
"""Inputs of one call (OpenAI API reference)."""
WORDS = {"query": "query", "document": "document"}

_TOP = frozenset({"object", "data", "model", "usage", "id"})
_ITEM = frozenset({"object", "index", "embedding"})


def render_request(request: EmbedRequest, capabilities: Capabilities) -> RenderedRequest:
    """Write a request of any origin. OpenAI has no task: one of another wire is dropped."""
    losses = Losses(request, NAME)
    form = request.form if losses.own else ()
    payload: JsonObject = {"model": request.model, "input": _render_input(request.inputs, form)}
    for key, value in (("encoding_format", request.encoding), ("dimensions", request.dimensions), ("user", request.user)):
        if value is not None:
            payload[key] = value
    if losses.own:
        if request.task is not None:
            payload["input_type"] = request.task
        payload.update(request.extra or {})
    else:
        losses.unless_none("task", "this wire has no word for what vectors are for")
    return RenderedRequest(PATH, payload, tuple(losses.notes))


def _render_input(inputs: tuple[EmbedInput, ...], form: tuple[str, ...]) -> Json:
    items = [item if isinstance(item, str) else list(item) for item in inputs]
    return items[0] if len(items) == 1 and ("input:string" in form or "input:tokens" in form) else items


def parse_request(body: bytes, path: str) -> EmbedRequest:
    """Read a request. `path` says nothing on this wire. Raises `WireError` with `param` for malformed input."""
    raw = obj(decode(body, what="the request body"), "body")
    fields: dict[str, Json] = {"dialect": NAME}
    extra: JsonObject = {}
    for key, value in raw.items():
        reader = _READERS.get(key)
        if reader is None or (value is None and key not in _NEEDED):
            if key != "encoding_format":
                extra[key] = value
        elif not reader(fields, value):
            extra[key] = value
    for key, field in _NEEDED.items():
        if field not in fields:
            raise WireError(f"{key} must be given", param=key)
    return EmbedRequest(**fields, extra=extra or None)


_NEEDED = {"model": "model", "input": "inputs"}


def _model(fields: dict[str, Json], value: Json) -> bool:
    fields["model"] = text(value, "model")
    return True


def _input(fields: dict[str, Json], value: Json) -> bool:
    if isinstance(value, str):
        fields["inputs"], fields["form"] = (value,), ("input:string",)
        return True
    items = arr(value, "input")
    if not items:
        raise WireError("input must not be empty", param="input")
    if _are_tokens(items):
        fields["inputs"], fields["form"] = (tuple(items),), ("input:tokens",)
    else:
        fields["inputs"] = tuple(_one_input(item, f"input[{place}]") for place, item in enumerate(items))
    return True


def _one_input(item: Json, param: str) -> EmbedInput:
    if isinstance(item, str):
        return item
    if isinstance(item, list) and item and _are_tokens(item):
        return tuple(item)
    raise WireError(f"{param} must be a string or an array of tokens", param=param)


def _are_tokens(items: list[Json]) -> bool:
    return all(type(item) is int for item in items)


def _encoding(fields: dict[str, Json], value: Json) -> bool:
    if value not in ("float", "base64"):
        raise WireError('encoding_format must be "float" or "base64"', param="encoding_format")
    fields["encoding"] = value
    return True


def _dimensions(fields: dict[str, Json], value: Json) -> bool:
    fields["dimensions"] = positive(value, "dimensions")
    return True


def _user(fields: dict[str, Json], value: Json) -> bool:
    fields["user"] = text(value, "user")
    return True


def _task(fields: dict[str, Json], value: Json) -> bool:
    task = parse_task(value, WORDS) if isinstance(value, str) else None
    fields["task"] = task
    return task is not None


_READERS: dict[str, Callable[[dict[str, Json], Json], bool]] = {
    "model": _model,
    "input": _input,
    "encoding_format": _encoding,
    "dimensions": _dimensions,
    "user": _user,
    "input_type": _task,
}
"""Key -> reader, which tells whether it could hold the value; what it cannot is kept in `extra`."""


def render_response(response: EmbedResponse, request: EmbedRequest) -> bytes:
    """Write an answer of any origin, the vectors as `request` wants them (numbers, unless it says base64)."""
    own = response.dialect == NAME
    encoding = request.encoding or ("base64" if own and "base64" in response.form else "float")
    data = [_render_item(item, encoding == "base64", own) for item in response.embeddings]
    payload: JsonObject = {"object": "list", "data": data, "model": response.model}
    if own and response.id:
        payload["id"] = response.id
    if response.usage is not None:
        payload["usage"] = _render_usage(response.usage, own)
    if own:
        payload.update(response.extra or {})
    return encode(payload)


def _render_item(item: Embedding, in_base64: bool, own: bool) -> JsonObject:
    values: Json = packed(item.values) if in_base64 else list(item.values)
    return {"object": "embedding", "index": item.index, "embedding": values, **((item.extra if own else None) or {})}


def _render_usage(usage: Usage, own: bool) -> JsonObject:
    if own and usage.native is not None:
        return usage.native
    return {"prompt_tokens": usage.input_total, "total_tokens": usage.total}


def parse_response(body: bytes, headers: dict[str, str]) -> EmbedResponse:
    """Read an answer. Raises `ProviderError` for an error object in it, `WireError` for anything malformed."""
    raw = obj(decode(body, what="the answer"), "body")
    if raw.get("error") and "data" not in raw:
        raise provider_error(None, {}, error_of(raw) or {}, body)
    items = [obj(item, f"data[{place}]") for place, item in enumerate(arr(raw.get("data"), "data"))]
    own_id, model = raw.get("id"), raw.get("model")
    extra = without(raw, _TOP) or {}
    usage = parse_usage(raw.get("usage"))
    extra.update({key: raw[key] for key, held in (("object", raw.get("object") == "list"), ("usage", usage)) if key in raw and not held})
    return EmbedResponse(
        embeddings=_parse_items(items),
        model=model if isinstance(model, str) else "",
        usage=usage,
        id=own_id if isinstance(own_id, str) else "",
        dialect=NAME,
        extra=extra or None,
        form=("base64",) if items and isinstance(items[0].get("embedding"), str) else (),
    )


def _parse_items(items: list[JsonObject]) -> tuple[Embedding, ...]:
    """The vectors in the order of their indices; in the order they came in when those are no such order (some servers write zeros)."""
    told = [item["index"] for item in items if type(item.get("index")) is int]
    indices = told if sorted(told) == list(range(len(items))) else list(range(len(items)))
    found = [
        Embedding(index, unpacked(item.get("embedding"), f"data[{place}].embedding"), without(item, _ITEM))
        for place, (index, item) in enumerate(zip(indices, items, strict=True))
    ]
    return tuple(sorted(found, key=lambda item: item.index))


def parse_usage(value: Json) -> Usage | None:
    """Tokens of the input: `prompt_tokens`, else `total_tokens` (Voyage); None when there is no count."""
    if not isinstance(value, dict):
        return None
    count = counted(value.get("prompt_tokens"))
    if count is None:
        count = counted(value.get("total_tokens"))
    return None if count is None else Usage(input_uncached=count, native=value)


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
