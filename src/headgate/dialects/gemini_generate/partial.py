"""Function calls whose arguments come in pieces: ``partialArgs: [{"jsonPath": "$.a[0].b", "stringValue": "…", "willContinue": true}]``.

Strings at one path are concatenated while they continue; numbers, booleans and nulls come whole (recorded traffic).
"""

from __future__ import annotations

import re
from itertools import pairwise

from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject, arr, obj, text

MAX_INDEX = 10_000
_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,9})\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]""")
_VALUES = ("numberValue", "boolValue", "nullValue")


class PartialCall:
    """One call as it grows."""

    def __init__(self, name: Json, call_id: Json, signature: str | None) -> None:
        self._head: JsonObject = {"name": name}
        if call_id is not None:
            self._head["id"] = call_id
        self._signature = signature
        self._args: JsonObject = {}

    def add(self, call: JsonObject, path: str) -> None:
        """Take the pieces of one chunk. Raises `WireError` for a path or value it cannot place."""
        whole = call.get("args")
        if whole is not None:
            self._args.update(obj(whole, f"{path}.functionCall.args"))
        pieces = call.get("partialArgs")
        where = f"{path}.functionCall.partialArgs"
        for index, piece in enumerate(arr([] if pieces is None else pieces, where)):
            self._place(obj(piece, f"{where}[{index}]"), f"{where}[{index}]")

    def whole(self) -> JsonObject:
        """The finished call as a part."""
        part: JsonObject = {"functionCall": {**self._head, "args": self._args}}
        if self._signature is not None:
            part["thoughtSignature"] = self._signature
        return part

    def _place(self, piece: JsonObject, path: str) -> None:
        steps = _steps(text(piece.get("jsonPath"), f"{path}.jsonPath"), path)
        value: Json = None
        if isinstance(piece.get("stringValue"), str):
            value = piece["stringValue"]
        else:
            value = next((piece[key] for key in _VALUES if key in piece and key != "nullValue"), None)
        node: Json = self._args
        for step, following in pairwise(steps):
            node = _enter(node, step, [] if isinstance(following, int) else {}, path)
        _put(node, steps[-1], value, path)


def _steps(json_path: str, path: str) -> list[str | int]:
    if not json_path.startswith("$"):
        raise WireError(f"{path}.jsonPath {json_path!r} does not start with $", param=f"{path}.jsonPath")
    steps: list[str | int] = []
    at = 1
    while at < len(json_path):
        match = _STEP.match(json_path, at)
        if match is None:
            raise WireError(f"{path}.jsonPath {json_path!r} cannot be read", param=f"{path}.jsonPath")
        name, index, single, double = match.groups()
        steps.append(int(index) if index is not None else _unescaped(next(s for s in (name, single, double) if s is not None)))
        at = match.end()
    if not steps or isinstance(steps[0], int):
        raise WireError(f"{path}.jsonPath {json_path!r} names no argument", param=f"{path}.jsonPath")
    return steps


def _unescaped(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name)


def _slot(node: Json, step: str | int, path: str) -> Json:
    """What is at `step`, None when nothing is there yet; lists grow by need, up to a bound."""
    if isinstance(step, str) and isinstance(node, dict):
        return node.get(step)
    if isinstance(step, int) and isinstance(node, list) and step < MAX_INDEX:
        node.extend([None] * (step + 1 - len(node)))
        return node[step]
    raise WireError(f"{path}.jsonPath does not fit the pieces before it", param=f"{path}.jsonPath")


def _enter(node: Json, step: str | int, fresh: Json, path: str) -> Json:
    found = _slot(node, step, path)
    if found is None:
        node[step] = found = fresh
    return found


def _put(node: Json, step: str | int, value: Json, path: str) -> None:
    old = _slot(node, step, path)
    node[step] = old + value if isinstance(old, str) and isinstance(value, str) else value
