"""`response_format` and the reasoning switches of a request, in both directions."""

from __future__ import annotations

from headgate.domain.request import Reasoning, ResponseFormat
from headgate.wire.json import Json, JsonObject

_SCHEMA_KEYS = ("name", "description", "schema", "strict")


def parse_response_format(value: Json) -> ResponseFormat | None:
    """Read `response_format`; None for a kind or shape the domain cannot hold."""
    if not isinstance(value, dict):
        return None
    kind = value.get("type")
    if kind == "json_schema":
        return _json_schema(value)
    extra = {key: item for key, item in value.items() if key != "type"} or None
    if kind == "json_object":
        return ResponseFormat("json_object", extra=extra)
    return ResponseFormat("text", extra=extra) if kind == "text" else None


def _json_schema(value: JsonObject) -> ResponseFormat | None:
    inner = value.get("json_schema")
    if not isinstance(inner, dict):
        return None
    name, description, strict = inner.get("name"), inner.get("description"), inner.get("strict")
    name = name if isinstance(name, str) else None
    description = description if isinstance(description, str) else None
    strict = strict if isinstance(strict, bool) else None
    held = {"name": name, "description": description, "schema": inner.get("schema"), "strict": strict}
    extra = {key: item for key, item in value.items() if key not in ("type", "json_schema")}
    rest = {key: item for key, item in inner.items() if held.get(key) is None}
    if rest:
        extra["json_schema"] = rest
    return ResponseFormat("json_schema", inner.get("schema"), name, description, strict, extra or None)


def render_response_format(value: ResponseFormat) -> JsonObject:
    """Write `response_format`, extra keys included."""
    shape: JsonObject = {"type": value.kind}
    extra = dict(value.extra or {})
    if value.kind == "json_schema":
        fields = (value.name, value.description, value.schema, value.strict)
        inner = {key: item for key, item in zip(_SCHEMA_KEYS, fields, strict=True) if item is not None}
        shape["json_schema"] = {**inner, **extra.pop("json_schema", {})}
    return {**shape, **extra}


def parse_reasoning(value: Json) -> Reasoning | None:
    """Read OpenRouter's `reasoning` object; None for anything but effort, max_tokens and exclude in their own types."""
    if not isinstance(value, dict) or not value or not value.keys() <= {"effort", "max_tokens", "exclude"}:
        return None
    effort, budget, exclude = value.get("effort"), value.get("max_tokens"), value.get("exclude")
    found = Reasoning(
        effort=effort if isinstance(effort, str) else None,
        budget=budget if type(budget) is int else None,
        visible=not exclude if isinstance(exclude, bool) else None,
    )
    return found if render_reasoning(found) == value else None


def render_reasoning(value: Reasoning) -> JsonObject:
    """Write OpenRouter's `reasoning` object."""
    exclude = None if value.visible is None else not value.visible
    fields = {"effort": value.effort, "max_tokens": value.budget, "exclude": exclude}
    return {key: item for key, item in fields.items() if item is not None}
