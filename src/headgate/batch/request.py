"""From a step and a prompt to a chat request."""

from __future__ import annotations

import re

from headgate.batch.pipeline import ApiSettings, Step
from headgate.domain.capabilities import Capabilities
from headgate.domain.request import Message, Request, ResponseFormat, system_message, user_message
from headgate.wire.json import JsonObject

_NAME = re.compile(r"[^A-Za-z0-9_-]+")


def step_request(step: Step, api: ApiSettings, model: str, prompt: str, schema: JsonObject | None, capabilities: Capabilities) -> Request:
    """The request for one unit: the step's parameters, its prompt, and its schema natively where the model takes one."""
    params = step.params
    messages: tuple[Message, ...] = (user_message(prompt),)
    if params.system is not None:
        messages = (system_message(params.system), *messages)
    return Request(
        model=model,
        messages=messages,
        max_tokens=params.max_tokens if params.max_tokens is not None else api.max_tokens,
        temperature=params.temperature if capabilities.sampling else None,
        top_p=params.top_p if capabilities.sampling else None,
        stop=params.stop,
        response_format=answer_format(step, schema, capabilities),
    )


def answer_format(step: Step, schema: JsonObject | None, capabilities: Capabilities) -> ResponseFormat | None:
    """The form to ask for; None leaves it to the prompt's words."""
    if schema is None or not step.params.native_schema:
        return None
    if capabilities.structured_output in ("native", "tool"):
        name = _NAME.sub("_", step.name)[:64] or "answer"
        return ResponseFormat("json_schema", schema=schema, name=name)
    return ResponseFormat("json_object") if capabilities.structured_output == "json_object" else None


def input_bound(body: bytes) -> int:
    """Tokens a rendered request can have at most: no tokenizer makes more tokens than there are bytes."""
    return len(body)
