"""Ollama's ``/api/embed``, and the older ``/api/embeddings`` of clients that still send it (Ollama API reference).

Spelling marks: "input:string", "legacy" (``/api/embeddings``: `prompt` in, one `embedding` out).
"""

from __future__ import annotations

from headgate.dialects.base import RenderedError, RenderedRequest
from headgate.dialects.embed import EmbedDialect
from headgate.dialects.embed_common import Losses, counted, input_usage, positive, texts, vector, without
from headgate.dialects.openai_chat.errors import error_of, parse_error, provider_error
from headgate.dialects.openai_chat.errors import render_error as render_openai_error
from headgate.domain.capabilities import Capabilities
from headgate.domain.embedding import Embedding, EmbedRequest, EmbedResponse
from headgate.errors import ProviderError, WireError
from headgate.wire.json import JsonObject, arr, decode, encode, obj, text

NAME = "ollama_embeddings"
PATH, LEGACY = "/api/embed", "/api/embeddings"
MOST = 512
"""Inputs of one call. The server sets no bound, but works on all of them before it answers."""
_COUNTS = frozenset({"model", "embeddings", "embedding"})


def render_request(request: EmbedRequest, capabilities: Capabilities) -> RenderedRequest:
    """Write a request of any origin. Raises `Unsupported` for tokens."""
    losses = Losses(request, NAME)
    form = request.form if losses.own else ()
    losses.unless_none("user", "this wire does not take the name of a user")
    losses.unless_none("task", "this wire has no word for what vectors are for")
    words = list(texts(request))
    payload: JsonObject = {"model": request.model}
    if "legacy" in form:
        payload["prompt"] = words[0]
    else:
        payload["input"] = words[0] if "input:string" in form and len(words) == 1 else words
    if request.dimensions is not None:
        payload["dimensions"] = request.dimensions
    if losses.own:
        payload.update(request.extra or {})
    return RenderedRequest(LEGACY if "legacy" in form else PATH, payload, tuple(losses.notes))


def parse_request(body: bytes, path: str) -> EmbedRequest:
    """Read a request of either kind. Raises `WireError` with `param` for malformed input."""
    raw = obj(decode(body, what="the request body"), "body")
    legacy = path.partition("?")[0].endswith(LEGACY)
    key = "prompt" if legacy else "input"
    value, form = raw.get(key), ("legacy",) if legacy else ()
    if legacy:
        inputs: tuple[str, ...] = (text(value, key),)
    elif isinstance(value, str):
        inputs, form = (value,), ("input:string",)
    else:
        inputs = tuple(text(item, f"input[{place}]") for place, item in enumerate(arr(value, key)))
    if not inputs:
        raise WireError("input must not be empty", param="input")
    dimensions = raw.get("dimensions")
    known = {"model", key} if dimensions is None else {"model", key, "dimensions"}
    return EmbedRequest(
        model=text(raw.get("model"), "model"),
        inputs=inputs,
        dimensions=None if dimensions is None else positive(dimensions, "dimensions"),
        dialect=NAME,
        extra=without(raw, frozenset(known)),
        form=form,
    )


def render_response(response: EmbedResponse, request: EmbedRequest) -> bytes:
    """Write an answer of any origin, in the form `request` came in."""
    own = response.dialect == NAME
    vectors = [list(item.values) for item in response.embeddings]
    if "legacy" in (request.form if request.dialect == NAME else response.form):
        return encode({"embedding": vectors[0] if vectors else [], **((response.extra if own else None) or {})})
    payload: JsonObject = {"model": response.model, "embeddings": vectors}
    if response.usage is not None:
        payload["prompt_eval_count"] = response.usage.input_total
    return encode({**payload, **((response.extra if own else None) or {})})


def parse_response(body: bytes, headers: dict[str, str]) -> EmbedResponse:
    """Read an answer of either kind. Raises `ProviderError` for an error in it, `WireError` for anything malformed."""
    raw = obj(decode(body, what="the answer"), "body")
    legacy = "embedding" in raw
    if raw.get("error") and not legacy and "embeddings" not in raw:
        raise provider_error(None, {}, error_of(raw) or {}, body)
    rows = [raw["embedding"]] if legacy else arr(raw.get("embeddings"), "embeddings")
    model, count = raw.get("model"), counted(raw.get("prompt_eval_count"))
    known = _COUNTS if count is None else _COUNTS | {"prompt_eval_count"}
    return EmbedResponse(
        embeddings=tuple(Embedding(place, vector(row, f"embeddings[{place}]")) for place, row in enumerate(rows)),
        model=model if isinstance(model, str) else "",
        usage=input_usage(count, _native(raw)),
        dialect=NAME,
        extra=without(raw, known),
        form=("legacy",) if legacy else (),
    )


def _native(raw: JsonObject) -> JsonObject | None:
    """The counts and durations of an answer."""
    return {key: value for key, value in raw.items() if type(value) is int} or None


def render_error(error: ProviderError) -> RenderedError:
    """Write an error as Ollama does: one line of text, with the status other surfaces have."""
    rendered = render_openai_error(error)
    return RenderedError(rendered.status, encode({"error": error.message}), rendered.headers)


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
