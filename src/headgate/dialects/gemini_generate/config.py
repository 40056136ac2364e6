"""`generationConfig`: sampling, limits, the form of the answer, thinking.

Keys without a home stay in ``Request.extra["generationConfig"]`` and come back from there. An empty object is kept the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from headgate.dialects.gemini_generate.schema import from_subset, raised, to_subset
from headgate.dialects.gemini_generate.writer import Writer
from headgate.domain.request import Reasoning, Request, ResponseFormat
from headgate.errors import Unsupported, WireError
from headgate.wire.json import Json, JsonObject, arr, number, obj, text, type_name

STOP_MAX = 5

_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
"""Google's own table for `reasoning_effort` (Gemini API, OpenAI compatibility)."""

_LEVELS = ("minimal", "low", "medium", "high")


def _whole(value: Json, path: str) -> int:
    found = number(value, path)
    if found != int(found):
        raise WireError(f"{path} must be a whole number", param=path)
    return int(found)


def _flag(value: Json, path: str) -> bool:
    if isinstance(value, bool):
        return value
    raise WireError(f"{path} must be true or false, not {type_name(value)}", param=path)


_SCALARS: dict[str, tuple[str, Callable[[Json, str], object]]] = {
    "temperature": ("temperature", number),
    "topP": ("top_p", number),
    "topK": ("top_k", _whole),
    "maxOutputTokens": ("max_tokens", _whole),
    "candidateCount": ("n", _whole),
    "seed": ("seed", _whole),
    "presencePenalty": ("presence_penalty", number),
    "frequencyPenalty": ("frequency_penalty", number),
    "responseLogprobs": ("logprobs", _flag),
    "logprobs": ("top_logprobs", _whole),
}


_scalars_of = attrgetter(*(field for field, _ in _SCALARS.values()))


def parse_config(config: JsonObject, fields: JsonObject, form: list[str]) -> JsonObject | None:
    """Move what the domain knows from `config` to `fields` (arguments of `Request`); the rest is returned, None when there is none."""
    empty = not config
    for key in [key for key in config if key in _SCALARS and config[key] is not None]:
        field, read = _SCALARS[key]
        fields[field] = read(config.pop(key), f"generationConfig.{key}")
    if config.get("stopSequences"):
        stops = arr(config.pop("stopSequences"), "generationConfig.stopSequences")
        fields["stop"] = tuple(text(stop, f"generationConfig.stopSequences[{i}]") for i, stop in enumerate(stops))
    if config.get("thinkingConfig") is not None:
        fields["reasoning"] = _parse_thinking(dict(obj(config.pop("thinkingConfig"), "generationConfig.thinkingConfig")))
    if (found := _parse_format(config, form)) is not None:
        fields["response_format"] = found
    return config if config or empty else None


def _parse_thinking(config: JsonObject) -> Reasoning:
    path = "generationConfig.thinkingConfig"
    effort = budget = visible = None
    if config.get("thinkingBudget") is not None:
        budget = _whole(config.pop("thinkingBudget"), f"{path}.thinkingBudget")
    if config.get("includeThoughts") is not None:
        visible = _flag(config.pop("includeThoughts"), f"{path}.includeThoughts")
    if config.get("thinkingLevel") is not None:
        word = text(config["thinkingLevel"], f"{path}.thinkingLevel")
        effort = word.lower() if word.lower() in _LEVELS else None
        if effort == word:
            del config["thinkingLevel"]
    return Reasoning(effort, budget, visible=visible, extra=config or None)


_FORMAT_KEYS = frozenset({"responseMimeType", "responseJsonSchema", "responseSchema"})


def _parse_format(config: JsonObject, form: list[str]) -> ResponseFormat | None:
    """The form of the answer, from `responseMimeType` and one of the two schema fields."""
    if _FORMAT_KEYS.isdisjoint(config):
        return None
    mime = config.get("responseMimeType")
    key = next((key for key in ("responseJsonSchema", "responseSchema") if isinstance(config.get(key), dict)), None)
    if mime not in (None, "application/json", "text/plain"):
        text(mime, "generationConfig.responseMimeType")
        return None
    if key is None:
        if mime is None:
            return None
        del config["responseMimeType"]
        return ResponseFormat("json_object" if mime == "application/json" else "text")
    if mime == "text/plain":
        return None
    if mime is None:
        form.append("response:nomime")
    else:
        del config["responseMimeType"]
    schema = config.pop(key)
    if key == "responseSchema":
        schema, changed = from_subset(schema)
        form.append("response:capitals" if changed else "response:subset")
    return ResponseFormat("json_schema", schema)


def render_config(request: Request, writer: Writer) -> JsonObject | None:
    """The whole `generationConfig`, None when nothing is asked for."""
    config: JsonObject = {}
    for key, value in zip(_SCALARS, _scalars_of(request), strict=True):
        if value is not None:
            config[key] = value
    if request.stop:
        config["stopSequences"] = list(request.stop)
    if config and not writer.same:
        _fit(config, request, writer)
    if request.response_format is not None:
        _render_format(request.response_format, config, request.form, writer)
    if request.reasoning is not None:
        thinking = _own_thinking(request.reasoning) if writer.same else _render_thinking(request.reasoning, writer)
        if thinking is not None:
            config["thinkingConfig"] = thinking
    kept = (request.extra or {}).get("generationConfig") if writer.same else None
    if isinstance(kept, dict):
        config.update(kept)
    return config if config or kept is not None else None


def _fit(config: JsonObject, request: Request, writer: Writer) -> None:
    """Bring the numbers of another dialect within what the model takes."""
    can = writer.capabilities
    ceiling = 2.0 if can.temperature_max is None else can.temperature_max
    if request.temperature is not None and request.temperature > ceiling:
        config["temperature"] = ceiling
        writer.approximate("temperature", f"clamped to {ceiling:g}")
    if not (can.sampling and can.temperature_and_top_p and can.seed and can.penalties and can.logprobs):
        _fit_abilities(config, request, writer)
    if not can.choices and (request.n or 1) > 1:
        raise Unsupported(f"n={request.n}: this model gives one answer per call", param="n")
    if request.stop:
        _fit_stops(request.stop, config, writer)


def _fit_abilities(config: JsonObject, request: Request, writer: Writer) -> None:
    """Remove what the model does not take."""
    can = writer.capabilities
    for able, keys in (
        (can.sampling, ("temperature", "topP", "topK")),
        (can.temperature_and_top_p or request.temperature is None, ("topP",)),
        (can.seed, ("seed",)),
        (can.penalties, ("presencePenalty", "frequencyPenalty")),
        (can.logprobs, ("responseLogprobs", "logprobs")),
    ):
        if not able:
            _remove(keys, config, writer)


def _remove(keys: tuple[str, ...], config: JsonObject, writer: Writer) -> None:
    for key in keys:
        if config.pop(key, None) is not None:
            writer.drop(_SCALARS[key][0], "this model does not take it")


def _fit_stops(wanted: tuple[str, ...], config: JsonObject, writer: Writer) -> None:
    """Empty stop sequences mean nothing; those over the limit are reported (translation case 35)."""
    stops = [stop for stop in wanted if stop]
    most = STOP_MAX if writer.capabilities.stop_max is None else writer.capabilities.stop_max
    if len(stops) > most:
        writer.drop(f"stop[{most}:]", f"the Gemini API takes at most {most} stop sequences")
    config["stopSequences"] = stops[:most]
    if not stops:
        del config["stopSequences"]


def _render_format(wanted: ResponseFormat, config: JsonObject, form: tuple[str, ...], writer: Writer) -> None:
    marks = form if writer.same else ()
    if "response:nomime" not in marks:
        config["responseMimeType"] = "text/plain" if wanted.kind == "text" else "application/json"
    if not writer.same:
        _check_format(wanted, config, writer)
    if wanted.kind != "json_schema" or (not writer.same and writer.capabilities.structured_output == "json_object"):
        return
    if "response:capitals" in marks:
        config["responseSchema"] = raised(wanted.schema)
    elif "response:subset" in marks:
        config["responseSchema"] = wanted.schema
    elif writer.same or writer.capabilities.json_schema_field:
        config["responseJsonSchema"] = wanted.schema
    else:
        config["responseSchema"] = to_subset(wanted.schema, writer, "response_format.json_schema.schema")


def _check_format(wanted: ResponseFormat, config: JsonObject, writer: Writer) -> None:
    """Report or refuse what a model cannot promise about the form. `name` is a label without meaning here; `strict` holds always."""
    able = writer.capabilities.structured_output
    if wanted.kind == "text":
        del config["responseMimeType"]
    elif able == "none":
        raise Unsupported("this model has no structured output", param="response_format", hint="describe the form in the prompt")
    elif wanted.kind == "json_schema" and able == "json_object":
        writer.approximate("response_format.json_schema", "this model promises JSON, not this schema")
    if wanted.description is not None:
        writer.drop("response_format.json_schema.description", "not expressible in the Gemini API")
    writer.kept(wanted.extra, "response_format")


def _own_thinking(reasoning: Reasoning) -> JsonObject:
    config: JsonObject = {}
    if reasoning.budget is not None:
        config["thinkingBudget"] = reasoning.budget
    if reasoning.effort is not None:
        config["thinkingLevel"] = reasoning.effort
    if reasoning.visible is not None:
        config["includeThoughts"] = reasoning.visible
    config.update(reasoning.extra or {})
    return config


def _render_thinking(reasoning: Reasoning, writer: Writer) -> JsonObject | None:
    """Effort words, budgets and levels of another dialect in this model's terms (translation case 76)."""
    writer.kept(reasoning.extra, "reasoning")
    able = writer.capabilities.reasoning
    effort = "none" if reasoning.mode == "disabled" else reasoning.effort
    if able == "none":
        if effort not in (None, "none") or reasoning.budget:
            writer.drop("reasoning", "this model does not think")
        return None
    config: JsonObject = {}
    if able == "budget":
        _set_budget(config, effort, reasoning, writer)
    else:
        _set_level(config, effort, reasoning.budget, writer)
    if reasoning.visible is not None:
        config["includeThoughts"] = reasoning.visible
    return config or None


def _set_budget(config: JsonObject, effort: str | None, reasoning: Reasoning, writer: Writer) -> None:
    budget = reasoning.budget
    if budget is None and effort is not None:
        budget = _BUDGETS.get(effort)
        if budget is None:
            budget = _BUDGETS["high"]
            writer.approximate("reasoning.effort", f"{effort!r} is sent as a thinking budget of {budget} tokens")
    elif budget is None and reasoning.mode in ("adaptive", "enabled"):
        budget = -1
    if budget == 0 and writer.capabilities.reasoning_required:
        budget = _BUDGETS["minimal"]
        writer.approximate("reasoning", f"this model always thinks: budget {budget}")
    if budget is not None:
        config["thinkingBudget"] = budget


def _set_level(config: JsonObject, effort: str | None, budget: int | None, writer: Writer) -> None:
    if effort is None and budget is not None and budget >= 0:
        effort = _nearest_level(budget)
        writer.approximate("reasoning.budget", f"this model takes levels: {budget} tokens are sent as {effort!r}")
    if effort is None:
        return
    level = effort if effort in _LEVELS else ("minimal" if effort == "none" else "high")
    if level != effort:
        writer.approximate("reasoning.effort", f"{effort!r} is sent as the level {level!r}")
    config["thinkingLevel"] = level


def _nearest_level(budget: int) -> str:
    for name, top in (("minimal", 0), ("low", 4096), ("medium", 16384)):
        if budget <= top:
            return name
    return "high"
