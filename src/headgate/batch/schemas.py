"""JSON Schemas of a pipeline: bounded, local, compiled once (OCT-90, faults I6 to I8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import jsonschema_rs
import msgspec

from headgate.batch.coerce import resolve_pointer
from headgate.batch.yaml_source import decode_text, load_json, locate
from headgate.errors import ConfigError
from headgate.wire.json import Json, JsonObject, encode_text, type_name

MAX_SCHEMA = 256 << 10
MAX_DEPTH = 64
MAX_REFS = 500
MAX_EXPANSION = 100_000
MAX_PROBLEMS = 20
_MESSAGE = 300
_DATA_KEYS = frozenset({"const", "enum", "default", "examples"})
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


class SchemaProblem(msgspec.Struct, frozen=True):
    """One violation: where in the answer, the schema keyword, and the message."""

    path: str
    keyword: str
    message: str


class CompiledSchema:
    """A schema ready to validate. Nothing outside it is ever fetched, and patterns run in linear time."""

    def __init__(self, schema: JsonObject, file: str = "schema") -> None:
        """Compile `schema`. Raises `ConfigError` for an invalid one."""
        self.schema = schema
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                schema, retriever=_refuse_retrieval, pattern_options=jsonschema_rs.RegexOptions(), validate_formats=False
            )
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            raise ConfigError(f"not a usable JSON Schema: {str(error)[:_MESSAGE]}", where=file) from error

    @property
    def top_names(self) -> frozenset[str]:
        """The property names the top level speaks of: `properties` and `required`."""
        root = self.schema
        if isinstance(root.get("$ref"), str):
            target = resolve_pointer(root, root["$ref"])
            root = target if isinstance(target, dict) else root
        return frozenset(root.get("properties", ())) | frozenset(root.get("required", ()))

    def accepts(self, value: Json) -> bool:
        """True if `value` is valid."""
        return bool(self._validator.is_valid(value))

    def problems(self, value: Json) -> tuple[SchemaProblem, ...]:
        """The first `MAX_PROBLEMS` violations."""
        found = []
        for error in self._validator.iter_errors(value):
            keyword = str(error.schema_path[-1]) if error.schema_path else "false"
            found.append(SchemaProblem(json_path(error.instance_path), keyword, _clip(error.message)))
            if len(found) == MAX_PROBLEMS:
                break
        return tuple(found)


def _refuse_retrieval(uri: str) -> NoReturn:
    raise ValueError(f"references to {uri!r} are not followed")


def _clip(text: str) -> str:
    return text if len(text) <= _MESSAGE else f"{text[: _MESSAGE - 1]}…"


def json_path(parts: list[str | int]) -> str:
    """``$.cards[2].rank`` from its parts."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def read_schema(data: bytes, file: str) -> JsonObject:
    """Load and bound a schema file. Raises `ConfigError` with its position for anything unusable."""
    document = load_json(data, file, MAX_SCHEMA)
    schema = document.value
    if not isinstance(schema, dict):
        raise ConfigError(f"a schema is an object, not {type_name(schema)}", where=f"{file}:1:1")
    text = decode_text(data, file, MAX_SCHEMA)
    references = list(_references(schema, file, 0))
    if len(references) > MAX_REFS:
        raise ConfigError(f"the schema has {len(references)} references; the limit is {MAX_REFS}", where=f"{file}:1:1")
    for reference in references:
        where = locate(text, file, encode_text(reference))
        if not reference.startswith("#"):
            raise ConfigError(f"the schema refers to {reference!r}; only references within the file (#/…) are allowed", where=where)
        if reference.startswith("#/") and resolve_pointer(schema, reference) is None:
            raise ConfigError(f"the schema refers to {reference!r}, which is not there", where=where)
    if _Expansion(schema).size(schema) > MAX_EXPANSION:
        raise ConfigError(f"the schema expands to more than {MAX_EXPANSION:,} parts", where=f"{file}:1:1")
    CompiledSchema(schema, f"{file}:1:1")
    return schema


def _references(value: Json, file: str, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise ConfigError(f"the schema is nested more than {MAX_DEPTH} deep", where=f"{file}:1:1")
    if isinstance(value, list):
        for item in value:
            yield from _references(item, file, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in _REFERENCES and isinstance(item, str):
                yield item
            elif key not in _DATA_KEYS:
                yield from _references(item, file, depth + 1)


class _Expansion:
    """Size of a schema with every reference written out; a reference back to itself counts once."""

    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._known: dict[int, int] = {}

    def size(self, value: Json) -> int:
        if not isinstance(value, dict | list):
            return 0
        known = self._known.get(id(value))
        if known is not None:
            return known
        self._known[id(value)] = 1
        total = 1
        if isinstance(value, list):
            total += sum(map(self.size, value))
        else:
            total += sum(self.size(item) for key, item in value.items() if key not in _DATA_KEYS)
            total += sum(self.size(resolve_pointer(self._root, value[key])) for key in _REFERENCES if isinstance(value.get(key), str))
        self._known[id(value)] = total
        return total
