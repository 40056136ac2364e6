"""What makes two requests the same: whose they are, where they went, and what they say, all of it (faults H9, H11). Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import NoReturn

import msgspec

from headgate.ledger.principal import Principal
from headgate.wire.http import Headers
from headgate.wire.json import Json, JsonObject

_FORM = b"headgate answer 2"


def cache_key(principal: Principal, surface: str, path: str, body: bytes, vary: Headers = ()) -> bytes:
    """The SHA-256 of whose request it is, what the key may do, and the whole request.

    `path` includes the query; `vary` are the request's headers that change answers, such as ``anthropic-beta``.
    """
    form, content = canonical(body)
    rights = (*sorted(principal.scopes), "", str(len(principal.models)), *sorted(principal.models))
    fields = (principal.tenant, surface, path, *rights, *(part for pair in vary for part in pair))
    return digest(_FORM, *(field.encode("utf-8", "surrogatepass") for field in fields), form, content)


def digest(*parts: bytes) -> bytes:
    """SHA-256 over parts, each with its length before it, so that no two lists of parts are alike."""
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big"))
        found.update(part)
    return found.digest()


def canonical(body: bytes) -> tuple[bytes, bytes]:
    """A JSON text without the freedom JSON leaves: blanks, order of keys, escapes. What another reader might read otherwise stays as it is.

    That is what is no JSON, names a key twice, or has numbers that are none; the first value says which form it is.
    """
    try:
        value = json.loads(body, object_pairs_hook=_unique, parse_constant=_refuse)
        return b"json", json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
    except (ValueError, RecursionError):
        return b"bytes", body


def _unique(pairs: list[tuple[str, Json]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_BINDING = ("previous_response_id", "conversation", "background", "container", "mcp_servers", "web_search_options", "plugins", "store")
_CLIENT_TOOLS = frozenset({"function", "custom"})
_DECLARATIONS = frozenset({"functionDeclarations", "function_declarations"})
_FALSE = (b"false", b"null", b"[]", b"{}")


def uncacheable(surface: str, fields: Mapping[str, msgspec.Raw]) -> str | None:
    """The field because of which an answer must not be given twice; None when it may.

    Such are requests bound to what a provider keeps, and tools that the provider itself runs, which act or look at a world that changes.
    OpenAI's Responses keep every answer unless ``store`` is false.
    """
    for name in _BINDING:
        raw = fields.get(name)
        if raw is not None and bytes(raw).strip() not in _FALSE:
            return name
    if surface == "openai_responses" and bytes(fields.get("store", b"null")).strip() != b"false":
        return "store"
    tools = fields.get("tools")
    return None if tools is None or all(_runs_at_client(tool) for tool in _list(tools)) else "tools"


def _list(raw: msgspec.Raw) -> Iterable[Json]:
    """The elements of a list; for what is none, one that is no tool."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return (None,)
    return value if isinstance(value, list) else () if value is None else (None,)


def _runs_at_client(tool: Json) -> bool:
    if not isinstance(tool, dict):
        return False
    kind = tool.get("type")
    if kind is not None:
        return isinstance(kind, str) and kind in _CLIENT_TOOLS
    return "input_schema" in tool or set(tool) <= _DECLARATIONS
