"""Whole answers, in both directions. Spelling marks of a choice: "finish_reason:absent", "logprobs:absent", "offset:12" (where its log
probabilities begin)."""

from __future__ import annotations

from headgate.dialects.openai_chat.errors import error_of, provider_error
from headgate.dialects.openai_chat.lenient import decode_mended
from headgate.dialects.openai_chat.usage import find_usage, render_usage
from headgate.dialects.openai_chat.words import FINISH_WORD, malformed, parse_finish
from headgate.dialects.openai_completions.logprobs import parse_logprobs, render_logprobs
from headgate.dialects.openai_completions.words import NAME, OBJECT
from headgate.domain.content import Refusal, Text
from headgate.domain.response import Choice, Finish, Response
from headgate.wire.json import Json, JsonObject, encode, type_name

_TOP = frozenset({"id", "object", "created", "model", "choices", "usage"})
_CHOICE = frozenset({"index", "text", "finish_reason", "logprobs"})


def parse_response(body: bytes) -> Response:
    """Read a whole answer. Raises `ProviderError` for an error object in it, `WireError` for anything malformed."""
    raw = decode_mended(body, "the answer")
    if type(raw) is not dict:
        raise malformed("body", f"an object, not {type_name(raw)}")
    choices = raw.get("choices")
    if raw.get("error") and not choices:
        raise provider_error(None, {}, error_of(raw) or {}, body)
    if type(choices) is not list:
        raise malformed("choices", f"an array, not {type_name(choices)}")
    own_id, model, created = raw.get("id"), raw.get("model"), raw.get("created")
    extra = {key: value for key, value in raw.items() if key not in _TOP}
    if raw.get("object") != OBJECT:
        extra["object"] = raw.get("object")
    return Response(
        id=own_id if isinstance(own_id, str) else "",
        model=model if isinstance(model, str) else "",
        choices=tuple(_parse_choice(item, place) for place, item in enumerate(choices)),
        usage=find_usage(raw),
        created=int(created) if isinstance(created, int | float) else None,
        dialect=NAME,
        extra=extra or None,
    )


def _parse_choice(item: Json, place: int) -> Choice:
    text = item.get("text") if isinstance(item, dict) else None
    if not isinstance(text, str):
        raise malformed(f"choices[{place}].text", f"a string, not {type_name(text)}")
    extra: JsonObject = {key: value for key, value in item.items() if key not in _CHOICE}
    marks = [f"{key}:absent" for key in ("finish_reason", "logprobs") if key not in item]
    finish, native = parse_finish(item.get("finish_reason"), None, False)
    index = item.get("index")
    return Choice(
        index if type(index) is int else place,
        (Text(text),) if text else (),
        finish,
        native,
        logprobs=_parse_chances(item.get("logprobs"), extra, marks),
        extra=extra or None,
        form=tuple(marks),
    )


def _parse_chances(value: Json, extra: JsonObject, marks: list[str]) -> JsonObject | None:
    """Log probabilities in the domain's shape; as they came in `extra` as well, when that shape does not say all of them."""
    if value is None:
        return None
    found = parse_logprobs(value)
    offsets = value.get("text_offset") if isinstance(value, dict) else None
    start = offsets[0] if isinstance(offsets, list) and offsets and type(offsets[0]) is int else 0
    if found is None or render_logprobs(found, start) != value:
        extra["logprobs"] = value
    elif start:
        marks.append(f"offset:{start}")
    return found


def render_response(response: Response) -> bytes:
    """Write an answer of any origin; thoughts and tool calls, which nobody can have asked for here, are left out."""
    own = response.dialect == NAME
    payload: JsonObject = {
        "id": response.id,
        "object": OBJECT,
        "created": response.created if response.created is not None else 0,
        "model": response.model,
        "choices": [_render_choice(choice, own) for choice in response.choices],
    }
    if response.usage is not None:
        native = response.usage.native if own else None
        payload["usage"] = native if native is not None else render_usage(response.usage)
    if own:
        payload.update(response.extra or {})
    return encode(payload)


def _render_choice(choice: Choice, own: bool) -> JsonObject:
    marks = choice.form if own else ()
    start = next((int(mark[7:]) for mark in marks if mark.startswith("offset:")), 0)
    shape: JsonObject = {"text": said(choice), "index": choice.index}
    if "logprobs:absent" not in marks:
        shape["logprobs"] = None if choice.logprobs is None else render_logprobs(choice.logprobs, start)
    if "finish_reason:absent" not in marks:
        shape["finish_reason"] = finish_word(choice.finish, choice.native_finish if own else None)
    if own:
        shape.update(choice.extra or {})
    return shape


def said(choice: Choice) -> str:
    """The text of a choice, a refusal included."""
    return "".join(block.text for block in choice.content if isinstance(block, Text | Refusal))


def finish_word(finish: Finish | None, native: str | None) -> str | None:
    """The word for a finish: the native one when it is this wire's, else by table; there are no tool calls here."""
    if native is not None or finish is None:
        return native
    return FINISH_WORD[Finish.STOP if finish is Finish.TOOL_CALLS else finish]
