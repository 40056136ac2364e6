"""Asking a provider how many tokens a request has, without asking the model: the same bodies as chat, at another path.

Sources: API references of OpenAI (Responses, input tokens), Anthropic (Count tokens), Gemini (models.countTokens) and Vertex AI
(countTokens); recorded traffic of all four.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headgate.dialects import anthropic_messages, gemini_generate, openai_responses
from headgate.dialects.base import RenderedRequest
from headgate.domain.capabilities import Capabilities
from headgate.domain.request import Request
from headgate.errors import WireError
from headgate.wire.json import JsonObject, decode, encode, obj


class CountDialect(msgspec.Struct, frozen=True):
    """One wire format for counting. Errors are those of the chat wire it belongs to.

    * `render_request(request, capabilities)`: as in `ChatDialect`; what does not count (sampling, limits) is left out without a note.
    * `parse_request(body, path)`: raises `WireError` with `param` for malformed input.
    * `render_response(tokens)` / `parse_response(body)`: raises `WireError` for what holds no count.
    """

    name: str
    render_request: Callable[[Request, Capabilities], RenderedRequest]
    parse_request: Callable[[bytes, str], Request]
    render_response: Callable[[int], bytes]
    parse_response: Callable[[bytes], int]


def counted(body: bytes, key: str) -> int:
    """The count under `key` of an answer. Raises `WireError` when there is none."""
    value = obj(decode(body, what="the count"), "body").get(key)
    if type(value) is not int or value < 0:
        raise WireError(f"the answer holds no {key}", param=key)
    return value


def _bare(request: Request) -> Request:
    """The request without what says nothing about its size."""
    return msgspec.structs.replace(
        request, stream=None, stream_usage=None, max_tokens=None, temperature=None, top_p=None, top_k=None, stop=()
    )


ANTHROPIC_PATH = "/v1/messages/count_tokens"
_ANTHROPIC_KEYS = frozenset(
    {
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "cache_control",
        "output_config",
        "mcp_servers",
        "context_management",
    }
)


def _anthropic_request(request: Request, capabilities: Capabilities) -> RenderedRequest:
    rendered = anthropic_messages.DIALECT.render_request(_bare(request), capabilities)
    payload = {key: value for key, value in rendered.payload.items() if key in _ANTHROPIC_KEYS}
    notes = tuple(note for note in rendered.notes if note.field != "max_tokens")
    return msgspec.structs.replace(rendered, path=ANTHROPIC_PATH, payload=payload, notes=notes)


def _anthropic_parse(body: bytes, path: str) -> Request:
    return anthropic_messages.DIALECT.parse_request(body, path)


ANTHROPIC = CountDialect(
    name="anthropic_count",
    render_request=_anthropic_request,
    parse_request=_anthropic_parse,
    render_response=lambda tokens: encode({"input_tokens": tokens}),
    parse_response=lambda body: counted(body, "input_tokens"),
)

OPENAI_PATH = "/responses/input_tokens"
_OPENAI_KEYS = frozenset(
    {
        *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "truncation"),
        *("previous_response_id", "conversation"),
    }
)


def _openai_request(request: Request, capabilities: Capabilities) -> RenderedRequest:
    rendered = openai_responses.DIALECT.render_request(_bare(request), capabilities)
    payload = {key: value for key, value in rendered.payload.items() if key in _OPENAI_KEYS}
    return msgspec.structs.replace(rendered, path=OPENAI_PATH, payload=payload)


OPENAI = CountDialect(
    name="openai_count",
    render_request=_openai_request,
    parse_request=openai_responses.DIALECT.parse_request,
    render_response=lambda tokens: encode({"object": "response.input_tokens", "input_tokens": tokens}),
    parse_response=lambda body: counted(body, "input_tokens"),
)

_GENERATE, _COUNT = ":generateContent", ":countTokens"


def _google(request: Request, capabilities: Capabilities) -> tuple[str, RenderedRequest]:
    rendered = gemini_generate.DIALECT.render_request(_bare(request), capabilities)
    return rendered.path.replace(_GENERATE, _COUNT), rendered


def _gemini_request(request: Request, capabilities: Capabilities) -> RenderedRequest:
    """A system prompt and tools count only inside `generateContentRequest`, which names the model once more."""
    path, rendered = _google(request, capabilities)
    inner: JsonObject = {"model": path.partition("/models/")[2].removesuffix(_COUNT), **rendered.payload}
    inner["model"] = f"models/{inner['model']}"
    return msgspec.structs.replace(rendered, path=path, payload={"generateContentRequest": inner})


def _vertex_request(request: Request, capabilities: Capabilities) -> RenderedRequest:
    path, rendered = _google(request, capabilities)
    return msgspec.structs.replace(rendered, path=path)


def _google_parse(body: bytes, path: str) -> Request:
    whole = obj(decode(body, what="the request body"), "body")
    inner = whole.get("generateContentRequest")
    plain = encode({key: value for key, value in inner.items() if key != "model"}) if isinstance(inner, dict) else body
    return gemini_generate.DIALECT.parse_request(plain, path.replace(_COUNT, _GENERATE))


def _google_response(tokens: int) -> bytes:
    return encode({"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]})


GEMINI = CountDialect(
    name="gemini_count",
    render_request=_gemini_request,
    parse_request=_google_parse,
    render_response=_google_response,
    parse_response=lambda body: counted(body, "totalTokens"),
)
VERTEX = msgspec.structs.replace(GEMINI, name="vertex_count", render_request=_vertex_request)
