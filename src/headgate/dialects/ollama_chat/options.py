"""`options`: the knobs of the sampler and of the runner.

Those the domain names are fields of the request; all others (num_ctx, min_p, repeat_penalty, mirostat …) stay in ``extra["options"]``, as
do a negative `num_predict` (-1: without limit, -2: to the end of the context) and nulls. Marks in `Request.form`: "options:empty",
"stop:string", "stop:empty".
"""

from __future__ import annotations

from operator import attrgetter

from headgate.dialects.ollama_chat.values import malformed
from headgate.domain.request import Request
from headgate.wire.json import Json, JsonObject, type_name

_FLOATS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
_INTEGERS = {"num_predict": "max_tokens", "top_k": "top_k", "seed": "seed"}
_FIELDS = {**_FLOATS, **_INTEGERS}
_values_of = attrgetter(*_FIELDS.values())


def parse_options(options: JsonObject, fields: JsonObject, form: list[str]) -> JsonObject | None:
    """Put what the domain names into `fields`; the rest is returned. Raises `WireError` naming an option of the wrong type."""
    if not options:
        form.append("options:empty")
    rest: JsonObject = {}
    for key, value in options.items():
        if value is None:
            rest[key] = value
        elif key == "stop":
            fields["stop"] = _stop(value, form)
        elif (field := _FIELDS.get(key)) is not None and (found := _number(key, value)) is not None:
            fields[field] = found
        else:
            rest[key] = value
    return rest or None


def _number(key: str, value: Json) -> float | int | None:
    """The value for a field; None when only this wire can hold it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise malformed(f"options.{key}", f"a number, not {type_name(value)}")
    if key in _FLOATS:
        return value
    whole = int(value) if value == value // 1 else None
    return None if key == "num_predict" and whole is not None and whole < 0 else whole


def _stop(value: Json, form: list[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        form.append("stop:string")
        return (value,)
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise malformed("options.stop", "an array of strings")
    if not value:
        form.append("stop:empty")
    return tuple(value)


def render_options(request: Request, form: tuple[str, ...], kept: Json) -> JsonObject | None:
    """The whole `options`, with what was `kept` of them; None when nothing is asked for."""
    options: JsonObject = {key: value for key, value in zip(_FIELDS, _values_of(request), strict=True) if value is not None}
    if request.stop or "stop:empty" in form:
        options["stop"] = request.stop[0] if "stop:string" in form and len(request.stop) == 1 else list(request.stop)
    if isinstance(kept, dict):
        options.update(kept)
    return options if options or "options:empty" in form else None


def num_ctx_of(request: Request) -> int | None:
    """The context the caller chose (``options.num_ctx`` of a request of this wire), None when nothing usable was said."""
    options = (request.extra or {}).get("options")
    value = options.get("num_ctx") if isinstance(options, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
