"""The settings file as a JSON Schema, for editors: made of the tables that read it."""

from __future__ import annotations

from headgate.config.sections import SECTIONS
from headgate.config.settings import READERS, SPECS
from headgate.config.shapes import VARIABLE_PATTERN
from headgate.wire.json import JsonObject

_OR_VARIABLE: JsonObject = {"type": "string", "pattern": VARIABLE_PATTERN}


def settings_schema() -> JsonObject:
    """JSON Schema (draft 7) of ``headgate.yaml``. Whatever the reader takes is valid; what variables hold is not looked at."""
    scalars = {name: _optional({"anyOf": [READERS[spec.read], _OR_VARIABLE]}) for name, spec in SPECS.items()}
    sections = {name: _optional(section.shape.schema()) for name, section in SECTIONS.items()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Settings of Headgate",
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {**scalars, **sections},
    }


def _optional(schema: JsonObject) -> JsonObject:
    return {"anyOf": [schema, {"type": "null"}]}
