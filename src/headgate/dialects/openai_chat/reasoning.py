"""Thinking on this wire, which has no field of its own for it: four spellings, one model (cases 72, 73).

* `reasoning_content`: plain text (DeepSeek, xAI, and what this dialect writes by default),
* `reasoning`: plain text (Groq, Ollama, OpenRouter),
* `thinking_blocks`: a list of Anthropic-shaped blocks with their signatures,
* `reasoning_details`: OpenRouter's list, with encrypted parts.

The richest one present is read; the others are remembered when they say the same, and kept as extra keys when they do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headgate.domain.content import Thinking
from headgate.wire.json import Json, JsonObject

FIELDS = ("thinking_blocks", "reasoning_details", "reasoning_content", "reasoning")
"""Spellings, richest first."""

TEXT_FIELDS = ("reasoning_content", "reasoning")
MARK = "thinking:"


def parse_thinking(message: JsonObject) -> tuple[tuple[Thinking, ...], str, JsonObject]:
    """Thinking blocks of a message, the spelling mark ("" when canonical), and the keys that could not be held."""
    blocks: tuple[Thinking, ...] = ()
    held: list[str] = []
    rest: JsonObject = {}
    for field in FIELDS:
        if field not in message:
            continue
        value = message[field]
        if not blocks:
            blocks = _PARSERS[field](value) or ()
        if blocks and _RENDERERS[field](blocks) == value:
            held.append(field)
        else:
            rest[field] = value
    if not held:
        return (), "", rest
    mark = "" if tuple(held) == _canonical(blocks) else MARK + "+".join(held)
    return blocks, mark, rest


def render_thinking(blocks: Sequence[Thinking], marks: Sequence[str] = ()) -> JsonObject:
    """The message keys that carry `blocks`, as the mark says, else in canonical spelling."""
    mark = next((m for m in marks if m.startswith(MARK)), "")
    fields = mark.removeprefix(MARK).split("+") if mark else _canonical(blocks)
    return {field: _RENDERERS[field](blocks) for field in fields}


def thinking_block(block: Thinking) -> JsonObject:
    """One block in Anthropic's shape, its signature with it."""
    if block.redacted is not None:
        return {"type": "redacted_thinking", "data": block.redacted, **(block.extra or {})}
    shape: JsonObject = {"type": "thinking", "thinking": block.text}
    if block.signature is not None:
        shape["signature"] = block.signature
    return {**shape, **block.extra} if block.extra else shape


def parse_thinking_block(item: Json) -> Thinking | None:
    """Read one block in Anthropic's shape; None when it is not one."""
    if not isinstance(item, dict):
        return None
    if item.get("type") == "redacted_thinking" and isinstance(item.get("data"), str):
        return Thinking(redacted=item["data"], extra=_without(item, ("type", "data")))
    if item.get("type") != "thinking" or not isinstance(item.get("thinking"), str):
        return None
    signature = item.get("signature")
    if isinstance(signature, str):
        return Thinking(item["thinking"], signature, extra=_without(item, ("type", "thinking", "signature")))
    return Thinking(item["thinking"], extra=_without(item, ("type", "thinking")))


def parse_detail(item: Json) -> Thinking | None:
    """Read one item of OpenRouter's `reasoning_details`; None when its type is unknown."""
    if not isinstance(item, dict):
        return None
    kind = item.get("type")
    field = _DETAIL_TEXT.get(kind) if isinstance(kind, str) else None
    if field is None or not isinstance(item.get(field), str):
        return None
    signature = item.get("signature")
    held = signature if isinstance(signature, str) else None
    known = (field, *(("signature",) if held is not None else ()), *(("type",) if kind != "reasoning.summary" else ()))
    extra = _without(item, known)
    if field == "data":
        return Thinking(redacted=item[field], signature=held, extra=extra)
    return Thinking(item[field], held, extra=extra)


_DETAIL_TEXT = {"reasoning.text": "text", "reasoning.summary": "summary", "reasoning.encrypted": "data"}


def _detail(block: Thinking) -> JsonObject:
    extra = block.extra or {}
    kind = extra.get("type", "reasoning.encrypted" if block.redacted is not None else "reasoning.text")
    shape: JsonObject = {"type": kind, _DETAIL_TEXT.get(kind, "text"): block.text if block.redacted is None else block.redacted}
    if block.signature is not None:
        shape["signature"] = block.signature
    return {**extra, **shape}


def _without(item: JsonObject, known: tuple[str, ...]) -> JsonObject | None:
    return {key: value for key, value in item.items() if key not in known} or None


def _canonical(blocks: Sequence[Thinking]) -> tuple[str, ...]:
    signed = any(b.signature is not None or b.redacted is not None for b in blocks)
    texts = any(b.text for b in blocks)
    plain = texts or not signed
    return (("thinking_blocks",) if signed else ()) + (("reasoning_content",) if plain else ())


def _text(value: Json) -> tuple[Thinking, ...] | None:
    return (Thinking(value),) if isinstance(value, str) and value else None


def _list_of(one: Callable[[Json], Thinking | None]) -> Callable[[Json], tuple[Thinking, ...] | None]:
    def parse(value: Json) -> tuple[Thinking, ...] | None:
        if not isinstance(value, list):
            return None
        blocks = [one(item) for item in value]
        known = tuple(b for b in blocks if b is not None)
        return known if len(known) == len(blocks) else None

    return parse


def _joined(blocks: Sequence[Thinking]) -> Json:
    return "".join(b.text for b in blocks)


_PARSERS: dict[str, Callable[[Json], tuple[Thinking, ...] | None]] = {
    "thinking_blocks": _list_of(parse_thinking_block),
    "reasoning_details": _list_of(parse_detail),
    "reasoning_content": _text,
    "reasoning": _text,
}

_RENDERERS: dict[str, Callable[[Sequence[Thinking]], Json]] = {
    "thinking_blocks": lambda blocks: [thinking_block(b) for b in blocks],
    "reasoning_details": lambda blocks: [_detail(b) for b in blocks],
    "reasoning_content": _joined,
    "reasoning": _joined,
}
