"""Which headers cross the gateway, in both directions: those listed here, and no others (faults A18, translation cases 68, 90, 113)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from headgate.client import Target
from headgate.gateway.query import values_in
from headgate.serving.request import Request
from headgate.wire.http import Headers, Send


class Wire(msgspec.Struct, frozen=True):
    """What passes through for one dialect: the path at the provider, request headers, and query parameters with their accepted values.

    `model_in_path` says that path and not body names the model, and `path` is for whole answers, `stream_path` for streams. With
    `asks_usage`, streams carry usage only when they are asked to, by `stream_options`.
    """

    path: str
    headers: tuple[str, ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    stream_path: str = ""
    model_in_path: bool = False
    asks_usage: bool = False


WIRES: dict[str, Wire] = {
    "openai_chat": Wire("/chat/completions", asks_usage=True),
    "openai_completions": Wire("/completions", asks_usage=True),
    "openai_responses": Wire("/responses"),
    "anthropic_messages": Wire("/v1/messages", ("anthropic-version", "anthropic-beta"), (("beta", "true"),)),
    "gemini_generate": Wire(
        "/v1beta/models/{model}:generateContent",
        stream_path="/v1beta/models/{model}:streamGenerateContent?alt=sse",
        model_in_path=True,
    ),
}

_BACK = frozenset(
    {"retry-after", "retry-after-ms", "x-should-retry", "x-request-id", "request-id", "openai-processing-ms", "openai-version"}
)
_LIMITS = ("x-ratelimit-", "anthropic-ratelimit-")
_MOST = 1024
_crossing: dict[str, str] = {"content-type": ""}
"""Name of a provider's header → the name a client sees, "" for one that stays behind."""


def upstream_path(wire: Wire, request: Request, target: Target, stream: bool) -> str:
    """The path of the call, with those of the client's query parameters that the provider is to see."""
    if wire.model_in_path:
        return (wire.stream_path if stream else wire.path).format(model=quote(target.model, safe="/"))
    wanted = values_in(request.query) if wire.query else {}
    kept = "&".join(f"{name}={value}" for name, value in wire.query if value in wanted.get(name, ()))
    return f"{wire.path}?{kept}" if kept else wire.path


def upstream_headers(wire: Wire, request: Request, target: Target, call: Send, request_id: str) -> Headers:
    """The target's headers for `call`, with the client's own in the place of those that the wire lets through."""
    own = tuple((name, ", ".join(values)) for name in wire.headers if (values := request.values(name)))
    replaced = {name for name, _ in own}
    return (*(pair for pair in target.headers(call, request_id) if pair[0] not in replaced), *own)


def returned_headers(headers: Mapping[str, str]) -> Headers:
    """What of a provider's response headers the client sees. The provider's rate limits are not the client's: they are renamed."""
    kept = [("content-type", headers.get("content-type", "application/json"))]
    for name, value in headers.items():
        seen = _crossing.get(name)
        if seen is None:
            seen = _crosses(name)
        if seen:
            kept.append((seen, value))
    return tuple(kept)


def _crosses(name: str) -> str:
    seen = name if name in _BACK else f"x-upstream-{name}" if name.startswith(_LIMITS) else ""
    if len(_crossing) < _MOST:
        _crossing[name] = seen
    return seen
