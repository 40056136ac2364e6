"""The words of this wire: its name, how an answer ended, and what an answer says when nothing is known."""

from __future__ import annotations

import re
from collections.abc import Mapping

from headgate.domain.response import Finish
from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject, Raw, loaded

NAME = "openai_responses"
PATH = "/responses"
OBJECT = "response"

FINISH: dict[str, Finish | None] = {
    "completed": Finish.STOP,
    "complete": Finish.STOP,
    "incomplete": Finish.LENGTH,
    "failed": Finish.ERROR,
    "cancelled": Finish.ERROR,
    "queued": None,
    "in_progress": None,
}
"""`status` of an answer (API reference; "complete" in recorded traffic). An unknown word counts as a stop."""

REASON: dict[str, Finish] = {"max_output_tokens": Finish.LENGTH, "content_filter": Finish.CONTENT_FILTER}
"""`incomplete_details.reason`."""

ENDING: dict[Finish, tuple[str, str | None]] = {
    Finish.STOP: ("completed", None),
    Finish.TOOL_CALLS: ("completed", None),
    Finish.LENGTH: ("incomplete", "max_output_tokens"),
    Finish.CONTENT_FILTER: ("incomplete", "content_filter"),
    Finish.PAUSE: ("incomplete", "max_output_tokens"),
    Finish.ERROR: ("failed", None),
}
"""Status and reason written for each finish. A pause is an unfinished answer, for which this wire has no reason of its own."""

SERVICE_TIERS = {"auto": "auto", "default": "default", "standard": "default", "flex": "flex", "scale": "scale", "priority": "priority"}
"""Tiers of any wire as this one words them."""

LATE = frozenset({"status", "completed_at", "incomplete_details", "error", "tool_usage"})
"""Keys of an answer that its end decides; all others are known when it begins."""

_OUTSIDE_ID = re.compile(r"[^A-Za-z0-9_-]")


def parse_finish(status: Json, details: Json, calls: bool) -> tuple[Finish | None, str | None]:
    """Finish and native word of an answer: the reason when there is one, else the status. Tool calls turn a stop into `TOOL_CALLS`."""
    if not isinstance(status, str) or not status:
        return None, None
    finish = FINISH.get(status, Finish.STOP)
    reason = details.get("reason") if isinstance(details, dict) else None
    if status == "incomplete" and isinstance(reason, str):
        return REASON.get(reason, Finish.LENGTH), reason
    if calls and finish is Finish.STOP:
        finish = Finish.TOOL_CALLS
    return finish, status


def response_id(upstream: str) -> str:
    """An id in this wire's form, derived from the upstream's."""
    return upstream if upstream.startswith("resp_") else f"resp_{_OUTSIDE_ID.sub('', upstream)}"


def item_id(kind: str, response: str, index: int) -> str:
    """The id of an output item that came without one: the same for the same answer and place, streamed or not."""
    return f"{kind}_{response.removeprefix('resp_')}_{index}"


def skeleton(response: str, model: str, created: int) -> JsonObject:
    """The answer object without its outcome. What the request asked for is not known here, so the wire's defaults stand."""
    return {
        "id": response,
        "object": OBJECT,
        "created_at": created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": None,
        "user": None,
    }


_ECHOED = (
    *("instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "prompt_cache_key", "reasoning"),
    *("safety_identifier", "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user"),
)


def echo(fields: Mapping[str, Raw]) -> JsonObject:
    """What an answer repeats of its request (OpenAI API reference, "The response object"); what was not set keeps its default."""
    found: JsonObject = {name: fields[name] for name in _ECHOED if name in fields and bytes(fields[name]) != b"null"}
    text = loaded(found.get("text"))
    if isinstance(text, dict):
        found["text"] = {"format": {"type": "text"}, **text}
    return found


def malformed(param: str, must: str) -> WireError:
    """The error for a field that breaks the wire's grammar."""
    return WireError(f"{param} must be {must}", param=param)
