"""OpenAI Responses as api.openai.com speaks them: reading requests (recorded traffic; OpenAI API reference, "Responses")."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headgate.sim.exchange import Problem, need_object
from headgate.sim.models import is_unknown
from headgate.sim.responder import Ask, Tool, text_of
from headgate.wire.json import Json, JsonObject, encode_text

LEAST_OUTPUT = 16
_ROLES = ("system", "developer", "user", "assistant")
_PICTURES = ("input_image", "input_file")


class Wanted(msgspec.Struct, frozen=True):
    """A validated request. `items` is the input as items, `stored` whether it is kept; `summary` and `encrypted` shape reasoning items."""

    ask: Ask
    body: JsonObject
    items: tuple[JsonObject, ...]
    stream: bool
    stored: bool
    summary: bool
    encrypted: bool


def parse(body: JsonObject, history: tuple[JsonObject, ...] = ()) -> Wanted:
    """Read a request; `history` are the items of the responses it follows. Raises `Problem` for what the provider refuses."""
    items = read_input(body.get("input"))
    reasoning = need_object(body.get("reasoning") or {}, "reasoning")
    return Wanted(
        ask=_ask(_model(body), body, [*history, *items], reasoning),
        body=body,
        items=tuple(items),
        stream=body.get("stream") is True,
        stored=body.get("store") is not False,
        summary=reasoning.get("summary") is not None or reasoning.get("generate_summary") is not None,
        encrypted="reasoning.encrypted_content" in (body.get("include") or ()),
    )


def _model(body: JsonObject) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Problem("bad_request", "Missing required parameter: 'model'.", code="missing_required_parameter", param="model")
    if is_unknown(model):
        message = f"The requested model '{model}' does not exist."
        raise Problem("model_not_found", message, status=400, param="model")
    if body.get("conversation") is not None:
        raise Problem("bad_request", "The simulator keeps no conversations; send 'previous_response_id'.", param="conversation")
    return model


def read_input(value: Json) -> list[JsonObject]:
    """The input as a list of items; a string is one user message."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": value}]}]
    if not isinstance(value, list):
        raise Problem("bad_request", "Missing required parameter: 'input'.", code="missing_required_parameter", param="input")
    items = [need_object(item, f"input[{index}]") for index, item in enumerate(value)]
    for index, item in enumerate(items):
        if item.get("type", "message") == "message" and item.get("role") not in _ROLES:
            supported = ", ".join(map(repr, _ROLES))
            message = f"Invalid value: '{item.get('role')}'. Supported values are: {supported}."
            raise Problem("bad_request", message, code="invalid_value", param=f"input[{index}].role")
    return items


def _ask(model: str, body: JsonObject, items: list[JsonObject], reasoning: JsonObject) -> Ask:
    instructions = body.get("instructions")
    schema, json_object = _format(body.get("text"))
    forced, no_tools = _tool_choice(body.get("tool_choice"))
    users = (item for item in reversed(items) if item.get("role") == "user")
    return Ask(
        model=model,
        texts=(*((instructions,) if isinstance(instructions, str) else ()), *_texts(items)),
        last_user=next((text_of(item.get("content")) for item in users), ""),
        results=_results(items),
        schema=schema,
        json_object=json_object,
        tools=tuple(_tools(body.get("tools"))),
        forced=forced,
        no_tools=no_tools,
        max_tokens=_limit(body.get("max_output_tokens")),
        thinks=reasoning.get("effort") not in (None, "none", "minimal"),
        images=sum(_pictures(item.get("content")) for item in items),
    )


def _texts(items: list[JsonObject]) -> Iterator[str]:
    for item in items:
        kind = item.get("type", "message")
        if kind == "message":
            yield text_of(item.get("content"))
        elif kind == "function_call_output":
            yield _output(item)
        elif kind != "reasoning":
            yield encode_text({key: value for key, value in item.items() if key not in ("id", "status")})


def _output(item: JsonObject) -> str:
    """A tool's result: a string, or the texts of its parts."""
    return text_of(item.get("output"))


def _results(items: list[JsonObject]) -> tuple[str, ...]:
    """Tool results at the end of the input."""
    found: list[str] = []
    for item in reversed(items):
        if item.get("type") != "function_call_output":
            break
        found.append(_output(item))
    return tuple(reversed(found))


def _pictures(content: Json) -> int:
    return sum(isinstance(part, dict) and part.get("type") in _PICTURES for part in content) if isinstance(content, list) else 0


def _format(text: Json) -> tuple[JsonObject | None, bool]:
    """The schema asked for, or whether any JSON object will do."""
    wanted = text.get("format") if isinstance(text, dict) else None
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind != "json_schema" or not isinstance(wanted, dict):
        return None, kind == "json_object"
    for name in ("name", "schema"):
        if not wanted.get(name):
            where = f"text.format.{name}"
            raise Problem("bad_request", f"Missing required parameter: '{where}'.", code="missing_required_parameter", param=where)
    return need_object(wanted["schema"], "text.format.schema"), False


def _tools(value: Json) -> Iterator[Tool]:
    for tool in value or ():
        if isinstance(tool, dict) and tool.get("type") == "function":
            yield Tool(str(tool.get("name")), tool.get("parameters") or {"type": "object"})


def _tool_choice(value: Json) -> tuple[str | None, bool]:
    if isinstance(value, dict) and value.get("type") == "allowed_tools":
        names = [tool.get("name") for tool in value.get("tools") or () if isinstance(tool, dict)]
        return (str(names[0]) if names and value.get("mode") == "required" else None), False
    if isinstance(value, dict):
        return str(value.get("name", "")), False
    return ("" if value == "required" else None), value == "none"


def _limit(value: Json) -> int | None:
    if value is not None and (type(value) is not int or value < LEAST_OUTPUT):
        wrong = "Invalid 'max_output_tokens': integer below minimum value."
        message = f"{wrong} Expected a value >= {LEAST_OUTPUT}, but got {encode_text(value)} instead."
        raise Problem("bad_request", message, code="integer_below_min_value", param="max_output_tokens")
    return value
