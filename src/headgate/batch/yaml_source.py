"""YAML and JSON files as plain values that remember where each part stood.

YAML is built from libyaml's events with an explicit stack, never by recursion: deep nesting, alias bombs and duplicate keys are errors
with file, line and column. Scalars follow YAML 1.2's core rules (``no`` is text, dates are text), so every value is a JSON value.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

import msgspec
import yaml

from headgate.errors import ConfigError
from headgate.wire.json import Json, JsonObject

Path = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,30}")
_PREFIXED = re.compile(r"0x[0-9a-fA-F]{1,16}|0o[0-7]{1,22}")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?")

_TAGGED: dict[str | None, tuple[type, ...]] = {
    f"{_TAG}int": (int,),
    f"{_TAG}float": (int, float),
    f"{_TAG}bool": (bool,),
    f"{_TAG}null": (type(None),),
}


class YamlLimits(msgspec.Struct, frozen=True):
    """Bounds of one document. `nodes` counts aliases as often as they are used; `position_depth` is how deep positions are kept."""

    bytes: int = 1 << 20
    nodes: int = 200_000
    depth: int = 64
    position_depth: int = 64


CONFIG_LIMITS = YamlLimits()
ITEM_LIMITS = YamlLimits(bytes=256 << 20, nodes=20_000_000, position_depth=2)


class Document(msgspec.Struct, frozen=True):
    """A loaded file: its value, and for each path of keys the line and column where that key or element begins (from 1)."""

    file: str
    value: Json
    positions: dict[Path, tuple[int, int]]

    def where(self, *path: str | int) -> str:
        """``file:line:column`` of the nearest part of `path` that is known."""
        for size in range(len(path), 0, -1):
            found = self.positions.get(path[:size])
            if found:
                return f"{self.file}:{found[0]}:{found[1]}"
        return f"{self.file}:1:1"


def decode_text(data: bytes, file: str, limit: int) -> str:
    """UTF-8 text of a file, without a byte order mark. Raises `ConfigError` for other encodings and above `limit` bytes."""
    if len(data) > limit:
        raise ConfigError(f"the file has {len(data):,} bytes; the limit is {limit:,}", where=f"{file}:1:1")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise ConfigError("the file is not UTF-8 text", where=f"{file}:{line}:{column}") from error


def load_yaml(data: bytes, file: str, limits: YamlLimits = CONFIG_LIMITS) -> Document:
    """Load one YAML document. Raises `ConfigError` with file, line and column."""
    text = decode_text(data, file, limits.bytes)
    builder = _Builder(file, limits)
    try:
        loader = yaml.CSafeLoader(text)
        try:
            while loader.check_event():
                event = loader.get_event()
                if event is not None:
                    builder.take(event)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else f"{file}:1:1"
        raise ConfigError(" ".join(filter(None, (error.context, error.problem))) or "not YAML", where=where) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"not YAML: {error}", where=f"{file}:1:1") from error
    return Document(file, builder.value, builder.positions)


def _position(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


class _Frame:
    __slots__ = ("anchor", "container", "key", "merges", "path", "start")

    def __init__(self, container: JsonObject | list[Json], path: Path, anchor: str | None, start: int) -> None:
        self.container = container
        self.path = path
        self.anchor = anchor
        self.start = start
        self.key: str | None = None
        self.merges: list[JsonObject] = []


class _Builder:
    """Takes events in order; `value` is the document afterwards."""

    def __init__(self, file: str, limits: YamlLimits) -> None:
        self.value: Json = None
        self.positions: dict[Path, tuple[int, int]] = {}
        self._file = file
        self._limits = limits
        self._frames: list[_Frame] = []
        self._anchors: dict[str, tuple[Json, int]] = {}
        self._nodes = 0
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.MappingStartEvent):
            self._open({}, event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._open([], event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._close(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._fail("only one YAML document per file", event)

    def _fail(self, message: str, event: yaml.Event) -> NoReturn:
        line, column = _position(event)
        raise ConfigError(message, where=f"{self._file}:{line}:{column}")

    def _count(self, nodes: int, event: yaml.Event) -> None:
        self._nodes += nodes
        if self._nodes > self._limits.nodes:
            self._fail(f"more than {self._limits.nodes:,} values, repeated aliases included", event)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._count(1, event)
        frame = self._frames[-1] if self._frames else None
        if frame is not None and isinstance(frame.container, dict) and frame.key is None:
            self._begin_key(frame, event)
            return
        value = self._scalar_value(event)
        self._note(event)
        self._remember(event.anchor, value, 1)
        self._place(value, event)

    def _begin_key(self, frame: _Frame, event: yaml.ScalarEvent) -> None:
        key = event.value
        is_merge = key == "<<" and event.implicit[0]
        if key in frame.container and not is_merge:
            first = self.positions.get((*frame.path, key))
            self._fail(f"duplicate key {key!r}" + (f" (first on line {first[0]})" if first else ""), event)
        frame.key = key
        self._note(event)

    def _note(self, event: yaml.Event) -> None:
        if len(self._frames) <= self._limits.position_depth:
            self.positions.setdefault(self._path(), _position(event))

    def _path(self) -> Path:
        if not self._frames:
            return ()
        frame = self._frames[-1]
        return (*frame.path, frame.key if isinstance(frame.container, dict) and frame.key is not None else len(frame.container))

    def _scalar_value(self, event: yaml.ScalarEvent) -> Json:
        tag = event.tag
        if tag in (None, "!") and event.implicit[0]:
            return resolve_scalar(event.value)
        if tag in (None, "!", f"{_TAG}str"):
            return event.value
        resolved = resolve_scalar(event.value)
        if type(resolved) not in _TAGGED.get(tag, ()):
            self._fail(f"tag {tag!r} is not allowed here", event)
        return resolved

    def _open(self, container: JsonObject | list[Json], event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        self._count(1, event)
        if event.tag not in (None, "!", f"{_TAG}map", f"{_TAG}seq"):
            self._fail(f"tag {event.tag!r} is not allowed", event)
        if len(self._frames) >= self._limits.depth:
            self._fail(f"nested more than {self._limits.depth} deep", event)
        if self._frames and isinstance(self._frames[-1].container, dict) and self._frames[-1].key is None:
            self._fail("a key must be plain text", event)
        self._note(event)
        path = self._path() if len(self._frames) <= self._limits.position_depth else ()
        self._frames.append(_Frame(container, path, event.anchor, self._nodes))

    def _close(self, event: yaml.Event) -> None:
        frame = self._frames.pop()
        if isinstance(frame.container, dict):
            for merged in frame.merges:
                for key, value in merged.items():
                    frame.container.setdefault(key, value)
        self._remember(frame.anchor, frame.container, self._nodes - frame.start + 1)
        self._place(frame.container, event)

    def _remember(self, anchor: str | None, value: Json, nodes: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = (value, nodes)

    def _alias(self, event: yaml.AliasEvent) -> None:
        known = self._anchors.get(event.anchor or "")
        if known is None:
            self._fail(f"alias *{event.anchor} refers to nothing before it", event)
        if isinstance(self._frames[-1].container, dict) and self._frames[-1].key is None:
            self._fail("a key must be plain text", event)
        self._count(known[1], event)
        self._place(known[0], event)

    def _place(self, value: Json, event: yaml.Event) -> None:
        if not self._frames:
            self.value = value
            return
        frame = self._frames[-1]
        if isinstance(frame.container, list):
            frame.container.append(value)
        elif frame.key == "<<":
            frame.merges += self._merged(value, event)
            frame.key = None
        else:
            frame.container[frame.key or ""] = value
            frame.key = None

    def _merged(self, value: Json, event: yaml.Event) -> list[JsonObject]:
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            self._fail("'<<' takes a mapping or a list of mappings", event)
        return sources


def resolve_scalar(text: str) -> Json:
    """The value of a plain scalar under YAML 1.2's core schema; infinities and NaN stay text."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _PREFIXED.fullmatch(text):
        return int(text, 0)
    return float(text) if len(text) <= 64 and _FLOAT.fullmatch(text) else text


def load_json(data: bytes, file: str, limit: int) -> Document:
    """Load a JSON file; duplicate keys, NaN and bad syntax are `ConfigError` with a position."""
    text = decode_text(data, file, limit)
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ConfigError(f"not JSON: {error.msg}", where=f"{file}:{error.lineno}:{error.colno}") from error
    except _BadKey as error:
        raise ConfigError(str(error), where=locate(text, file, json.dumps(error.key, ensure_ascii=False), last=True)) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not JSON: {error}", where=f"{file}:1:1") from error
    return Document(file, value, {})


class _BadKey(ValueError):
    def __init__(self, key: str) -> None:
        super().__init__(f"duplicate key {key!r}")
        self.key = key


def _unique(pairs: list[tuple[str, Json]]) -> JsonObject:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _BadKey(key)
            seen.add(key)
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def locate(text: str, file: str, needle: str, *, last: bool = False) -> str:
    """``file:line:column`` of the first (or last) occurrence of `needle`, else the start of the file."""
    place = max(text.rfind(needle) if last else text.find(needle), 0)
    return f"{file}:{text.count(chr(10), 0, place) + 1}:{place - (text.rfind(chr(10), 0, place) + 1) + 1}"
