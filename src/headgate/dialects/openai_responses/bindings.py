"""What only the account a request was made with can serve, and the same request without it (translation case 75).

For whoever chooses where a request goes: another account must not be sent these, since it would refuse them or, worse, read another's.
Towards another wire `domain.request.require_unbound` refuses what stands for content, and encrypted thoughts are dropped with a note.
"""

from __future__ import annotations

from collections.abc import Iterator

from headgate.dialects.base import Note
from headgate.dialects.openai_responses.render import render_request
from headgate.dialects.openai_responses.request import REFERENCES, parse_request
from headgate.dialects.openai_responses.words import NAME, PATH
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.request import Request
from headgate.wire.json import Json, JsonObject, encode

_OWN_IDS = frozenset({"message", "function_call", "function_call_output"})
"""Items that say all they are, so that their id is no more than a name."""

_TOOL_KEYS = ("vector_store_ids", "container", "connector_id")


def bound_to_account(request: Request) -> tuple[str, ...]:
    """Paths in the request body that only its own account can serve; none for a request of another wire.

    These are references to kept content, encrypted or kept thoughts and compactions, files by id, and stores and containers of tools.
    """
    if request.dialect != NAME:
        return ()
    payload = render_request(request, ANY_MODEL).payload
    found = [key for key in REFERENCES if payload.get(key) is not None]
    found += [path for index, item in enumerate(_items(payload)) for path in _bound_in(item, f"input[{index}]")]
    found += [path for index, tool in enumerate(payload.get("tools") or ()) for path in _bound_tool(tool, f"tools[{index}]")]
    return tuple(found)


def without_bindings(request: Request) -> tuple[Request, tuple[Note, ...]]:
    """The request without references, encrypted thoughts and ids of items, each loss noted, for another account of the same wire.

    Files, stores and containers stay, because nothing could stand for them: `bound_to_account` still lists those.
    """
    if request.dialect != NAME:
        return request, ()
    payload = dict(render_request(request, ANY_MODEL).payload)
    notes = [Note(key, "dropped", "kept by the account it was made with") for key in REFERENCES if payload.get(key) is not None]
    for key in REFERENCES:
        payload.pop(key, None)
    kept: list[Json] = []
    for index, item in enumerate(_items(payload)):
        if _is_bound(item):
            notes.append(Note(f"input[{index}]", "dropped", f"{item.get('type', 'item_reference')} of the account it was made with"))
        else:
            kept.append({key: value for key, value in item.items() if key != "id"} if item.get("type") in _OWN_IDS else item)
    if not isinstance(payload.get("input"), str):
        payload["input"] = kept
    return parse_request(encode(payload), PATH), tuple(notes)


def _items(payload: JsonObject) -> list[JsonObject]:
    items = payload.get("input")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _is_bound(item: JsonObject) -> bool:
    """An item that is kept, or encrypted, by its account."""
    kind = item.get("type")
    reference = kind == "item_reference" or (kind is None and "role" not in item)
    return reference or kind == "reasoning" or isinstance(item.get("encrypted_content"), str)


def _bound_in(item: JsonObject, path: str) -> Iterator[str]:
    if isinstance(item.get("encrypted_content"), str):
        yield f"{path}.encrypted_content"
    elif _is_bound(item):
        yield path
    for key in ("content", "output"):
        parts = item.get(key)
        for number, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, dict) and isinstance(part.get("file_id"), str):
                yield f"{path}.{key}[{number}].file_id"


def _bound_tool(tool: Json, path: str) -> Iterator[str]:
    """Stores, containers and connections of a hosted tool; a container that is made for the call is nobody's."""
    for key in _TOOL_KEYS:
        value = tool.get(key) if isinstance(tool, dict) else None
        if isinstance(value, str | list) and value:
            yield f"{path}.{key}"
