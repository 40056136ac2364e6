"""Whole answers, in both directions.

Marks in `Response.form`: "KEY:absent" for model, done and done_reason. In `Choice.form`: "role:absent" and those of `message`.
Further keys of the message lie in ``Choice.extra["message"]``; `created_at` is kept to the nanosecond in `Response.extra`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from headgate.dialects.ollama_chat.calls import CallIds, render_answer_call
from headgate.dialects.ollama_chat.errors import error_in
from headgate.dialects.ollama_chat.logprobs import parse_logprobs, render_logprobs, render_own_logprobs
from headgate.dialects.ollama_chat.message import KEYS, parse_inside, render_inside
from headgate.dialects.ollama_chat.usage import parse_usage, render_usage
from headgate.dialects.ollama_chat.values import decode_body, read_time, write_time
from headgate.dialects.ollama_chat.words import FINISH_WORD, METRICS, NAME, parse_finish
from headgate.domain.content import Block, Media, Refusal, Text, Thinking, ToolCall
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage
from headgate.wire.json import Json, JsonObject, encode, obj

_FORMED = ("model", "done", "done_reason")


def parse_response(body: bytes) -> Response:
    """Read a whole answer. Raises `ProviderError` for an error in it, `WireError` for anything malformed."""
    raw = obj(decode_body(body, "the answer"), "body")
    error = error_in(raw, body)
    if error is not None:
        raise error
    choice, usage = _choice(raw, obj(raw.get("message"), "message")), parse_usage(raw)
    form = tuple(f"{key}:absent" for key in _FORMED if key not in raw and (key != "done_reason" or choice.finish is not None))
    return Response(
        model=model_of(raw),
        choices=(choice,),
        usage=usage,
        created=read_time(raw.get("created_at")),
        dialect=NAME,
        extra=rest_of(raw, usage) or None,
        form=form,
    )


def model_of(raw: JsonObject) -> str:
    """The model of an answer or a line, "" where it is missing."""
    model = raw.get("model")
    return model if isinstance(model, str) else ""


def is_done(raw: JsonObject, missing: bool) -> bool:
    """Whether an answer or a line is the last; `missing` is what the absence of the key means."""
    return raw.get("done", missing) is not False


def rest_of(raw: JsonObject, usage: Usage | None) -> JsonObject:
    """The keys of an answer or line that no field holds, or that have a value no field can hold."""
    held = {"message"} if isinstance(raw.get("message"), dict) else set()
    held |= {key for key, kind in (("model", str), ("done", bool), ("logprobs", list)) if isinstance(raw.get(key), kind)}
    if isinstance(raw.get("done_reason"), str) and raw.get("done") is not False:
        held.add("done_reason")
    if usage is not None:
        held |= set(METRICS)
    return {key: value for key, value in raw.items() if key not in held}


def seed_of(raw: JsonObject) -> str:
    """What made-up call ids of an answer are named after: the moment it was made, as it was written."""
    return hashlib.sha256(str(raw.get("created_at")).encode("utf-8", "replace")).hexdigest()[:16]


def message_rest(message: JsonObject) -> JsonObject:
    """The keys of an answer's message that no block holds."""
    return {key: value for key, value in message.items() if key not in KEYS and (key != "role" or value != "assistant")}


def _choice(raw: JsonObject, message: JsonObject) -> Choice:
    marks = [] if "role" in message else ["role:absent"]
    rest = message_rest(message)
    blocks = parse_inside(message, "message", CallIds(seed_of(raw)), marks, rest)
    finish = native = None
    if is_done(raw, missing=True):
        finish, native = parse_finish(raw.get("done_reason"), any(isinstance(block, ToolCall) for block in blocks))
    logprobs = parse_logprobs(raw.get("logprobs"))
    return Choice(0, blocks, finish, native, logprobs=logprobs, extra={"message": rest} if rest else None, form=tuple(marks))


def render_response(response: Response) -> bytes:
    """Write a whole answer of any origin. Only the first choice has a place here."""
    choice = response.choices[0] if response.choices else Choice(finish=Finish.ERROR)
    own = response.dialect == NAME
    shape = _own(response, choice) if own else _foreign(response, choice)
    return encode(shape)


def _own(response: Response, choice: Choice) -> JsonObject:
    extra, form = response.extra or {}, response.form
    message = {"role": "assistant", **render_inside(choice.content, choice.form, "message")}
    kept = (choice.extra or {}).get("message")
    message.update(kept if isinstance(kept, dict) else {})
    if "role:absent" in choice.form:
        message.pop("role")
    shape: JsonObject = {"model": response.model, "message": message, "done": choice.finish is not None}
    if response.created is not None:
        shape["created_at"] = write_time(response.created)
    if choice.finish is not None:
        shape["done_reason"] = FINISH_WORD[choice.finish] if choice.native_finish is None else choice.native_finish
    logprobs = render_own_logprobs(choice.logprobs)
    if logprobs is not None:
        shape["logprobs"] = logprobs
    if response.usage is not None:
        shape.update(render_usage(response.usage) if response.usage.native is None else response.usage.native)
    for key in _FORMED:
        if f"{key}:absent" in form:
            shape.pop(key, None)
    return {**shape, **extra}


def _foreign(response: Response, choice: Choice) -> JsonObject:
    message, cut = answer_message(choice.content)
    shape: JsonObject = {"model": response.model, "created_at": write_time(response.created or 0), "message": message}
    shape["done"] = choice.finish is not None
    if choice.finish is not None:
        shape["done_reason"] = done_reason(choice.finish, cut)
    if response.usage is not None:
        shape.update(render_usage(response.usage))
    logprobs = render_logprobs(choice.logprobs)
    return shape if logprobs is None else {**shape, "logprobs": logprobs}


def done_reason(finish: Finish, cut: bool) -> str:
    """The word for how an answer ended; an answer with a call that was cut off, and could not be written, never ended well."""
    return "error" if cut and finish is not Finish.LENGTH else FINISH_WORD[finish]


def answer_message(blocks: Sequence[Block]) -> tuple[JsonObject, bool]:
    """The message of an answer of another origin, and whether a call was left out because its arguments are no JSON object."""
    shape: JsonObject = {"role": "assistant", "content": "".join(b.text for b in blocks if isinstance(b, Text | Refusal))}
    asked = [block for block in blocks if isinstance(block, ToolCall)]
    calls = [call for index, block in enumerate(asked) if (call := render_answer_call(block, index)) is not None]
    lists: dict[str, Json] = {
        "thinking": "".join(block.text for block in blocks if isinstance(block, Thinking)),
        "images": [block.data for block in blocks if isinstance(block, Media) and block.kind == "image" and block.data is not None],
        "tool_calls": calls,
    }
    shape.update((key, value) for key, value in lists.items() if value)
    return shape, len(calls) < len(asked)
