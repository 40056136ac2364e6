"""Content parts: text, images, audio, files and refusals, in both directions."""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.openai_chat.data_url import parse_data_url, render_data_url, sniff
from headgate.dialects.openai_chat.words import NAME, malformed
from headgate.domain.content import Block, Cache, Media, MediaKind, Opaque, Refusal, Text
from headgate.errors import Unsupported
from headgate.wire.json import Json, JsonObject

_AUDIO_MIME = {"wav": "audio/wav", "mp3": "audio/mpeg"}
AUDIO_FORMAT = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}

_Fields = tuple[str, ...]


def parse_parts(items: list[Json], param: str) -> list[Block]:
    """Read a list of content parts. A part of unknown type, or in an unknown shape, becomes `Opaque`."""
    blocks: list[Block] = []
    for index, item in enumerate(items):
        if type(item) is not dict:
            raise malformed(f"{param}[{index}]", "an object")
        kind = item.get("type")
        text = item.get("text")
        if kind == "text" and type(text) is str:
            blocks.append(Text(text) if len(item) == 2 else _text(item, text))
            continue
        if not isinstance(kind, str):
            raise malformed(f"{param}[{index}].type", "a string")
        if kind == "text":
            raise malformed(f"{param}[{index}].text", "a string")
        reader = _READERS.get(kind)
        blocks.append((reader(item) if reader is not None else None) or Opaque(item, NAME))
    return blocks


def parse_cache(value: Json) -> Cache | None:
    """A `cache_control` marker in its exact shape, else None."""
    if not isinstance(value, dict) or value.get("type") != "ephemeral":
        return None
    if len(value) == 1:
        return Cache()
    ttl = value.get("ttl")
    return Cache(ttl) if len(value) == 2 and isinstance(ttl, str) else None


def render_cache(cache: Cache) -> JsonObject:
    """The `cache_control` marker of a cache breakpoint."""
    return {"type": "ephemeral"} if cache.ttl is None else {"type": "ephemeral", "ttl": cache.ttl}


def render_part(block: Text | Media | Refusal) -> JsonObject:
    """Write one part. Raises `Unsupported` for media this wire cannot carry (param: the block's kind)."""
    part = _render(block)
    extra = block.extra
    if isinstance(block, Text | Media) and block.cache is not None:
        part["cache_control"] = render_cache(block.cache)
    if extra:
        for key, value in extra.items():
            inner = part.get(key)
            part[key] = {**inner, **value} if isinstance(inner, dict) and isinstance(value, dict) else value
    return part


def _render(block: Text | Media | Refusal) -> JsonObject:
    if isinstance(block, Text):
        return {"type": "text", "text": block.text}
    if isinstance(block, Refusal):
        return {"type": "refusal", "refusal": block.text}
    return _WRITERS[block.kind](block)


def _split(item: JsonObject, *known: str) -> tuple[Cache | None, JsonObject | None]:
    """The cache marker of a part and the keys nobody named."""
    rest = {key: value for key, value in item.items() if key not in known}
    cache = parse_cache(rest.get("cache_control"))
    if cache is not None:
        del rest["cache_control"]
    return cache, rest or None


def _inner(item: JsonObject, name: str, known: _Fields) -> tuple[Cache | None, JsonObject | None]:
    """As `_split`, with the unknown keys of the part's inner object under its name."""
    cache, rest = _split(item, "type", name)
    unknown = {key: value for key, value in item[name].items() if key not in known}
    return cache, {**(rest or {}), name: unknown} if unknown else rest


def _text(item: JsonObject, text: str) -> Text:
    cache, extra = _split(item, "type", "text")
    return Text(text, cache, extra=extra)


def _refusal(item: JsonObject) -> Refusal | None:
    text = item.get("refusal")
    return Refusal(text, _split(item, "type", "refusal")[1]) if isinstance(text, str) else None


def _media_url(kind: MediaKind, name: str) -> Callable[[JsonObject], Media | None]:
    """A reader for ``{"type": name, name: {"url": …}}``, and for the short form with the address alone."""

    def read(item: JsonObject) -> Media | None:
        value = item.get(name)
        if isinstance(value, str):
            cache, extra = _split(item, "type", name)
            return _located(kind, value, None, cache, extra, "short")
        if not isinstance(value, dict) or not isinstance(value.get("url"), str):
            return None
        detail = value.get("detail")
        known = ("url", "detail") if isinstance(detail, str) else ("url",)
        cache, extra = _inner(item, name, known)
        return _located(kind, value["url"], detail if isinstance(detail, str) else None, cache, extra, "")

    return read


def _located(kind: MediaKind, url: str, detail: str | None, cache: Cache | None, extra: JsonObject | None, form: str) -> Media:
    found = parse_data_url(url)
    if found is None or (form and found.form):
        return Media(kind, url=url, detail=detail, cache=cache, extra=extra, form=form)
    return Media(kind, mime=found.mime, data=found.data, detail=detail, cache=cache, extra=extra, form=form or found.form)


def _audio(item: JsonObject) -> Media | None:
    value = item.get("input_audio")
    if not isinstance(value, dict) or not isinstance(value.get("data"), str) or not isinstance(value.get("format"), str):
        return None
    word = value["format"]
    if not word:
        return None
    mime = _AUDIO_MIME.get(word, f"audio/{word}")
    cache, extra = _inner(item, "input_audio", ("data", "format"))
    form = "" if _audio_format(mime) == word else word
    return Media("audio", mime=mime, data=value["data"], cache=cache, extra=extra, form=form)


def _file(item: JsonObject) -> Media | None:
    value = item.get("file")
    if not isinstance(value, dict):
        return None
    name, data, file_id = value.get("filename"), value.get("file_data"), value.get("file_id")
    known = ["filename"] if isinstance(name, str) else []
    name = name if isinstance(name, str) else None
    if isinstance(data, str):
        cache, extra = _inner(item, "file", (*known, "file_data"))
        found = parse_data_url(data)
        if found is None:
            return Media("document", mime=sniff(data), data=data, name=name, cache=cache, extra=extra, form="bare")
        return Media("document", mime=found.mime, data=found.data, name=name, cache=cache, extra=extra, form=found.form)
    if not isinstance(file_id, str):
        return None
    cache, extra = _inner(item, "file", (*known, "file_id"))
    return Media("document", file_id=file_id, name=name, cache=cache, extra=extra)


_READERS: dict[str, Callable[[JsonObject], Block | None]] = {
    "image_url": _media_url("image", "image_url"),
    "video_url": _media_url("video", "video_url"),
    "input_audio": _audio,
    "file": _file,
    "refusal": _refusal,
}


def _url_part(name: str) -> Callable[[Media], JsonObject]:
    def write(block: Media) -> JsonObject:
        short = block.form == "short"
        url = _address(block, "" if short else block.form)
        if short:
            return {"type": name, name: url}
        inner: JsonObject = {"url": url}
        if block.detail is not None:
            inner["detail"] = block.detail
        return {"type": name, name: inner}

    return write


def _address(block: Media, form: str) -> str:
    if block.url is not None:
        return block.url
    if block.data is None:
        raise Unsupported(f"this wire takes {block.kind} input by address or as data, not by file id", param=block.kind)
    mime = block.mime or sniff(block.data)
    if mime is None:
        raise Unsupported(f"the media type of an inline {block.kind} is not known", param=block.kind, hint="name its media type")
    return render_data_url(mime, block.data, form)


def _audio_format(mime: str) -> str:
    return AUDIO_FORMAT.get(mime) or mime.removeprefix("audio/")


def _audio_part(block: Media) -> JsonObject:
    word = block.form or _audio_format(block.mime or "")
    if block.data is None or not word:
        raise Unsupported("this wire takes audio as inline data of a named format", param="audio")
    return {"type": "input_audio", "input_audio": {"data": block.data, "format": word}}


def _file_part(block: Media) -> JsonObject:
    if block.text is not None:
        return {"type": "text", "text": block.text}
    inner: JsonObject = {}
    if block.file_id is not None:
        inner["file_id"] = block.file_id
    elif block.data is None:
        raise Unsupported("this wire takes documents as data or by file id, not by address", param="document", hint="send its bytes")
    elif block.form == "bare":
        inner["file_data"] = block.data
    else:
        inner["file_data"] = render_data_url(block.mime or "application/pdf", block.data, block.form)
    if block.name is not None:
        inner["filename"] = block.name
    return {"type": "file", "file": inner}


_WRITERS: dict[MediaKind, Callable[[Media], JsonObject]] = {
    "image": _url_part("image_url"),
    "video": _url_part("video_url"),
    "audio": _audio_part,
    "document": _file_part,
}
