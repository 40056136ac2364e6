"""From a step and its wording to a chat request."""

from __future__ import annotations

import re

import msgspec

from headgate.batch.pipeline import ApiSettings, Step, StepParams
from headgate.batch.wording import Wording
from headgate.client import Target
from headgate.client.chat import prepare
from headgate.domain.capabilities import Capabilities
from headgate.domain.content import Text
from headgate.domain.request import Message, Reasoning, Request, ResponseFormat, Tool, ToolChoice, system_message
from headgate.wire.json import JsonObject, encode_text

_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_CHOICES = {"auto": ToolChoice("auto"), "none": ToolChoice("none"), "required": ToolChoice("required")}
_TRIAL = "A question."
FORM = "\n\nAnswer with nothing but JSON that is valid under this JSON Schema:\n"
"""What is added to a prompt for a model that takes no schema."""


def settled(step: Step, api: ApiSettings, target: Target, schema: JsonObject | None) -> tuple[Step, Capabilities]:
    """The step, and what is to be asked of the target, so that what its wire cannot say is said in another way. Raises `Unsupported`.

    Where no call of the tool that answers can be forced, the answer itself is asked for in the step's schema; a schema that has no place
    of its own stands in the prompt.
    """
    can = target.capabilities
    trial = prepare(target, step_request(step, api, target.model, Wording(_TRIAL, step.params.system), schema, can))
    lost = {note.field for note in trial.rendered.notes if note.action == "dropped"}
    if "tool_choice" in lost and step.params.answer_tool is not None and step.params.tool_choice is None:
        untooled = msgspec.structs.replace(step.params, tools=(), answer_tool=None)
        return settled(msgspec.structs.replace(step, params=untooled), api, target, schema)
    if "response_format" in lost:
        return step, msgspec.structs.replace(can, structured_output="none")
    return step, can


def step_request(step: Step, api: ApiSettings, model: str, wording: Wording, schema: JsonObject | None, can: Capabilities) -> Request:
    """The request for one unit: the step's parameters and wording, and its schema natively where the model takes one, else in words."""
    params = step.params
    form = answer_format(step, schema, can)
    prompt = wording.prompt
    if schema is not None and wants_schema(params) and (form is None or form.kind != "json_schema"):
        prompt = f"{prompt.rstrip()}{FORM}{encode_text(schema)}"
    messages: tuple[Message, ...] = (Message("user", (*wording.images, Text(prompt))),)
    if wording.system is not None:
        messages = (system_message(wording.system), *messages)
    return Request(
        model=model,
        messages=messages,
        tools=step_tools(params, schema),
        tool_choice=step_tool_choice(params),
        max_tokens=params.max_tokens if params.max_tokens is not None else api.max_tokens,
        temperature=params.temperature if can.sampling else None,
        top_p=params.top_p if can.sampling else None,
        top_k=params.top_k if can.sampling else None,
        seed=params.seed,
        stop=params.stop,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        response_format=form,
        reasoning=_reasoning(params),
    )


def wants_schema(params: StepParams) -> bool:
    """Whether the model is to be told the step's schema, beside what the prompt says of it; the tool that answers tells it by itself."""
    return params.native_schema and params.answer_tool is None


def answer_format(step: Step, schema: JsonObject | None, can: Capabilities) -> ResponseFormat | None:
    """The form to ask for; None leaves it to words. A model that keeps to a schema by a tool of its own cannot have others beside it."""
    if schema is None or not wants_schema(step.params):
        return None
    if can.structured_output == "native" or (can.structured_output == "tool" and not step.params.tools):
        name = _NAME.sub("_", step.name)[:64] or "answer"
        return ResponseFormat("json_schema", schema=schema, name=name)
    return ResponseFormat("json_object") if can.structured_output == "json_object" and not step.params.tools else None


def step_tools(params: StepParams, schema: JsonObject | None) -> tuple[Tool, ...]:
    """The tools of a step; one without parameters takes the step's schema."""
    return tuple(Tool(tool.name, tool.description, schema if tool.parameters is None else tool.parameters) for tool in params.tools)


def step_tool_choice(params: StepParams) -> ToolChoice | None:
    """What the step says of its tools; the tool that answers must be called unless it says otherwise."""
    word = params.tool_choice or params.answer_tool
    if word is None:
        return None
    return _CHOICES.get(word) or ToolChoice("tool", (word,))


def _reasoning(params: StepParams) -> Reasoning | None:
    if params.reasoning_effort is None and params.thinking_budget is None:
        return None
    return Reasoning(effort=params.reasoning_effort, budget=params.thinking_budget)


def cannot(step: Step, can: Capabilities) -> str | None:
    """What a step asks for that a model cannot do at all, in a few words."""
    if step.params.images and not can.vision:
        return "takes no images"
    return "takes no tools" if step.params.tools and not can.tools else None


def input_bound(body: bytes) -> int:
    """Tokens a rendered request can have at most: no tokenizer makes more tokens than there are bytes."""
    return len(body)
