"""Content parts of messages and tool outputs: text, refusals, images, files and audio, in both directions."""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.openai_chat.data_url import parse_data_url, render_data_url, sniff
from headgate.dialects.openai_chat.parts import parse_parts as parse_chat_parts
from headgate.dialects.openai_chat.parts import render_part as render_chat_part
from headgate.dialects.openai_responses.words import NAME, malformed
from headgate.domain.content import Block, Cache, Media, Opaque, Refusal, Text
from headgate.errors import Unsupported
from headgate.wire.json import Json, JsonObject

PART = "part"
"""`Opaque.place` of an unknown part, which lies inside a message; an unknown item has another place."""

SIGNATURE = "signature"
"""Extension key with the token some wires attach to texts and calls and want back (case 74)."""

BREAKPOINT = "prompt_cache_breakpoint"
BARE = "bare"
"""`Media.form` of file data that is no data URL."""


def text_type(role: str) -> str:
    """The type of a text part: what the model said, or what it was told."""
    return "output_text" if role == "assistant" else "input_text"


def parse_part(item: Json, role: str, param: str) -> Block:
    """Read one part. A part of unknown type, or in an unknown shape, becomes `Opaque`. Raises `WireError` when it is no object."""
    if type(item) is not dict:
        raise malformed(param, "an object")
    kind, text = item.get("type"), item.get("text")
    if type(kind) is not str:
        raise malformed(f"{param}.type", "a string")
    if kind in ("input_text", "output_text"):
        if type(text) is not str:
            raise malformed(f"{param}.text", "a string")
        if kind == text_type(role):
            return Text(text) if len(item) == 2 else _text(item, text, ("type", "text"))
        return _text(item, text, ("text",))
    reader = _READERS.get(kind)
    return (reader(item) if reader is not None else None) or Opaque(item, NAME, PART)


def parse_cache(value: Json) -> Cache | None:
    """A `prompt_cache_breakpoint` in its exact shape, else None."""
    if not isinstance(value, dict) or value.get("mode") != "explicit":
        return None
    if len(value) == 1:
        return Cache()
    ttl = value.get("ttl")
    return Cache(ttl) if len(value) == 2 and isinstance(ttl, str) else None


def _split(item: JsonObject, known: tuple[str, ...]) -> tuple[Cache | None, JsonObject | None]:
    """The cache breakpoint of a part and the keys nobody named."""
    rest = {key: value for key, value in item.items() if key not in known}
    cache = parse_cache(rest.get(BREAKPOINT))
    if cache is not None:
        del rest[BREAKPOINT]
    return cache, rest or None


def _text(item: JsonObject, text: str, known: tuple[str, ...]) -> Text:
    signature = item.get(SIGNATURE)
    if not isinstance(signature, str):
        cache, extra = _split(item, known)
        return Text(text, cache, extra=extra)
    cache, extra = _split(item, (*known, SIGNATURE))
    return Text(text, cache, signature, extra)


def _refusal(item: JsonObject) -> Refusal | None:
    text = item.get("refusal")
    if not isinstance(text, str):
        return None
    return Refusal(text, {key: value for key, value in item.items() if key not in ("type", "refusal")} or None)


def _image(item: JsonObject) -> Media | None:
    url, file_id, detail = item.get("image_url"), item.get("file_id"), item.get("detail")
    source = "image_url" if isinstance(url, str) else "file_id"
    known = ("type", source, "detail") if isinstance(detail, str) else ("type", source)
    cache, extra = _split(item, known)
    word = detail if isinstance(detail, str) else None
    if isinstance(url, str):
        found = parse_data_url(url)
        if found is None:
            return Media("image", url=url, detail=word, cache=cache, extra=extra)
        return Media("image", found.mime, found.data, detail=word, cache=cache, extra=extra, form=found.form)
    return Media("image", file_id=file_id, detail=word, cache=cache, extra=extra) if isinstance(file_id, str) else None


def _file(item: JsonObject) -> Media | None:
    source = next((key for key in ("file_data", "file_url", "file_id") if isinstance(item.get(key), str)), None)
    if source is None:
        return None
    value: str = item[source]
    name = item.get("filename")
    known = ("type", source, "filename") if isinstance(name, str) else ("type", source)
    cache, extra = _split(item, known)
    word = name if isinstance(name, str) else None
    if source == "file_url":
        return Media("document", url=value, name=word, cache=cache, extra=extra)
    if source == "file_id":
        return Media("document", file_id=value, name=word, cache=cache, extra=extra)
    found = parse_data_url(value)
    if found is None:
        return Media("document", sniff(value), value, name=word, cache=cache, extra=extra, form=BARE)
    return Media("document", found.mime, found.data, name=word, cache=cache, extra=extra, form=found.form)


def _audio(item: JsonObject) -> Media | None:
    """Audio is written as on the chat wire."""
    block = parse_chat_parts([item], "input_audio")[0]
    return block if isinstance(block, Media) else None


_READERS: dict[str, Callable[[JsonObject], Block | None]] = {
    "refusal": _refusal,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
}


def render_part(block: Text | Media | Refusal, role: str) -> JsonObject:
    """Write one part, extra keys included. Raises `Unsupported` for media this wire cannot carry."""
    part: JsonObject
    if isinstance(block, Text):
        part = {"type": text_type(role), "text": block.text}
        if block.signature is not None:
            part[SIGNATURE] = block.signature
    elif isinstance(block, Refusal):
        part = {"type": "refusal", "refusal": block.text}
    else:
        part = render_media(block)
    if not isinstance(block, Refusal) and block.cache is not None:
        ttl = block.cache.ttl
        part[BREAKPOINT] = {"mode": "explicit"} if ttl is None else {"mode": "explicit", "ttl": ttl}
    if block.extra:
        part.update(block.extra)
    return part


def render_media(block: Media) -> JsonObject:
    """Write an image, a file or audio, without its extra keys. Raises `Unsupported` for video and for what has no data or address."""
    if block.kind == "image":
        return _render_image(block)
    if block.kind == "document":
        return _render_file(block)
    if block.kind == "audio":
        return render_chat_part(Media("audio", block.mime, block.data, block.url, block.file_id, form=block.form))
    raise Unsupported(f"this wire takes no {block.kind}", param=block.kind)


def _render_image(block: Media) -> JsonObject:
    part: JsonObject = {"type": "input_image"}
    if block.file_id is not None:
        part["file_id"] = block.file_id
    elif block.url is not None:
        part["image_url"] = block.url
    else:
        part["image_url"] = data_url(block, None)
    if block.detail is not None:
        part["detail"] = block.detail
    return part


def _render_file(block: Media) -> JsonObject:
    part: JsonObject = {"type": "input_file"}
    if block.text is not None:
        return {"type": "input_text", "text": block.text}
    if block.file_id is not None:
        part["file_id"] = block.file_id
    elif block.url is not None:
        part["file_url"] = block.url
    else:
        part["file_data"] = block.data if block.form == BARE else data_url(block, "application/pdf")
    if block.name is not None:
        part["filename"] = block.name
    return part


def data_url(block: Media, default: str | None) -> str:
    """Inline media as a data URL. Raises `Unsupported` when there is no data or its type is not known."""
    if block.data is None:
        raise Unsupported(f"this {block.kind} has neither data nor an address", param=block.kind)
    mime = block.mime or sniff(block.data) or default
    if mime is None:
        raise Unsupported(f"the media type of an inline {block.kind} is not known", param=block.kind, hint="name its media type")
    return render_data_url(mime, block.data, block.form)
