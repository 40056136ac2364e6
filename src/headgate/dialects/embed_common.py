"""What the embeddings wires share: vectors and their two spellings, words for tasks, and the report of what a wire cannot say."""

from __future__ import annotations

import binascii
import math
import struct
from collections.abc import Mapping

import msgspec

from headgate.dialects.base import Note
from headgate.domain.embedding import EmbedRequest
from headgate.domain.usage import Usage
from headgate.errors import Unsupported, WireError
from headgate.wire.json import Json, JsonObject, type_name

TASKS = ("query", "document", "similarity", "classification", "clustering", "question_answering", "fact_verification", "code_query")
"""The words of `EmbedRequest.task` that every dialect translates as far as its provider has an equivalent."""

_HARMLESS = frozenset({"title", "taskType", "task_type"})
"""Keys of single inputs whose loss makes vectors a little worse, not different things."""


class Losses:
    """Collects what a rendering cannot say. `own` is True when the request came from the wire it is rendered for."""

    __slots__ = ("notes", "own", "request")

    def __init__(self, request: EmbedRequest, name: str) -> None:
        self.request = request
        self.own = request.dialect == name
        self.notes: list[Note] = []
        if not self.own:
            self._foreign()

    def drop(self, field: str, reason: str) -> None:
        """Report a field that was left out."""
        self.notes.append(Note(field, "dropped", reason))

    def change(self, field: str, reason: str) -> None:
        """Report a field that was sent in another form."""
        self.notes.append(Note(field, "approximated", reason))

    def unless_none(self, field: str, reason: str) -> None:
        """Report a field of the request that this wire does not have, when it was given."""
        if getattr(self.request, field) is not None:
            self.drop(field, reason)

    def task(self, words: Mapping[str, str]) -> str | None:
        """The provider's word for the task. A word we do not know is the caller's own affair, unless another wire made it."""
        task = self.request.task
        if task is None or task in words:
            return None if task is None else words[task]
        if self.own or (not self.request.dialect and task not in TASKS):
            return task
        self.drop("task", f"this provider has no word for {task!r}")
        return None

    def _foreign(self) -> None:
        """Keys of another wire: reported, or refused where the vectors would be of something else."""
        source = self.request.dialect or "no dialect"
        for key, value in (self.request.extra or {}).items():
            if value is not None:
                self.drop(key, f"a key of {source}, which this wire does not have")
        for place, keys in enumerate(self.request.each):
            for key in keys or ():
                if key not in _HARMLESS:
                    raise Unsupported(f"input {place} has {key}, which this provider cannot embed", param=f"input[{place}].{key}")
                self.drop(f"input[{place}].{key}", f"a key of {source}, which this wire does not have")


def parse_task(word: str, words: Mapping[str, str]) -> str | None:
    """The task a provider's word stands for; a word of its own is kept; None for one that would be taken for ours."""
    known = next((task for task, own in words.items() if own == word), None)
    return known if known is not None else None if word in words else word


def texts(request: EmbedRequest) -> tuple[str, ...]:
    """The inputs, for a provider that takes text only. Raises `Unsupported` for tokens: only the model's tokeniser could read them."""
    for place, item in enumerate(request.inputs):
        if not isinstance(item, str):
            raise Unsupported("this provider takes texts, not tokens", param="input" if place == 0 else f"input[{place}]", hint="send text")
    return tuple(item for item in request.inputs if isinstance(item, str))


def vector(value: Json, param: str) -> tuple[float, ...]:
    """An array of finite numbers. Raises `WireError` naming `param` for anything else."""
    if type(value) is not list:
        raise WireError(f"{param} must be an array of numbers, not {type_name(value)}", param=param)
    try:
        return msgspec.convert(value, tuple[float, ...])
    except msgspec.ValidationError as error:
        raise WireError(f"{param} must be an array of numbers: {error}", param=param) from error


def unpacked(value: Json, param: str) -> tuple[float, ...]:
    """A vector from base64 of little-endian 32-bit floats. Raises `WireError` naming `param`."""
    if not isinstance(value, str):
        return vector(value, param)
    try:
        data = binascii.a2b_base64(value.encode("ascii"), strict_mode=True)
    except (ValueError, UnicodeEncodeError) as error:
        raise WireError(f"{param} is not base64: {error}", param=param) from error
    if len(data) % 4:
        raise WireError(f"{param} has {len(data)} bytes, which are no 32-bit floats", param=param)
    values = struct.unpack(f"<{len(data) // 4}f", data)
    if not all(map(math.isfinite, values)):
        raise WireError(f"{param} has a value that is no number", param=param)
    return values


def packed(values: tuple[float, ...]) -> str:
    """A vector as base64 of little-endian 32-bit floats (translation case 107). Raises `WireError` for a value beyond their range."""
    try:
        data = struct.pack(f"<{len(values)}f", *values)
    except OverflowError as error:
        raise WireError("a vector has a value that no 32-bit float can hold") from error
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def integer(value: Json, param: str) -> int:
    """`value` as an integer. Raises `WireError` naming `param`."""
    if type(value) is not int:
        raise WireError(f"{param} must be an integer, not {type_name(value)}", param=param)
    return value


def positive(value: Json, param: str) -> int:
    """`value` as an integer above zero. Raises `WireError` naming `param`."""
    if integer(value, param) < 1:
        raise WireError(f"{param} must be at least 1", param=param)
    return int(value)


def without(value: JsonObject, keys: frozenset[str]) -> JsonObject | None:
    """The other keys of an object; None when there are none."""
    return {key: item for key, item in value.items() if key not in keys} or None


def counted(value: Json) -> int | None:
    """A count of tokens; None for what is none."""
    return value if type(value) is int and value >= 0 else None


def input_usage(count: int | None, native: JsonObject | None) -> Usage | None:
    """Usage of so many input tokens; None when they were not counted."""
    return None if count is None else Usage(input_uncached=count, native=native)
