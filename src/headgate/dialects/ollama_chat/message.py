"""The inside of a message, the same in requests and answers: content, thinking, images and tool calls.

Marks: "content:absent", "content:null", "thinking:empty", "images:empty", "tool_calls:empty". Keys that cannot be held are returned as
the rest. Blocks come in the order thinking, images, text, calls: a server puts the images before the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headgate.dialects.ollama_chat.calls import CallIds, parse_call, render_own_call
from headgate.dialects.ollama_chat.values import image_type, malformed
from headgate.domain.content import Block, Media, Refusal, Text, Thinking, ToolCall
from headgate.errors import Unsupported
from headgate.wire.json import Json, JsonObject, type_name

KEYS = frozenset({"content", "thinking", "images", "tool_calls"})


def parse_inside(raw: JsonObject, path: str, ids: CallIds, marks: list[str], rest: JsonObject) -> tuple[Block, ...]:
    """The blocks of a message. Raises `WireError` for content that is no text and for malformed calls."""
    return (
        *_thinking(raw, marks, rest),
        *_images(raw, marks, rest),
        *_content(raw, path, marks),
        *_calls(raw, path, ids, marks, rest),
    )


def _thinking(raw: JsonObject, marks: list[str], rest: JsonObject) -> Iterable[Block]:
    if "thinking" not in raw:
        return ()
    value = raw["thinking"]
    if isinstance(value, str) and value:
        return (Thinking(value),)
    if value == "":
        marks.append("thinking:empty")
    else:
        rest["thinking"] = value
    return ()


def _images(raw: JsonObject, marks: list[str], rest: JsonObject) -> Iterable[Block]:
    if "images" not in raw:
        return ()
    value = raw["images"]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        rest["images"] = value
        return ()
    if not value:
        marks.append("images:empty")
    return [Media("image", mime=image_type(item), data=item) for item in value]


def _content(raw: JsonObject, path: str, marks: list[str]) -> Iterable[Block]:
    value = raw.get("content")
    if isinstance(value, str):
        return (Text(value),) if value else ()
    if value is not None:
        raise malformed(f"{path}.content", f"a string, not {type_name(value)}")
    marks.append("content:null" if "content" in raw else "content:absent")
    return ()


def _calls(raw: JsonObject, path: str, ids: CallIds, marks: list[str], rest: JsonObject) -> Iterable[Block]:
    if "tool_calls" not in raw:
        return ()
    value = raw["tool_calls"]
    if value is None:
        rest["tool_calls"] = None
        return ()
    if not isinstance(value, list):
        raise malformed(f"{path}.tool_calls", f"an array, not {type_name(value)}")
    if not value:
        marks.append("tool_calls:empty")
    return [parse_call(item, f"{path}.tool_calls[{index}]", ids) for index, item in enumerate(value)]


def render_inside(blocks: Sequence[Block], marks: Sequence[str], path: str) -> JsonObject:
    """The keys of a message that came from this wire. Raises `Unsupported` for blocks it could not have held."""
    shape: JsonObject = {}
    texts = [block.text for block in blocks if isinstance(block, Text | Refusal)]
    if texts or not ("content:absent" in marks or "content:null" in marks):
        shape["content"] = "".join(texts)
    elif "content:null" in marks:
        shape["content"] = None
    lists: dict[str, list[Json]] = {
        "thinking": [block.text for block in blocks if isinstance(block, Thinking)],
        "images": [_image(block, path) for block in blocks if isinstance(block, Media)],
        "tool_calls": [_call(block, path) for block in blocks if isinstance(block, ToolCall)],
    }
    for key, items in lists.items():
        if items or f"{key}:empty" in marks:
            shape[key] = "".join(items) if key == "thinking" else items
    return shape


def _image(block: Media, path: str) -> str:
    if block.kind != "image" or block.data is None:
        raise Unsupported(f"{path}: Ollama takes images as base64 data alone", param=path, hint="send the image's bytes")
    return block.data


def _call(block: ToolCall, path: str) -> Json:
    shape = render_own_call(block)
    if shape is None:
        raise Unsupported(f"{path}.tool_calls: the arguments are not a JSON object, as Ollama needs", param=f"{path}.tool_calls")
    return shape
