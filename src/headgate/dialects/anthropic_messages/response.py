"""Whole answers, both ways."""

from __future__ import annotations

from msgspec.structs import replace

from headgate.dialects.anthropic_messages.blocks import parse_block
from headgate.dialects.anthropic_messages.compose import render_block
from headgate.dialects.anthropic_messages.errors import error_of_event
from headgate.dialects.anthropic_messages.structured import unwrap_structured
from headgate.dialects.anthropic_messages.usage import parse_usage, render_usage
from headgate.dialects.anthropic_messages.words import NAME, STABLE, finish_of, message_id, stop_reason_of
from headgate.domain.content import Block, Opaque, Refusal, Text, Thinking, ToolCall
from headgate.domain.response import Choice, Finish, Response
from headgate.errors import ErrorKind, ProviderError, WireError
from headgate.wire.json import Json, JsonObject, arr, decode, encode, obj, text

_KNOWN = frozenset(("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"))


def parse_response(body: bytes) -> Response:
    """A whole answer. Raises `ProviderError` for an error object with status 200 and `WireError` for anything else that is no message."""
    wire = obj(decode(body, what="response body"), "response")
    if wire.get("type") == "error":
        raise error_of_event(wire)
    items = arr(wire.get("content"), "content")
    blocks = tuple([parse_block(item, "content", number) for number, item in enumerate(items)])
    native = wire.get("stop_reason")
    if native is not None and not isinstance(native, str):
        raise WireError("stop_reason must be a string or null", param="stop_reason")
    extra = {key: value for key, value in wire.items() if key not in _KNOWN}
    sequence, usage = wire.get("stop_sequence"), wire.get("usage")
    choice = Choice(
        content=blocks + refusal_of(extra.get("stop_details")),
        finish=finish_of(native, blocks),
        native_finish=native,
        stop_sequence=sequence if isinstance(sequence, str) else None,
        extra=extra or None,
    )
    response = Response(
        id=text(wire.get("id"), "id"),
        model=text(wire.get("model"), "model"),
        choices=(choice,),
        usage=parse_usage(usage) if isinstance(usage, dict) else None,
        service_tier=tier_of(usage),
        dialect=NAME,
    )
    return unwrap_structured(response)


def tier_of(usage: Json) -> str | None:
    """The tier the answer was served in, which this wire reports inside `usage`."""
    tier = usage.get("service_tier") if isinstance(usage, dict) else None
    return tier if isinstance(tier, str) else None


def refusal_of(details: Json) -> tuple[Refusal, ...]:
    """The model's words for declining, out of `stop_details`; nothing when it gave none."""
    words = details.get("explanation") if isinstance(details, dict) and details.get("type") == "refusal" else None
    return (Refusal(words),) if isinstance(words, str) and words else ()


def refusal_details(words: str) -> JsonObject:
    """The `stop_details` that carries a refusal."""
    return {"type": "refusal", "category": None, "explanation": words}


def render_response(response: Response) -> bytes:
    """An answer of any origin as a message. Only the first choice has a place; a choice that ended in an error raises `ProviderError`."""
    choice = response.choices[0] if response.choices else Choice()
    own = response.dialect == NAME
    if choice.finish is Finish.ERROR:
        raise ProviderError(ErrorKind.SERVER, f"the model ended with an error ({choice.native_finish or 'no reason given'})")
    wire: JsonObject = {
        "id": response.id if own else message_id(response.id),
        "type": "message",
        "role": "assistant",
        "model": response.model,
        "content": _content(choice.content, own=own),
        "stop_reason": _stop_reason(choice, own=own),
        "stop_sequence": choice.stop_sequence,
        "usage": response.usage.native
        if own and response.usage is not None and response.usage.native is not None
        else render_usage(response.usage, response.service_tier),
    }
    if own:
        wire.update(response.extra or {})
        wire.update(choice.extra or {})
    else:
        _say_refusal(wire, choice.content)
    return encode(wire)


def _say_refusal(wire: JsonObject, content: tuple[Block, ...]) -> None:
    words = "".join(block.text for block in content if isinstance(block, Refusal))
    if words:
        wire["stop_reason"] = "refusal"
        wire["stop_details"] = refusal_details(words)


def _content(blocks: tuple[Block, ...], *, own: bool) -> list[JsonObject]:
    if own:
        return [wire for wire in map(render_block, blocks) if wire is not None]
    return [wire for wire in map(_foreign_answer, blocks) if wire is not None]


def _foreign_answer(block: Block) -> JsonObject | None:
    """A block of another wire's answer, without that wire's extra keys; what an answer here cannot hold is left out."""
    if isinstance(block, Text):
        return {"type": "text", "text": block.text} if block.text else None
    if isinstance(block, Thinking) and block.redacted is None:
        return {"type": "thinking", "thinking": block.text, "signature": block.signature or ""}
    if isinstance(block, ToolCall | Thinking):
        return render_block(replace(block, extra=None))
    return render_block(block) if isinstance(block, Opaque) else None


def _stop_reason(choice: Choice, *, own: bool) -> str | None:
    """The provider's own word as long as it still fits the choice."""
    native = choice.native_finish
    if native is not None and (own or native in STABLE) and finish_of(native, choice.content) is choice.finish:
        return native
    return stop_reason_of(choice.finish, choice.stop_sequence)
