"""Writing `input`: turns to items.

Turns that came from this wire are written back as they were. Turns of another origin keep their order, which this wire can hold in full:
text, calls and results are items of their own. What it has no place for is reported.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence

from headgate.dialects.openai_chat.render_messages import check_tool_pairs
from headgate.dialects.openai_chat.report import Report
from headgate.dialects.openai_responses.items import (
    ENCRYPTED_CONTENT,
    head_of,
    is_part,
    is_plain,
    write_call,
    write_message,
    write_reasoning,
    write_result,
)
from headgate.dialects.openai_responses.parts import render_media
from headgate.dialects.openai_responses.words import NAME
from headgate.domain.content import Block, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.domain.request import Message
from headgate.errors import Unsupported, WireError
from headgate.wire.json import Json, JsonObject, decode

MAX_CALL_ID = 64
"""Longest call id this wire takes; longer foreign ones are replaced by a digest, the same in call and result (case 12)."""

_NEEDS = {"image": "vision", "document": "documents", "audio": "audio"}
_NOTHING: JsonObject = {}


def render_input(messages: Sequence[Message], report: Report) -> list[JsonObject]:
    """Write every turn, in order. Raises `Unsupported` for what must be refused, with `param` naming the message."""
    out: list[JsonObject] = []
    if not report.own:
        check_tool_pairs(messages)
    for index, message in enumerate(messages):
        content = message.content
        if len(content) == 1 and not message.form and message.extra is None and message.name is None and is_plain(block := content[0]):
            out.append({"role": message.role, "content": block.text if isinstance(block, Text) else ""})
        elif report.own:
            out += _own_turn(message)
        elif message.role == "assistant":
            _assistant(message, f"messages[{index}]", report, out)
        else:
            _others(message, f"messages[{index}]", report, out)
    return out


def heads_of(form: str) -> list[JsonObject]:
    """The heads a form holds; none when it is empty or of another make."""
    try:
        heads = decode(form) if form.startswith("[") else []
    except WireError:
        return []
    return [head for head in heads if isinstance(head, dict)]


def head_in(form: str) -> JsonObject:
    """The head in the form of a call or result."""
    found = heads_of(f"[{form}]") if form else []
    return found[0] if found else {}


def _own_turn(message: Message) -> list[JsonObject]:
    """The items of a turn that came from this wire, each message and reasoning item with its head."""
    heads = deque(heads_of(message.form))
    if message.role != "assistant" and all(map(is_part, message.content)):
        return [write_message(message.content, message.role, heads[0] if heads else {}, message.extra)]
    items: list[JsonObject] = []
    blocks, place = message.content, 0
    extra = message.extra
    while place < len(blocks):
        head = heads[0] if heads else _NOTHING
        if not is_part(blocks[place]):
            items.append(_own_item(blocks[place], heads))
            place += 1
            continue
        spoken = bool(heads) and head.get("type") != "reasoning"
        end = _end_of(blocks, place, head.get("n", 1) if spoken else len(blocks))
        items.append(write_message(blocks[place:end], message.role, heads.popleft() if spoken else {}, extra))
        place, extra = end, None
    return items


def _end_of(blocks: Sequence[Block], place: int, most: int) -> int:
    """Where the run of parts that begins at `place` ends, after `most` of them at the latest."""
    end = place + 1
    while end < min(len(blocks), place + most) and is_part(blocks[end]):
        end += 1
    return end


def _own_item(block: Block, heads: deque[JsonObject]) -> JsonObject:
    if isinstance(block, ToolCall):
        return write_call(block, head_in(block.form), block.extra)
    if isinstance(block, ToolResult):
        return write_result(block, head_in(block.form), block.extra)
    if isinstance(block, Thinking):
        head = heads.popleft() if heads and heads[0].get("type") == "reasoning" else _NOTHING
        return write_reasoning(block, head, block.extra)
    return block.raw if isinstance(block, Opaque) and isinstance(block.raw, dict) else {}


def _others(message: Message, where: str, report: Report, out: list[JsonObject]) -> None:
    """A system, developer, user or tool turn of another wire: results first, then the rest of it."""
    results = [block for block in message.content if type(block) is ToolResult]
    rest = [(number, block) for number, block in enumerate(message.content) if type(block) is not ToolResult]
    out += [_result(result, f"{where}.{result.call_id}", report) for result in results]
    parts, items = _parts(rest, f"{where}.content", report)
    out += items
    _losses(message, where, report)
    if parts or not (results or items):
        role = "user" if message.role == "tool" else message.role
        out.append({"role": role, "content": _shortest(parts)})


def _shortest(parts: list[Json]) -> Json:
    """Parts, as a string when they are one text or nothing."""
    if not parts:
        return ""
    first = parts[0]
    return first["text"] if len(parts) == 1 and first.keys() == {"type", "text"} else parts


def _parts(blocks: Sequence[tuple[int, Block]], where: str, report: Report) -> tuple[list[Json], list[JsonObject]]:
    """Content parts of foreign blocks, and items of our own among them."""
    parts: list[Json] = []
    items: list[JsonObject] = []
    for number, block in blocks:
        place = f"{where}[{number}]"
        if isinstance(block, Text):
            if block.text:
                parts.append({"type": "input_text", "text": block.text})
            _block_losses(block, place, report)
        elif isinstance(block, Media):
            parts.append(_media(block, place, report))
        elif isinstance(block, Opaque) and block.dialect == NAME:
            (parts if is_part(block) else items).append(block.raw)
        else:
            _drop_block(block, place, report)
    return parts, items


def _drop_block(block: Block, where: str, report: Report) -> None:
    if isinstance(block, Opaque):
        report.drop(where, f"a block only {block.dialect or 'its own dialect'} knows")
    else:
        report.drop(where, f"{type(block).__name__} has no place in this message")


def _losses(message: Message, where: str, report: Report) -> None:
    if message.name is not None:
        report.drop(f"{where}.name", "this wire has no names on messages")
    report.drop_extra(message.extra, f"{where}.")


def _block_losses(block: Text | Media | ToolCall | ToolResult, where: str, report: Report) -> None:
    """Report what a foreign block carries beyond its content."""
    if block.cache is not None:
        report.drop(f"{where}.cache_control", "prompts are cached without breakpoints on this wire")
    if isinstance(block, Text | ToolCall) and block.signature is not None:
        report.drop(f"{where}.signature", "this wire has no signatures")
    if head_of(block) is None:
        report.drop_extra(block.extra, f"{where}.")


def _media(block: Media, where: str, report: Report) -> JsonObject:
    """Write media of another origin. Raises `Unsupported` for what this wire or this model cannot take (cases 41, 44, 45)."""
    need = _NEEDS.get(block.kind)
    if need is None or not getattr(report.capabilities, need):
        raise Unsupported(f"{where}: {block.kind} input is not accepted here", param=where)
    if block.file_id is not None and report.dialect:
        raise Unsupported(f"{where}: file {block.file_id} lives at another provider", param=where, hint="send the file's bytes")
    _block_losses(block, where, report)
    if block.text is not None:
        report.change(where, "a text document was sent as text")
    name = block.name or ("document.pdf" if block.kind == "document" and block.data is not None else None)
    detail = (block.detail or "auto") if block.kind == "image" else None
    try:
        return render_media(Media(block.kind, block.mime, block.data, block.url, block.file_id, block.text, detail, name))
    except Unsupported as error:
        raise Unsupported(f"{where}: {error.message}", param=where, hint=error.hint) from error


def _result(result: ToolResult, where: str, report: Report) -> JsonObject:
    """A tool's output, pictures and files included (case 13)."""
    parts, _ = _parts(list(enumerate(result.content)), f"{where}.content", report)
    if result.is_error:
        report.drop(f"{where}.is_error", "this wire does not mark failed tools")
    _block_losses(result, where, report)
    return {"type": "function_call_output", "call_id": _call_id(result.call_id), "output": _shortest(parts)}


def _call_id(call_id: str) -> str:
    return call_id if len(call_id) <= MAX_CALL_ID else "call_" + hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:32]


def _assistant(message: Message, where: str, report: Report, out: list[JsonObject]) -> None:
    """An assistant turn of another wire. Neighbouring texts become one message, calls stand where they stood (case 27)."""
    words: list[str] = []
    for number, block in enumerate(message.content):
        if isinstance(block, Text | Refusal):
            _say(block, f"{where}.content[{number}]", report, words)
            continue
        item = _FOREIGN[type(block)](block, f"{where}.content[{number}]", report)
        if item is not None:
            _flush(words, out)
            out.append(item)
    _flush(words, out)
    _losses(message, where, report)


def _flush(words: list[str], out: list[JsonObject]) -> None:
    text = "".join(words)
    words.clear()
    if text:
        out.append({"role": "assistant", "content": text})


def _say(block: Text | Refusal, where: str, report: Report, words: list[str]) -> None:
    words.append(block.text)
    if isinstance(block, Refusal):
        report.change(where, "a refusal becomes plain text")
    else:
        _block_losses(block, where, report)


def _foreign_call(block: Block, where: str, report: Report) -> JsonObject | None:
    if not isinstance(block, ToolCall):
        return None
    _block_losses(block, where, report)
    return {"type": "function_call", "call_id": _call_id(block.id), "name": block.name, "arguments": block.arguments or "{}"}


def _foreign_thinking(block: Block, where: str, report: Report) -> JsonObject | None:
    """Thoughts go back only to the wire that encrypted them: an answer of ours in a request that was made by hand."""
    found = head_of(block)
    if isinstance(block, Thinking) and found is not None and not report.dialect and found[1] and ENCRYPTED_CONTENT in found[1]:
        return write_reasoning(block, *found)
    report.drop(where, "thoughts go back only when this wire encrypted them")
    return None


def _foreign_opaque(block: Block, where: str, report: Report) -> JsonObject | None:
    if isinstance(block, Opaque) and block.dialect == NAME and isinstance(block.raw, dict):
        return block.raw
    _drop_block(block, where, report)
    return None


def _foreign_rest(block: Block, where: str, report: Report) -> JsonObject | None:
    report.drop(where, f"{type(block).__name__} has no place in an assistant message of this wire")
    return None


_FOREIGN: dict[type, Callable[[Block, str, Report], JsonObject | None]] = {
    ToolCall: _foreign_call,
    Thinking: _foreign_thinking,
    Opaque: _foreign_opaque,
    Media: _foreign_rest,
    ToolResult: _foreign_rest,
}
