"""Blocks as parts: writing, for requests and answers alike. None means the block has nothing to say on this wire (and was reported)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

from headgate.dialects.gemini_generate.names import NAME, SYNTHETIC
from headgate.dialects.gemini_generate.parts import as_object, is_google_file, write_answer
from headgate.dialects.gemini_generate.writer import Writer
from headgate.domain.content import Block, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult, text_of
from headgate.errors import Unsupported
from headgate.wire.json import JsonObject

_ABILITY = {"image": "vision", "video": "vision", "document": "documents", "audio": "audio"}
_MAGIC = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("JVBERi0", "application/pdf"),
)
_SUFFIXES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "heic": "image/heic",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "mp4": "video/mp4",
    "webm": "video/webm",
}


def plain_part(block: Block) -> JsonObject | None:
    """The part of a text or call that carries nothing else: the common case, without the table. None for any other block."""
    if type(block) is Text:
        if block.text and block.signature is None and block.cache is None and block.extra is None:
            return {"text": block.text}
    elif type(block) is ToolCall and block.signature is None and block.cache is None and block.extra is None:
        arguments = as_object(block.arguments)
        if arguments is not None and block.id and not block.id.startswith(SYNTHETIC):
            return {"functionCall": {"name": block.name, "id": block.id, "args": arguments}}
    return None


def plain_answer(block: ToolResult, name: str) -> JsonObject | None:
    """The part of a tool's answer in plain words to a call of `name`, for a request from another wire; None for any other answer."""
    content = block.content
    if len(content) != 1 or type(said := content[0]) is not Text or block.cache is not None or block.extra is not None:
        return None
    if block.call_id.startswith(SYNTHETIC) or not block.call_id:
        return None
    answer = write_answer(said.text, is_error=block.is_error, form="")
    return {"functionResponse": {"name": name, "id": block.call_id, "response": answer}}


def render_block(block: Block, writer: Writer, field: str) -> JsonObject | None:
    """One block as a part. Raises `Unsupported` with `field` for what a request must not lose silently."""
    return _WRITERS[type(block)](block, writer, field)


def _text(block: Text, writer: Writer, field: str) -> JsonObject | None:
    if not block.text and block.signature is None and not writer.same:
        return None
    part: JsonObject = {"text": block.text}
    if block.signature is not None:
        part["thoughtSignature"] = block.signature
    if block.cache is not None:
        _no_cache(writer, field)
    if block.extra is not None:
        part.update(writer.kept(block.extra, field) or {})
    return part


def _no_cache(writer: Writer, field: str) -> None:
    writer.drop(f"{field}.cache_control", "the Gemini API caches implicitly or by cachedContent; it has no breakpoints")


def _thinking(block: Thinking, writer: Writer, field: str) -> JsonObject | None:
    if not (writer.same or writer.answer):
        writer.drop(field, "thoughts of another provider cannot be verified by the Gemini API")
        return None
    if block.redacted is not None:
        writer.drop(field, "the Gemini API has no encrypted thoughts")
        return None
    part: JsonObject = {"text": block.text, "thought": True}
    if block.signature is not None:
        part["thoughtSignature"] = block.signature
    part.update(writer.kept(block.extra, field) or {})
    return part


def _call(block: ToolCall, writer: Writer, field: str) -> JsonObject | None:
    inner: JsonObject = {"name": block.name}
    if block.id and not block.id.startswith(SYNTHETIC):
        inner["id"] = block.id
    if block.arguments.strip():
        arguments = as_object(block.arguments)
        if arguments is None:
            _report_broken(writer, field)
            return None
        inner["args"] = arguments
    elif not writer.same:
        inner["args"] = {}
    part: JsonObject = {"functionCall": inner}
    if block.signature is not None:
        part["thoughtSignature"] = block.signature
    if block.cache is not None:
        _no_cache(writer, field)
    return part if block.extra is None else merge(part, "functionCall", writer.kept(block.extra, field))


def _report_broken(writer: Writer, field: str) -> None:
    if not writer.answer:
        raise Unsupported(f"{field}.arguments is not a JSON object, as the Gemini API needs", param=f"{field}.arguments")
    writer.drop(field, "the arguments are not a JSON object (cut off?), which the Gemini API cannot carry")


def _result(block: ToolResult, writer: Writer, field: str) -> JsonObject | None:
    marks = block.form if writer.same else ""
    inner: JsonObject = {}
    if block.name is not None:
        inner["name"] = block.name
    if block.call_id and not block.call_id.startswith(SYNTHETIC) and "noid" not in marks:
        inner["id"] = block.call_id
    if "noresponse" not in marks:
        inner["response"] = write_answer(text_of(block.content), is_error=block.is_error, form=marks)
    if any(type(b) is not Text for b in block.content):
        rendered = [render_block(b, writer, field) for b in block.content if type(b) is not Text]
        others = [each for each in rendered if each is not None]
        inner.update({"parts": others} if others else {})
    if block.cache is not None:
        _no_cache(writer, field)
    part: JsonObject = {"functionResponse": inner}
    return part if block.extra is None else merge(part, "functionResponse", writer.kept(block.extra, field))


def _media(block: Media, writer: Writer, field: str) -> JsonObject | None:
    if not (writer.same or writer.answer):
        _check_media(block, writer, field)
    mime = block.mime if writer.same else _usual_mime(block.mime)
    if block.text is not None or block.data is not None:
        key = "inlineData"
        inner: JsonObject = {"data": block.data if block.data is not None else b64encode((block.text or "").encode()).decode()}
        mime = mime or (None if writer.same else _sniffed(block, writer, field))
    else:
        key = "fileData"
        inner = {"fileUri": block.url if block.url is not None else block.file_id}
        mime = mime or (None if writer.same else _SUFFIXES.get(str(inner["fileUri"]).rpartition(".")[2].lower()))
    if mime is not None:
        inner["mimeType"] = mime
    if block.name is not None and writer.same:
        inner["displayName"] = block.name
    return merge({key: inner}, key, writer.kept(block.extra, field))


def _usual_mime(mime: str | None) -> str | None:
    """A media type in the spelling that is registered: the wire refuses others (case 41)."""
    word = mime.lower() if mime is not None else None
    return "image/jpeg" if word == "image/jpg" else word


def _check_media(block: Media, writer: Writer, field: str) -> None:
    """Refuse what the model or the wire cannot take; report what is lost beside it."""
    if not getattr(writer.capabilities, _ABILITY[block.kind]):
        raise Unsupported(f"{field}: this model takes no {block.kind} input", param=field)
    if block.file_id is not None and not is_google_file(block.file_id):
        raise Unsupported(f"{field}: the file id {block.file_id!r} belongs to another provider", param=field)
    for name, value in (("detail", block.detail), ("name", block.name)):
        if value is not None:
            writer.drop(f"{field}.{name}", "not expressible in the Gemini API")
    if block.cache is not None:
        _no_cache(writer, field)


def _sniffed(block: Media, writer: Writer, field: str) -> str:
    """The media type of data that came without one, by its first bytes."""
    if block.data is None:
        return "text/plain"
    for head, mime in _MAGIC:
        if block.data.startswith(head):
            return mime
    if writer.answer:
        return "application/octet-stream"
    raise Unsupported(f"{field}: the Gemini API needs the media type of inline data", param=field)


def _refusal(block: Refusal, writer: Writer, field: str) -> JsonObject | None:
    if not writer.answer:
        writer.approximate(field, "a refusal is sent as plain text")
    writer.kept(block.extra, field)
    return {"text": block.text} if block.text else None


def _opaque(block: Opaque, writer: Writer, field: str) -> JsonObject | None:
    if block.dialect == NAME and isinstance(block.raw, dict):
        return block.raw
    writer.drop(field, "a block of another provider's that the Gemini API does not know")
    return None


_WRITERS: dict[type, Callable[..., JsonObject | None]] = {
    Text: _text,
    Thinking: _thinking,
    ToolCall: _call,
    ToolResult: _result,
    Media: _media,
    Refusal: _refusal,
    Opaque: _opaque,
}


def merge(part: JsonObject, key: str, extra: JsonObject | None) -> JsonObject:
    """Add a block's extra keys: those under `key` into the part's own object, the others beside it."""
    if not extra:
        return part
    for name, value in extra.items():
        if name == key and isinstance(value, dict):
            part[key].update(value)
        else:
            part[name] = value
    return part
