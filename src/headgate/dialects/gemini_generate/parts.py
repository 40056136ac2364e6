"""Parts and blocks: reading. One part of the wire is one block; a part this dialect does not know stays `Opaque`.

Keys beside the part's own go to the block's `extra`; keys inside it (`functionCall.willContinue` …) go to ``extra["functionCall"]``.
A value that the block cannot hold stays in `extra` as well and wins over what the block says when it is written back.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

from headgate.dialects.gemini_generate.names import NAME, synthetic_id
from headgate.domain.content import Block, Media, MediaKind, Opaque, Text, Thinking, ToolCall, ToolResult
from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject, arr, decode, encode_text, obj, text

_SEED = re.compile(r"[0-9A-Za-z_-]{1,28}")
_KINDS: dict[str, MediaKind] = {"image": "image", "audio": "audio", "video": "video"}


def media_kind(mime: str | None) -> MediaKind:
    """The kind a media type belongs to; whatever is neither picture nor sound is a document."""
    return _KINDS.get((mime or "").partition("/")[0].lower(), "document")


class PartReader:
    """Reads the parts of one body in order. Calls without an id get one that is the same at every reading, and results find it by name."""

    __slots__ = ("_count", "_open", "_seed")

    def __init__(self, seed: str) -> None:
        self._seed = seed if _SEED.fullmatch(seed) else sha256(seed.encode("utf-8", "replace")).hexdigest()[:16]
        self._count = 0
        self._open: dict[str, OrderedDict[str, None]] = {}

    def part(self, part: JsonObject, path: str) -> Block:
        """The block of one part. Raises `WireError` for a known key with a value of the wrong type."""
        if len(part) == 1 and "text" in part and part["text"] is not None:
            return Text(text(part["text"], f"{path}.text"))
        keys = [key for key in part if key in _READERS]
        if len(keys) != 1 or part[keys[0]] is None:
            return Opaque(part, NAME)
        rest: JsonObject = {} if len(part) == 1 else {key: value for key, value in part.items() if key != keys[0]}
        return _READERS[keys[0]](self, part[keys[0]], rest, path)

    def new_id(self) -> str:
        """The next made-up call id."""
        self._count += 1
        return synthetic_id(self._seed, self._count - 1)

    def text(self, value: Json, rest: JsonObject, path: str) -> Block:
        """`text`, which is a thought when `thought` says so."""
        words = text(value, f"{path}.text")
        signature = take_signature(rest)
        if rest.get("thought") is True:
            del rest["thought"]
            return Thinking(words, signature, extra=rest or None)
        return Text(words, signature=signature, extra=rest or None)

    def call(self, value: Json, rest: JsonObject, path: str) -> Block:
        """`functionCall`."""
        path = f"{path}.functionCall"
        inner = dict(obj(value, path))
        name = text(inner.pop("name", None), f"{path}.name")
        call_id = take_text(inner, "id")
        arguments = ""
        if inner.get("args") is not None:
            arguments = json_text(obj(inner.pop("args"), f"{path}.args"), f"{path}.args")
        if call_id is None:
            call_id = self.new_id()
        self._open.setdefault(name, OrderedDict())[call_id] = None
        signature = take_signature(rest)
        if inner:
            rest["functionCall"] = inner
        return ToolCall(call_id, name, arguments, signature=signature, extra=rest or None)

    def result(self, value: Json, rest: JsonObject, path: str) -> Block:
        """`functionResponse`. Without an id it belongs to the first unanswered call of that name."""
        path = f"{path}.functionResponse"
        inner = dict(obj(value, path))
        name = text(inner.pop("name", None), f"{path}.name")
        form = []
        call_id = take_text(inner, "id")
        if call_id is None:
            form.append("noid")
        call_id = self._answered(name, call_id)
        content: list[Block] = []
        is_error = None
        if inner.get("response") is None:
            form.append("noresponse")
        else:
            said, is_error, spelling = read_answer(obj(inner.pop("response"), f"{path}.response"))
            content.append(Text(said))
            form += spelling
        if inner.get("parts"):
            content += self._media_parts(arr(inner.pop("parts"), f"{path}.parts"), f"{path}.parts")
        if inner:
            rest["functionResponse"] = inner
        return ToolResult(call_id, tuple(content), name, is_error, extra=rest or None, form=",".join(form))

    def _answered(self, name: str, call_id: str | None) -> str:
        waiting = self._open.get(name)
        if call_id is None:
            return waiting.popitem(last=False)[0] if waiting else self.new_id()
        if waiting:
            waiting.pop(call_id, None)
        return call_id

    def _media_parts(self, parts: list[Json], path: str) -> list[Block]:
        found: list[Block] = []
        for index, part in enumerate(parts):
            where = f"{path}[{index}]"
            block = self.part(obj(part, where), where)
            found.append(block if isinstance(block, Media) else Opaque(part, NAME))
        return found

    def inline(self, value: Json, rest: JsonObject, path: str) -> Block:
        """`inlineData`: base64 text with a media type."""
        path = f"{path}.inlineData"
        inner = dict(obj(value, path))
        mime, name = take_text(inner, "mimeType"), take_text(inner, "displayName")
        data = text(inner.pop("data", None), f"{path}.data")
        if inner:
            rest["inlineData"] = inner
        return Media(media_kind(mime), mime, data=data, name=name, extra=rest or None)

    def file(self, value: Json, rest: JsonObject, path: str) -> Block:
        """`fileData`: a file of Google's by its URI, or a public URL."""
        path = f"{path}.fileData"
        inner = dict(obj(value, path))
        mime, name = take_text(inner, "mimeType"), take_text(inner, "displayName")
        uri = text(inner.pop("fileUri", None), f"{path}.fileUri")
        if inner:
            rest["fileData"] = inner
        kind = media_kind(mime)
        if is_google_file(uri):
            return Media(kind, mime, file_id=uri, name=name, extra=rest or None)
        return Media(kind, mime, url=uri, name=name, extra=rest or None)


_READERS: dict[str, Callable[[PartReader, Json, JsonObject, str], Block]] = {
    "text": PartReader.text,
    "functionCall": PartReader.call,
    "functionResponse": PartReader.result,
    "inlineData": PartReader.inline,
    "fileData": PartReader.file,
}


def is_google_file(uri: str) -> bool:
    """Whether a URI names a file in Google's own stores, which nobody else can fetch."""
    return uri.startswith(("gs://", "files/", "https://generativelanguage.googleapis.com/"))


def take_text(inner: JsonObject, key: str) -> str | None:
    """Remove and return a non-empty string; anything else stays where it is."""
    value = inner.get(key)
    if isinstance(value, str) and value:
        del inner[key]
        return value
    return None


def take_signature(rest: JsonObject) -> str | None:
    """Remove and return the part's thought signature."""
    return take_text(rest, "thoughtSignature") if rest else None


def as_object(words: str) -> JsonObject | None:
    """The JSON object some text consists of, None when it is anything else."""
    if words[:1] != "{" and not words.lstrip(" \t\r\n").startswith("{"):
        return None
    try:
        value = decode(words)
    except WireError:
        return None
    return value if isinstance(value, dict) else None


def json_text(value: JsonObject, path: str) -> str:
    """JSON text of a decoded object. Raises `WireError` for what no JSON text can hold."""
    try:
        return encode_text(value)
    except WireError as error:
        raise WireError(f"{path}: {error.message}", param=path) from error


def read_answer(answer: JsonObject) -> tuple[str, bool | None, list[str]]:
    """A tool's answer as text, whether it is an error, and the spelling marks that restore the object.

    ``{"result": "words"}`` and ``{"output": "words"}`` are the words, ``{"error": "words"}`` an error; anything else is JSON text.
    """
    if len(answer) == 1:
        ((key, value),) = answer.items()
        if isinstance(value, str) and key in ("result", "output", "error"):
            if key == "error":
                return value, True, []
            plain = key == "result" and as_object(value) is None
            return value, None, [] if plain else [key]
    return json_text(answer, "functionResponse.response"), None, []


def write_answer(words: str, *, is_error: bool | None, form: str) -> JsonObject:
    """The object for a tool's answer, which is wrapped when it is not one (translation case 13)."""
    if is_error:
        return {"error": words}
    if form:
        for key in ("result", "output"):
            if key in form:
                return {key: words}
    found = as_object(words)
    return {"result": words} if found is None else found
