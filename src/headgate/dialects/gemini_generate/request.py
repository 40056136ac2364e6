"""Reading a request: path and body to one value."""

from __future__ import annotations

from headgate.dialects.gemini_generate.config import parse_config
from headgate.dialects.gemini_generate.names import NAME, parse_path, resource
from headgate.dialects.gemini_generate.parts import PartReader
from headgate.dialects.gemini_generate.spelling import may_be_snake, normalise
from headgate.dialects.gemini_generate.tools import parse_tool_choice, parse_tools
from headgate.domain.content import Block, Text
from headgate.domain.request import Message, Request, Role
from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject, arr, decode, obj

_ROLES: dict[str, Role] = {"user": "user", "model": "assistant", "function": "tool"}


def parse_request(body: bytes, path: str) -> Request:
    """Read one request. Raises `WireError` whose `param` names the malformed place, in lowerCamelCase spelling."""
    target = parse_path(path)
    raw = obj(decode(body), "body")
    form = [*target.form, *(normalise(raw) if may_be_snake(body) else ())]
    fields: JsonObject = {}
    reader = PartReader("0")
    messages = []
    if raw.get("systemInstruction") is not None:
        messages.append(_parse_content(raw.pop("systemInstruction"), "systemInstruction", reader, system=True))
    for index, content in enumerate(arr(raw.pop("contents", None), "contents")):
        messages.append(_parse_content(content, f"contents[{index}]", reader))
    if raw.get("tools"):
        fields["tools"] = parse_tools(raw.pop("tools"), form)
    if raw.get("toolConfig") is not None:
        _parse_tool_config(obj(raw["toolConfig"], "toolConfig"), raw, fields)
    if raw.get("generationConfig") is not None:
        rest = parse_config(obj(raw.pop("generationConfig"), "generationConfig"), fields, form)
        if rest is not None:
            raw["generationConfig"] = rest
    if raw.get("model") == resource(target.model):
        del raw["model"]
        form.append("body:model")
    return Request(
        model=target.model,
        messages=tuple(messages),
        stream=True if target.stream else None,
        dialect=NAME,
        extra=raw or None,
        form=tuple(form),
        **fields,
    )


def _parse_tool_config(config: JsonObject, raw: JsonObject, fields: JsonObject) -> None:
    """Take the choice of tools out of `toolConfig`; whatever else it holds stays in `raw`."""
    calling = config.get("functionCallingConfig")
    if isinstance(calling, dict):
        choice = parse_tool_choice(calling)
        if choice is not None:
            fields["tool_choice"] = choice
            del config["functionCallingConfig"]
            if not config:
                del raw["toolConfig"]


def _parse_content(value: Json, path: str, reader: PartReader, *, system: bool = False) -> Message:
    """One `Content`. Its marks: a role that is missing or unusual for its place, parts missing or given as one object."""
    plain = None if system else _plain(value)
    if plain is not None:
        return plain
    content = dict(obj(value, path))
    marks: list[str] = []
    role = _parse_role(content, path, marks, system=system)
    parts = content.get("parts")
    if isinstance(parts, dict):
        marks.append("object")
        parts = [parts]
    elif parts is None:
        marks.append("noparts")
    if parts is not None:
        del content["parts"]
    where = f"{path}.parts"
    items = [] if parts is None else arr(parts, where)
    blocks: list[Block] = []
    for number, part in enumerate(items):
        place = f"{where}[{number}]"
        blocks.append(reader.part(obj(part, place), place))
    return Message(role, tuple(blocks), extra=content or None, form=",".join(marks))


def _plain(value: Json) -> Message | None:
    """A `Content` of one text with a role and nothing else; None for any other."""
    if type(value) is not dict or len(value) != 2:
        return None
    word, parts = value.get("role"), value.get("parts")
    if type(parts) is not list or len(parts) != 1 or word not in ("user", "model"):
        return None
    part = parts[0]
    words = part.get("text") if type(part) is dict and len(part) == 1 else None
    return Message(_ROLES[word], (Text(words),)) if type(words) is str else None


def _parse_role(content: JsonObject, path: str, marks: list[str], *, system: bool) -> Role:
    word = content.get("role")
    if system:
        if isinstance(word, str) and word.isalpha():
            marks.append(f"role={content.pop('role')}")
        return "system"
    if word is None:
        marks.append("norole")
        return "user"
    role = _ROLES.get(word) if isinstance(word, str) else None
    if role is None:
        raise WireError(f"{path}.role must be user, model or function", param=f"{path}.role")
    del content["role"]
    if role == "tool":
        marks.append("function")
    return role
