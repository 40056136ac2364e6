"""Both spellings of keys: the wire takes ``inlineData`` and ``inline_data`` alike (ProtoJSON), and recordings contain both.

A body is first brought to lowerCamelCase wherever this dialect knows the key; each renamed place becomes a mark
``snake:contents.0.parts.1.inlineData``, by which the renderer restores the caller's spelling. Free-form values (schemas, arguments,
tool answers, unknown parts) are never looked into.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from headgate.wire.json import Json, JsonObject

MARK = "snake:"
_UNDERSCORED = re.compile(r"_([a-z])")

_BLOB = {"mimeType": None, "fileUri": None, "displayName": None}
_PART = {
    "thoughtSignature": None,
    "inlineData": _BLOB,
    "fileData": _BLOB,
    "functionCall": None,
    "functionResponse": {"parts": {"inlineData": _BLOB, "fileData": _BLOB}},
}
_CONTENT = {"parts": _PART}
_KNOWN = {
    "contents": _CONTENT,
    "systemInstruction": _CONTENT,
    "tools": {"functionDeclarations": {"parametersJsonSchema": None}},
    "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": None}},
    "generationConfig": {
        "topP": None,
        "topK": None,
        "candidateCount": None,
        "maxOutputTokens": None,
        "stopSequences": None,
        "presencePenalty": None,
        "frequencyPenalty": None,
        "responseLogprobs": None,
        "responseMimeType": None,
        "responseSchema": None,
        "responseJsonSchema": None,
        "thinkingConfig": {"thinkingBudget": None, "thinkingLevel": None, "includeThoughts": None},
    },
}


def normalise(body: JsonObject) -> list[str]:
    """Rename known snake_case keys of a request body in place; the marks that undo it, children before parents."""
    marks: list[str] = []
    _normalise(body, _KNOWN, MARK, marks)
    return marks


def _normalise(node: JsonObject, known: Mapping[str, object], path: str, marks: list[str]) -> None:
    renamed = [key for key in node if "_" in key]
    own = []
    for key in renamed:
        camel = _UNDERSCORED.sub(lambda match: match[1].upper(), key)
        if camel in known and camel not in node and snake(camel) == key:
            node[camel] = node.pop(key)
            own.append(f"{path}{camel}")
    for key, inner in known.items():
        if isinstance(inner, dict) and key in node:
            _descend(node[key], inner, f"{path}{key}.", marks)
    marks += own


def _descend(child: Json, known: Mapping[str, object], path: str, marks: list[str]) -> None:
    if isinstance(child, dict):
        _normalise(child, known, path, marks)
    elif isinstance(child, list):
        for index, item in enumerate(child):
            if isinstance(item, dict):
                _normalise(item, known, f"{path}{index}.", marks)


def snake(camel: str) -> str:
    """``inlineData`` -> ``inline_data``."""
    return re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), camel)


def _snake_keys(known: Mapping[str, object]) -> set[bytes]:
    """Every known key in its other spelling."""
    found = {snake(key).encode() for key in known if snake(key) != key}
    for inner in known.values():
        if isinstance(inner, dict):
            found |= _snake_keys(inner)
    return found


_SNAKE_KEYS = sorted(_snake_keys(_KNOWN))
_SNAKE_KEY = re.compile(rb'"(?:' + b"|".join(_SNAKE_KEYS) + rb')"')
_SNAKE_TAIL = re.compile(rb"_(?:" + b"|".join(sorted({key.rpartition(b"_")[2] for key in _SNAKE_KEYS})) + rb')"')
"""The end of such a key, from its last underscore on: it is found by looking at underscores alone."""


def may_be_snake(body: bytes) -> bool:
    """Whether a known key may be in snake_case: the cheap question before the walk."""
    return _SNAKE_TAIL.search(body) is not None and _SNAKE_KEY.search(body) is not None


def respell(payload: JsonObject, form: tuple[str, ...]) -> JsonObject:
    """Restore the caller's spelling. Places that are no longer there are skipped; shared values are copied, never changed."""
    for mark in form:
        if mark.startswith(MARK):
            payload = _renamed(payload, mark[len(MARK) :].split("."))
    return payload


def _renamed(node: Json, path: list[str]) -> Json:
    head, rest = path[0], path[1:]
    if isinstance(node, list):
        index = int(head) if head.isdecimal() else len(node)
        return [*node[:index], _renamed(node[index], rest), *node[index + 1 :]] if rest and index < len(node) else node
    if not isinstance(node, dict) or head not in node:
        return node
    if rest:
        return {**node, head: _renamed(node[head], rest)}
    return {(snake(key) if key == head else key): value for key, value in node.items()}
