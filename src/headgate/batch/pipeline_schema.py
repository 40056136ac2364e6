"""The configuration of a pipeline as a JSON Schema, for editors: the readers of the configuration say themselves what they read.

Each reader is handed a `Recorder` in place of a section of a file. It answers that nothing is there, and notes down what was asked for. So
the schema cannot drift from what is read; only what readers look at by themselves, behind a `mapping`, stands in `REFINED`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TypeVar

from headgate.batch.config_reader import Findings, Section
from headgate.batch.pipeline import FORMAT, Coercion, StepKind, Strategy
from headgate.batch.pipeline_config import MAX_ITERATIONS, RULE_TYPES, read_rules, read_step
from headgate.batch.pipeline_files import Snapshot, SnapshotFiles
from headgate.batch.pipeline_load import read_config
from headgate.batch.yaml_source import load_yaml
from headgate.wire.json import Json, JsonObject

_Word = TypeVar("_Word", bound=StrEnum)
_TEXTS: JsonObject = {"type": "array", "items": {"type": "string"}}
_SOME: JsonObject = {"anyOf": [{"type": "string"}, {**_TEXTS, "minItems": 1}]}
_OUTSIDE = r"^/|(^|/)\.\.(/|$)|\\|^\.(/\.?)*$"
"""Paths that name no place below the run's outputs."""
_BOUND: JsonObject = {"type": ["number", "null"]}
_FILES: JsonObject = {"type": ["object", "null"], "additionalProperties": {"type": "string"}}


class Recorder(Section):
    """A section in which nothing is; what is asked for becomes `schema`."""

    def __init__(self, kind: StepKind | None = None) -> None:
        super().__init__(_NOWHERE, (), {}, Findings())
        self._kind = kind
        self.properties: JsonObject = {}
        self._required: list[str] = []
        self._below: dict[str, Recorder] = {}
        self._lists: dict[str, Recorder] = {}
        self._closed = False

    def schema(self) -> JsonObject:
        """What a value of this section looks like."""
        properties = dict(self.properties)
        properties |= {key: _optional(below.schema()) for key, below in self._below.items()}
        properties |= {key: {"type": ["array", "null"], "items": below.schema()} for key, below in self._lists.items()}
        found: JsonObject = {"type": "object", "properties": properties}
        if self._required:
            found["required"] = self._required
        return {**found, "additionalProperties": False} if self._closed else found

    def raw(self, key: str) -> Json:
        """Anything may be there."""
        self.properties.setdefault(key, {})
        return None

    def has(self, key: str) -> bool:
        """Yes, so that the reader goes on to read it."""
        self.raw(key)
        return True

    def text(self, key: str) -> str | None:
        """A text."""
        self.properties[key] = {"type": ["string", "null"]}
        return None

    def required_text(self, key: str) -> str:
        """A text that must be there."""
        self.properties[key] = {"type": "string"}
        self._required.append(key)
        return key

    def integer(self, key: str, default: int, *, least: int = 0) -> int:
        """An integer."""
        self.properties[key] = {"type": ["integer", "null"], "minimum": least, "default": default}
        return default

    def optional_integer(self, key: str, *, least: int = 0) -> int | None:
        """An integer, or nothing."""
        self.properties[key] = {"type": ["integer", "null"], "minimum": least}
        return None

    def number(self, key: str, default: float | None = None, *, least: float = 0.0) -> float | None:
        """A number."""
        said: JsonObject = {"type": ["number", "null"], "minimum": least}
        self.properties[key] = said if default is None else {**said, "default": default}
        return default

    def boolean(self, key: str, default: bool) -> bool:
        """True or false."""
        self.properties[key] = {"type": ["boolean", "null"], "default": default}
        return default

    def choice(self, key: str, words: type[_Word], default: _Word) -> _Word:
        """One of some words. A step's scope is the one that this recorder is for."""
        options = [word.value for word in words]
        self.properties[key] = {"enum": [*options, None], "default": default.value}
        if self._kind is not None and key == "scope":
            return words(self._kind.value)
        return default

    def section(self, key: str) -> Recorder:
        """A mapping below."""
        return self._below.setdefault(key, Recorder())

    def sections(self, key: str) -> list[Section]:
        """A list of mappings."""
        return [self._lists.setdefault(key, Recorder())]

    def texts(self, key: str) -> tuple[str, ...]:
        """A text or some."""
        self.properties[key] = {"anyOf": [{"type": ["string", "null"]}, _TEXTS]}
        return ()

    def sources(self, key: str) -> tuple[tuple[str, str], ...]:
        """Names and expressions."""
        self.properties[key] = {"type": ["object", "null"], "additionalProperties": {"type": ["string", "number", "boolean"]}}
        return ()

    def mapping(self, key: str) -> JsonObject:
        """Names and values of any kind."""
        self.properties[key] = {"type": ["object", "null"]}
        return {}

    def ignore(self, *keys: str) -> None:
        """Keys that may be there."""
        for key in keys:
            self.raw(key)

    def where(self, *path: str | int) -> str:
        """Nowhere."""
        return ""

    def error(self, message: str, *path: str | int, hint: str | None = None) -> None:
        """What is missing here is no fault."""

    def close(self) -> None:
        """Nothing else may be there."""
        self._closed = True


_NOWHERE = load_yaml(b"{}", "schema")


def _optional(schema: JsonObject) -> JsonObject:
    return {**schema, "type": ["object", "null"]}


def pipeline_schema() -> JsonObject:
    """JSON Schema (draft 7) of a pipeline's ``config.yaml``. What is a warning when it is read, an unknown key, is not valid here."""
    root = Recorder()
    read_config(root, SnapshotFiles(Snapshot(FORMAT, "", "", {})), Findings())
    schema = root.schema()
    found: JsonObject = schema["properties"]
    found["pipeline"]["properties"]["steps"] = {"type": "array", "minItems": 1, "items": _step_schema()}
    found["validation"] = {"type": ["object", "null"], "additionalProperties": _optional(_rules_schema())}
    _refine_after(found["post_process"]["items"])
    for path, refined in REFINED.items():
        _put(schema, path, refined)
    for name in ("pipeline", "processing"):
        found[name] = {**found[name], "type": "object"}
    found["pipeline"]["required"] = ["steps"]
    found["processing"] |= _POSITIONS
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A pipeline of Headgate",
        **schema,
        "required": ["pipeline", "processing"],
    }


_COERCIONS: JsonObject = {"enum": [word.value for word in Coercion]}
REFINED: dict[tuple[str, ...], JsonObject] = {
    ("prompts", "template_dir"): {"type": ["string", "null"]},
    ("prompts", "templates"): _FILES,
    ("schemas", "schema_dir"): {"type": ["string", "null"]},
    ("schemas", "files"): _FILES,
    ("schemas", "coercions"): {"anyOf": [{"type": "null"}, _COERCIONS, {"type": "array", "items": _COERCIONS}]},
}
"""What readers look at by themselves, by its place."""
_POSITIONS: JsonObject = {
    "if": {"properties": {"strategy": {"const": Strategy.DIRECT.value}}, "required": ["strategy"]},
    "else": {"properties": {"positions": {"type": "array", "minItems": 1}}, "required": ["positions"]},
}


def _put(schema: JsonObject, path: Iterable[str], refined: JsonObject) -> None:
    *above, last = path
    for name in above:
        schema = schema["properties"][name]
    schema["properties"][last] = refined


def _rules_schema() -> JsonObject:
    recorder = Recorder()
    read_rules(recorder)
    schema = recorder.schema()
    schema["properties"] |= {
        "types": {"type": ["object", "null"], "additionalProperties": {"enum": sorted(RULE_TYPES)}},
        "ranges": {
            "type": ["object", "null"],
            "additionalProperties": {"type": "array", "items": _BOUND, "minItems": 2, "maxItems": 2},
        },
        "enums": {"type": ["object", "null"], "additionalProperties": {"type": "array"}},
    }
    return schema


def _step_schema() -> JsonObject:
    """A step is what its scope says; without one it asks a model."""
    words = [kind.value for kind in StepKind]
    branches: list[JsonObject] = [{"if": _has_scope(kind), "then": _kind_schema(kind)} for kind in StepKind]
    return {"type": "object", "required": ["name"], "properties": {"scope": {"enum": [*words, None]}}, "allOf": branches}


def _has_scope(kind: StepKind) -> JsonObject:
    if kind is not StepKind.LLM:
        return {"properties": {"scope": {"const": kind.value}}, "required": ["scope"]}
    others = [other.value for other in StepKind if other is not StepKind.LLM]
    return {"not": {"properties": {"scope": {"enum": others}}, "required": ["scope"]}}


def _kind_schema(kind: StepKind) -> JsonObject:
    recorder = Recorder(kind)
    read_step(recorder)
    refine = _STEP_REFINED.get(kind)
    return recorder.schema() if refine is None else refine(recorder.schema())


def _expressions_needed(schema: JsonObject) -> JsonObject:
    properties: JsonObject = schema["properties"]
    properties["expressions"] = {**properties["expressions"], "type": "object", "minProperties": 1}
    properties["max_iterations"] = {**properties["max_iterations"], "maximum": MAX_ITERATIONS}
    return {**schema, "required": [*schema["required"], "expressions"]}


def _fields_needed(schema: JsonObject) -> JsonObject:
    schema["properties"]["by"] = _SOME
    return {**schema, "required": [*schema["required"], "by"]}


def _count_or_share(schema: JsonObject) -> JsonObject:
    schema["properties"]["share"]["maximum"] = 1
    either: list[JsonObject] = [
        {"required": [name], "properties": {name: {"type": kind}}} for name, kind in (("count", "integer"), ("share", "number"))
    ]
    return {**schema, "oneOf": either}


def _places_below(schema: JsonObject) -> JsonObject:
    properties: JsonObject = schema["properties"]
    properties["output_dir"] = {**properties["output_dir"], "not": {"type": "string", "pattern": _OUTSIDE}}
    properties["compression"] = {"enum": ["none", "gzip", None]}
    return schema


_STEP_REFINED: dict[StepKind, Callable[[JsonObject], JsonObject]] = {
    StepKind.EXPRESSION: _expressions_needed,
    StepKind.DEDUPE: _fields_needed,
    StepKind.SAMPLE: _count_or_share,
    StepKind.RUN: _places_below,
}


def _refine_after(schema: JsonObject) -> None:
    """An entry of `post_process` has something to do."""
    place: JsonObject = {"type": "string", "minLength": 1, "not": {"type": "string", "pattern": _OUTSIDE}}
    properties: JsonObject = schema["properties"]
    properties["type"] = {"enum": ["script", "gzip", None]}
    properties["output"] = {"anyOf": [{"type": "null"}, place]}
    properties["files"] = {"anyOf": [{"type": "null"}, place, {"type": "array", "items": place}]}
    words: list[JsonObject] = [{"type": "string", "pattern": "\\S"}, {"type": ["number", "boolean", "object"]}, {**_TEXTS, "minItems": 1}]
    schema["anyOf"] = [
        {"required": ["script"], "properties": {"script": {"type": "string"}}},
        {"required": ["command"], "properties": {"command": {"anyOf": words}}},
        {"required": ["files"], "properties": {"files": {"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1}]}}},
    ]


def pipeline_schema_text() -> str:
    """The schema as indented JSON."""
    return json.dumps(pipeline_schema(), indent=1) + "\n"
