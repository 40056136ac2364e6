"""The words of the Bedrock Converse wire, in tables (Amazon Bedrock API reference, "Converse", "ConverseStream"; translation section 4)."""

from __future__ import annotations

import re
from functools import lru_cache

from headgate.domain.content import Block, Cache, MediaKind, ToolCall
from headgate.domain.response import Finish
from headgate.wire.json import Json, JsonObject

NAME = "bedrock_converse"

BESIDE = "(beside)"
"""Key of `extra` for what stood beside a block's own key; the other keys of `extra` stood inside it."""

INLINE = "inline"
"""Mark of a system message that stood in `messages`, not in `system`."""

STRUCTURED_TOOL = "headgate_structured_output"
"""Reserved name of the tool that stands in for a JSON Schema answer on models without native structured output."""

FINISH: dict[str, Finish] = {
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "tool_use": Finish.TOOL_CALLS,
    "guardrail_intervened": Finish.CONTENT_FILTER,
    "content_filtered": Finish.CONTENT_FILTER,
    "malformed_model_output": Finish.ERROR,
    "malformed_tool_use": Finish.ERROR,
}

STOP_REASON: dict[Finish, str] = {
    Finish.STOP: "end_turn",
    Finish.LENGTH: "max_tokens",
    Finish.TOOL_CALLS: "tool_use",
    Finish.CONTENT_FILTER: "content_filtered",
    Finish.PAUSE: "max_tokens",
}


def finish_of(native: str | None, *, calls: bool) -> Finish | None:
    """The neutral word for a `stopReason`; an ended turn that holds tool calls asks for tools, an unknown word is a stop."""
    if native is None:
        return None
    finish = FINISH.get(native, Finish.STOP)
    return Finish.TOOL_CALLS if finish is Finish.STOP and calls else finish


def has_calls(blocks: tuple[Block, ...]) -> bool:
    """Whether some block asks for a tool."""
    return any(isinstance(block, ToolCall) for block in blocks)


def stop_reason_of(finish: Finish | None, stop_sequence: str | None) -> str:
    """The `stopReason` for a neutral word; the wire requires one, so an unknown finish is a plain end."""
    if finish is None:
        return "end_turn"
    if finish is Finish.STOP and stop_sequence is not None:
        return "stop_sequence"
    return STOP_REASON.get(finish, "end_turn")


MIME: dict[str, dict[str, str]] = {
    "image": {"png": "image/png", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"},
    "document": {
        "pdf": "application/pdf",
        "csv": "text/csv",
        "doc": "application/msword",
        "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xls": "application/vnd.ms-excel",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "html": "text/html",
        "txt": "text/plain",
        "md": "text/markdown",
    },
    "video": {
        "mkv": "video/x-matroska",
        "mov": "video/quicktime",
        "mp4": "video/mp4",
        "webm": "video/webm",
        "flv": "video/x-flv",
        "mpeg": "video/mpeg",
        "mpg": "video/mpg",
        "wmv": "video/x-ms-wmv",
        "three_gp": "video/3gpp",
    },
    "audio": {
        "mp3": "audio/mpeg",
        "opus": "audio/opus",
        "wav": "audio/wav",
        "aac": "audio/aac",
        "flac": "audio/flac",
        "mp4": "audio/mp4",
        "ogg": "audio/ogg",
        "m4a": "audio/x-m4a",
        "webm": "audio/webm",
        "mka": "audio/x-matroska",
        "pcm": "audio/pcm",
    },
}
"""Media types by kind and the wire's `format`."""

_FORMAT = {kind: {mime: word for word, mime in words.items()} for kind, words in MIME.items()}
_OTHER_MIMES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "text/x-markdown": "text/markdown",
    "application/csv": "text/csv",
}
"""Other spellings of the media types above."""


def mime_of(kind: MediaKind, word: str) -> str:
    """The media type of a `format`; one for an unknown word is made up in the kind's own tree."""
    return MIME[kind].get(word, f"{'application' if kind == 'document' else kind}/{word}")


def format_of(kind: MediaKind, mime: str | None) -> str | None:
    """The `format` of a media type, in any of its spellings (image/jpg is "jpeg"); None when the wire has none."""
    if mime is None:
        return None
    plain = mime.partition(";")[0].strip().lower()
    return _FORMAT[kind].get(_OTHER_MIMES.get(plain, plain))


_MAGIC = {"iVBOR": "png", "/9j/": "jpeg", "R0lGOD": "gif", "UklGR": "webp"}


def picture_format(data: str) -> str | None:
    """The `format` that the first bytes of an image in base64 betray, for images without a media type."""
    return next((word for start, word in _MAGIC.items() if data.startswith(start)), None)


def cache_of(value: Json) -> Cache | None:
    """A `cachePoint` element as a breakpoint; None when it is something else or says more than a breakpoint can hold."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    point = value.get("cachePoint")
    if not isinstance(point, dict) or point.get("type") != "default":
        return None
    if len(point) == 1:
        return Cache()
    ttl = point.get("ttl")
    return Cache(ttl) if len(point) == 2 and isinstance(ttl, str) else None


def cache_point(cache: Cache) -> JsonObject:
    """A breakpoint as an element of its own, after what it covers."""
    return {"cachePoint": {"type": "default"} if cache.ttl is None else {"type": "default", "ttl": cache.ttl}}


_MAKERS = re.compile(r"(?:^|[./])(anthropic|amazon|mistral|cohere|openai)\.")


@lru_cache(maxsize=256)
def maker_of(model: str) -> str:
    """Who made a model, as its id or the end of its ARN says ("us.anthropic.claude…"); "" when it does not say."""
    found = _MAKERS.search(model)
    return found[1] if found else ""
