"""`format`: "json", or the JSON Schema the answer must have, held by a grammar while the model writes (case 78)."""

from __future__ import annotations

from headgate.dialects.ollama_chat.report import Report
from headgate.domain.request import ResponseFormat
from headgate.wire.json import Json, loaded


def parse_format(value: Json) -> ResponseFormat | None:
    """Read `format`; None for anything but "json" and a schema."""
    if value == "json":
        return ResponseFormat("json_object")
    return ResponseFormat("json_schema", value) if isinstance(value, dict) else None


def render_own_format(wish: ResponseFormat) -> Json:
    """`format` as it came from this wire."""
    return "json" if wish.kind == "json_object" else wish.schema if wish.kind == "json_schema" else None


def render_format(wish: ResponseFormat, report: Report) -> Json:
    """`format` for a wish of any origin, None for plain text. A schema is always kept to, whatever `strict` says; it has no name here."""
    report.drop_extra(wish.extra, "response_format.")
    if wish.kind == "text":
        return None
    ability = report.capabilities.structured_output
    if ability == "none":
        report.drop("response_format", "the model has no structured output on this wire")
        return None
    if wish.description is not None:
        report.drop("response_format.description", "Ollama takes the schema alone")
    schema = loaded(wish.schema)
    if wish.kind == "json_schema" and ability != "json_object" and isinstance(schema, dict):
        return schema
    if wish.kind == "json_schema":
        report.change("response_format", "no schema can be kept to here: any JSON object is asked for")
    return "json"
