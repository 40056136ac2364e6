"""The objects of a request that are neither talk nor tools, both ways for this wire's own requests: sampling, the model's own additional
fields, the form of the answer, metadata and tier. Readers fill `fields` and give back what is left of the object."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from headgate.domain.request import Reasoning, Request, ResponseFormat
from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject, arr, decode, encode_text, number, obj, text, type_name

REASONING_CONFIG = "reasoning_config"
"""Spelling mark: Claude's thinking under its older name."""

NOVA = "reasoningConfig"
"""Spelling mark: Amazon Nova's reasoning, steered by effort."""

EFFORT_FIELD = "reasoning_effort"
"""Spelling mark: the effort as OpenAI's models on Bedrock take it."""

NOVA_TOP_K = "topK"
"""Spelling mark: top_k inside the additional `inferenceConfig`, as Nova takes it."""

SCHEMA = "schema:"
"""Spelling mark: the answer's schema as the JSON text it came in, where that is not compact."""


def parse_inference(value: Json, fields: JsonObject) -> JsonObject | None:
    """`inferenceConfig`."""
    rest = dict(obj(value, "inferenceConfig"))
    for key, (name, read) in _INFERENCE.items():
        found = rest.get(key)
        if found is not None and found != []:
            fields[name] = read(found, f"inferenceConfig.{key}")
            del rest[key]
    return rest if rest or not value else None


def _whole(value: Json, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise WireError(f"{path} must be an integer, not {type_name(value)}", param=path)
    return value


def _words(value: Json, path: str) -> tuple[str, ...]:
    return tuple([text(item, f"{path}[{place}]") for place, item in enumerate(arr(value, path))])


_INFERENCE: dict[str, tuple[str, Callable[[Json, str], Json]]] = {
    "maxTokens": ("max_tokens", _whole),
    "temperature": ("temperature", number),
    "topP": ("top_p", number),
    "stopSequences": ("stop", _words),
}


def render_inference(request: Request) -> JsonObject:
    """The fields that `inferenceConfig` holds."""
    found = {"maxTokens": request.max_tokens, "temperature": request.temperature, "topP": request.top_p}
    wire: JsonObject = {key: value for key, value in found.items() if value is not None}
    if request.stop:
        wire["stopSequences"] = list(request.stop)
    return wire


def parse_additional(value: Json, fields: JsonObject) -> Json:
    """`additionalModelRequestFields`: reasoning in the model makers' own spellings, and `top_k`."""
    if not isinstance(value, dict):
        return value
    rest = dict(value)
    for key, read in _REASONING.items():
        found = None if key not in rest or "reasoning" in fields else read(rest[key])
        if found is not None:
            del rest[key]
            fields["reasoning"] = found
            if key != "thinking":
                fields["form"].append(key)
    _take_top_k(rest, fields)
    return rest if rest or not value else None


def _take_top_k(rest: JsonObject, fields: JsonObject) -> None:
    nested = rest.get("inferenceConfig")
    if _is_whole(rest.get("top_k")):
        fields["top_k"] = rest.pop("top_k")
    elif isinstance(nested, dict) and nested.keys() == {NOVA_TOP_K} and _is_whole(nested[NOVA_TOP_K]):
        fields["top_k"] = nested[NOVA_TOP_K]
        fields["form"].append(NOVA_TOP_K)
        del rest["inferenceConfig"]


def _is_whole(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _claude(value: Json) -> Reasoning | None:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return None
    rest = dict(value)
    mode, budget, visible = rest.pop("type"), None, None
    if _is_whole(rest.get("budget_tokens")):
        budget = rest.pop("budget_tokens")
    if rest.get("display") in ("summarized", "omitted"):
        visible = rest.pop("display") == "summarized"
    return Reasoning(None, budget, mode, visible, rest or None)


def _nova(value: Json) -> Reasoning | None:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return None
    effort = value.get("maxReasoningEffort")
    known = {"type", "maxReasoningEffort"} if isinstance(effort, str) else {"type"}
    rest = {key: item for key, item in value.items() if key not in known}
    return Reasoning(effort if isinstance(effort, str) else None, None, value["type"], None, rest or None)


def _effort_word(value: Json) -> Reasoning | None:
    return Reasoning(value) if isinstance(value, str) else None


_REASONING: dict[str, Callable[[Json], Reasoning | None]] = {
    "thinking": _claude,
    REASONING_CONFIG: _claude,
    NOVA: _nova,
    EFFORT_FIELD: _effort_word,
}


def render_additional(request: Request) -> JsonObject:
    """The fields that `additionalModelRequestFields` holds."""
    wire: JsonObject = {}
    wanted = request.reasoning
    if wanted is not None and EFFORT_FIELD in request.form:
        wire[EFFORT_FIELD] = wanted.effort
    elif wanted is not None and wanted.mode is not None:
        key = next((mark for mark in (REASONING_CONFIG, NOVA) if mark in request.form), "thinking")
        wire[key] = _nova_wire(wanted) if key == NOVA else thinking_wire(wanted)
    if request.top_k is not None:
        wire.update({"inferenceConfig": {NOVA_TOP_K: request.top_k}} if NOVA_TOP_K in request.form else {"top_k": request.top_k})
    return wire


def thinking_wire(wanted: Reasoning) -> JsonObject:
    """Claude's `thinking` object."""
    wire: JsonObject = {"type": wanted.mode}
    if wanted.budget is not None:
        wire["budget_tokens"] = wanted.budget
    if wanted.visible is not None:
        wire["display"] = "summarized" if wanted.visible else "omitted"
    return wire | (wanted.extra or {})


def _nova_wire(wanted: Reasoning) -> JsonObject:
    effort: JsonObject = {} if wanted.effort is None else {"maxReasoningEffort": wanted.effort}
    return {"type": wanted.mode, **effort, **(wanted.extra or {})}


def parse_output(value: Json, fields: JsonObject) -> JsonObject | None:
    """`outputConfig`: the answer's schema and the effort."""
    rest = dict(obj(value, "outputConfig"))
    wanted = _format(rest.get("textFormat"), fields)
    if wanted is not None:
        fields["response_format"] = wanted
        del rest["textFormat"]
    before = fields.get("reasoning") or Reasoning()
    if isinstance(rest.get("effort"), str) and before.effort is None and NOVA not in fields["form"]:
        fields["reasoning"] = replace(before, effort=rest.pop("effort"))
    return rest if rest or not value else None


def _format(value: Json, fields: JsonObject) -> ResponseFormat | None:
    """A `textFormat` of exactly the known shape; None when it is another one."""
    if not isinstance(value, dict) or value.get("type") != "json_schema" or value.keys() != {"type", "structure"}:
        return None
    structure = value["structure"]
    inner = structure.get("jsonSchema") if isinstance(structure, dict) and len(structure) == 1 else None
    if not isinstance(inner, dict) or not all(isinstance(item, str) for item in inner.values()):
        return None
    try:
        schema = decode(inner.get("schema", ""), what="outputConfig schema")
        compact = encode_text(schema)
    except (WireError, RecursionError):
        return None
    if compact != inner["schema"]:
        fields["form"].append(SCHEMA + inner["schema"])
    extra = {key: item for key, item in inner.items() if key not in ("schema", "name", "description")}
    return ResponseFormat("json_schema", schema, inner.get("name"), inner.get("description"), extra=extra or None)


def render_output(request: Request) -> JsonObject:
    """The fields that `outputConfig` holds."""
    wire: JsonObject = {}
    wanted, reasoning = request.response_format, request.reasoning
    if wanted is not None and wanted.kind == "json_schema":
        said = next((mark[len(SCHEMA) :] for mark in request.form if mark.startswith(SCHEMA)), None)
        wire["textFormat"] = text_format(wanted, said or encode_text(wanted.schema), wanted.extra)
    if reasoning is not None and reasoning.effort is not None and not {NOVA, EFFORT_FIELD} & {*request.form}:
        wire["effort"] = reasoning.effort
    return wire


def text_format(wanted: ResponseFormat, schema: str, extra: JsonObject | None = None) -> JsonObject:
    """A `textFormat` object; the schema travels as JSON text."""
    inner: JsonObject = {"schema": schema}
    if wanted.name is not None:
        inner["name"] = wanted.name
    if wanted.description is not None:
        inner["description"] = wanted.description
    return {"type": "json_schema", "structure": {"jsonSchema": inner | (extra or {})}}


def parse_metadata(value: Json, fields: JsonObject) -> Json:
    """`requestMetadata`: text by name."""
    if not isinstance(value, dict) or not value or not all(isinstance(item, str) for item in value.values()):
        return value
    fields["metadata"] = value
    return None


def parse_tier(value: Json, fields: JsonObject) -> Json:
    """`serviceTier`."""
    tier = tier_of(value)
    if tier is None:
        return value
    fields["service_tier"] = tier
    return None


def tier_of(value: Json) -> str | None:
    """The tier an object of exactly this shape names."""
    if not isinstance(value, dict) or value.keys() != {"type"} or not isinstance(value["type"], str):
        return None
    tier: str = value["type"]
    return tier
