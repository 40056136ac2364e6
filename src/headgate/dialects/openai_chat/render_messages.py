"""Writing messages: turns of any origin to this wire's messages.

Turns that came from this wire are written back as they were. Turns of another origin are arranged first: tool results leave their
user message and become `tool` messages before the rest of it, and what this wire has no place for is reported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from headgate.dialects.openai_chat.messages import is_plain
from headgate.dialects.openai_chat.parts import AUDIO_FORMAT, render_part
from headgate.dialects.openai_chat.reasoning import render_thinking
from headgate.dialects.openai_chat.report import Report
from headgate.dialects.openai_chat.tools import is_call, render_call
from headgate.dialects.openai_chat.words import NAME
from headgate.domain.content import Block, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.domain.request import Message
from headgate.errors import Unsupported
from headgate.wire.json import Json, JsonObject

MAX_CALL_ID = 40
"""Longest tool call id OpenAI accepts; longer foreign ones are replaced by a digest, the same in call and result (case 12)."""


def render_messages(messages: Sequence[Message], report: Report) -> list[JsonObject]:
    """Write every message, in order. Raises `Unsupported` for what must be refused, with `param` naming the message."""
    out: list[JsonObject] = []
    if not report.own:
        check_tool_pairs(messages)
    for index, message in enumerate(messages):
        content = message.content
        if len(content) == 1 and type(block := content[0]) is Text and not message.form and message.extra is None and is_plain(block):
            shape: JsonObject = {"role": message.role, "content": block.text}
            if message.name is not None:
                shape["name"] = message.name
            if block.signature is not None:
                report.drop(f"messages[{index}].content[0].signature", "this wire has no signed text")
            out.append(shape)
        elif message.role == "assistant":
            shape = _assistant(message, index, report)
            if report.own or not message.content or _says_something(shape):
                out.append(shape)
        else:
            _others(message, index, report, out)
    return out


def check_tool_pairs(messages: Sequence[Message]) -> None:
    """Every tool call is answered and every result answers a call, else `Unsupported`: a result is never invented (case 11)."""
    calls: dict[str, int] = {}
    results: dict[str, int] = {}
    for index, message in enumerate(messages):
        for block in message.content:
            if type(block) is ToolCall:
                calls[block.id] = index
            elif type(block) is ToolResult:
                results[block.call_id] = index
    for call_id, index in calls.items():
        if call_id not in results:
            raise Unsupported(f"messages[{index}] calls a tool ({call_id}) and no message brings its result", param=f"messages[{index}]")
    for call_id, index in results.items():
        if call_id not in calls:
            raise Unsupported(f"messages[{index}] brings the result of a call ({call_id}) nobody made", param=f"messages[{index}]")


def _others(message: Message, index: int, report: Report, out: list[JsonObject]) -> None:
    """A system, developer, user or tool turn."""
    results = [block for block in message.content if type(block) is ToolResult]
    rest: list[Block] = [block for block in message.content if type(block) is not ToolResult]
    for result in results:
        out.append(_result(message, result, index, report, rest))
    if results and not rest:
        return
    role = "user" if message.role == "tool" else message.role
    shape: JsonObject = {"role": role}
    _put_content(shape, message, rest, index, report)
    _put_rest(shape, message, index, report)
    if report.own or not rest or _says_something(shape):
        out.append(shape)


def _says_something(shape: JsonObject) -> bool:
    """Whether anything is left of a foreign message after what only its own wire knows was dropped."""
    return shape["content"] not in (None, []) or "tool_calls" in shape or "refusal" in shape


def _put_content(shape: JsonObject, message: Message, blocks: Sequence[Block], index: int, report: Report) -> None:
    """Set `content`: a string, a list of parts, null, or nothing at all, as the marks say."""
    marks = message.form.split() if report.own and message.form else ()
    if "absent" in marks and not blocks:
        return
    if not blocks:
        shape["content"] = [] if "list" in marks else None if "null" in marks or message.role == "assistant" else ""
    elif len(blocks) == 1 and isinstance(block := blocks[0], Text) and is_plain(block) and "list" not in marks:
        shape["content"] = block.text
    else:
        shape["content"] = _parts(blocks, f"messages[{index}].content", report)


def _put_rest(shape: JsonObject, message: Message, index: int, report: Report) -> None:
    if message.name is not None:
        shape["name"] = message.name
    if message.extra:
        report.drop_extra(message.extra, f"messages[{index}].")
        if report.own:
            shape.update(message.extra)


def _parts(blocks: Sequence[Block], param: str, report: Report) -> list[Json]:
    parts: list[Json] = []
    for number, block in enumerate(blocks):
        where = f"{param}[{number}]"
        if type(block) is Opaque:
            _put_opaque(parts, block, where, report)
        elif report.own and isinstance(block, Text | Media | Refusal):
            parts.append(render_part(block))
        elif type(block) is Text:
            if block.text:
                parts.append({"type": "text", "text": block.text})
            _losses(block, where, report)
        elif type(block) is Media:
            parts.append(foreign_media(block, where, report))
        else:
            report.drop(where, f"{type(block).__name__} has no place in this message")
    return parts


def _put_opaque(parts: list[Json], block: Opaque, where: str, report: Report) -> None:
    if block.dialect == NAME:
        parts.append(block.raw)
    else:
        report.drop(where, f"a block only {block.dialect or 'its own dialect'} knows")


def _losses(block: Text | Media | ToolCall | ToolResult, where: str, report: Report) -> None:
    """Report what a foreign block carries beyond its content."""
    if block.cache is not None:
        report.drop(f"{where}.cache_control", "prompts are cached without breakpoints on this wire")
    if isinstance(block, Text | ToolCall) and block.signature is not None:
        report.drop(f"{where}.signature", "this wire has no signatures")
    report.drop_extra(block.extra, f"{where}.")


_NEEDS = {"image": "vision", "document": "documents", "audio": "audio"}


def foreign_media(block: Media, where: str, report: Report) -> JsonObject:
    """Write media of another origin. Raises `Unsupported` for what this wire or this model cannot take (cases 41, 44, 45)."""
    need = _NEEDS.get(block.kind)
    if block.kind == "video" or (need is not None and not getattr(report.capabilities, need)):
        raise Unsupported(f"{where}: {block.kind} input is not accepted here", param=where)
    if block.kind == "audio" and AUDIO_FORMAT.get(block.mime or "") is None:
        raise Unsupported(f"{where}: audio must be wav or mp3 here, not {block.mime}", param=where)
    if block.file_id is not None and report.dialect:
        raise Unsupported(f"{where}: file {block.file_id} lives at another provider", param=where, hint="send the file's bytes")
    _losses(block, where, report)
    if block.text is not None:
        report.change(where, "a text document was sent as text")
    name = block.name or ("document.pdf" if block.kind == "document" and block.data is not None else None)
    try:
        return render_part(Media(block.kind, block.mime, block.data, block.url, block.file_id, block.text, block.detail, name))
    except Unsupported as error:
        raise Unsupported(f"{where}: {error.message}", param=where, hint=error.hint) from error


def _result(message: Message, result: ToolResult, index: int, report: Report, rest: list[Block]) -> JsonObject:
    """A `tool` message. Pictures in a foreign result move to the user turn that follows, since this wire takes text only there."""
    where = f"messages[{index}].{result.call_id}"
    legacy = report.own and message.form == "function"
    shape: JsonObject = {"role": "function"} if legacy else {"role": "tool", "tool_call_id": _call_id(result.call_id, report)}
    if result.name is not None and report.own:
        shape["name"] = result.name
    content = result.content
    if not report.own:
        media: list[Block] = [block for block in content if type(block) is Media]
        if media:
            rest[:0] = media
            content = tuple(block for block in content if type(block) is not Media)
            report.change(f"{where}.content", "media of a tool result moved to the user message after it")
        if result.is_error:
            report.drop(f"{where}.is_error", "this wire does not mark failed tools")
        _losses(result, where, report)
    _put_content(shape, Message("tool", content, form=result.form), content, index, report)
    if message.role == "tool" and message.extra:
        report.drop_extra(message.extra, f"messages[{index}].")
        if report.own:
            shape.update(message.extra)
    return shape


def _call_id(call_id: str, report: Report) -> str:
    if report.own or len(call_id) <= MAX_CALL_ID:
        return call_id
    return "call_" + hashlib.sha256(call_id.encode()).hexdigest()[:32]


def _assistant(message: Message, index: int, report: Report) -> JsonObject:
    shape: JsonObject = {"role": "assistant"}
    marks = message.form.split() if report.own and message.form else []
    content: list[Block] = []
    thinking: list[Thinking] = []
    calls: list[ToolCall | Opaque] = []
    refusals: list[Refusal] = []
    for block in message.content:
        _sort(block, content, thinking, calls, refusals, "refusal:part" in marks)
    if not report.own:
        _foreign_assistant(message, index, report, thinking)
        content = [block for block in content if type(block) is Text and block.text]
    _put_content(shape, message, content, index, report)
    if thinking and report.own:
        shape.update(render_thinking(thinking, marks))
    if refusals:
        shape["refusal"] = "".join(block.text for block in refusals)
    if calls or "calls:empty" in marks:
        _put_calls(shape, calls, marks, report)
    _put_rest(shape, message, index, report)
    return shape


def _sort(
    block: Block,
    content: list[Block],
    thinking: list[Thinking],
    calls: list[ToolCall | Opaque],
    refusals: list[Refusal],
    refusal_part: bool,
) -> None:
    """Put a block where this wire has its place: content, thinking, calls or refusal."""
    if type(block) is Thinking:
        thinking.append(block)
    elif is_call(block):
        calls.append(block)
    elif type(block) is Refusal and not refusal_part:
        refusals.append(block)
    else:
        content.append(block)


def _put_calls(shape: JsonObject, calls: Sequence[ToolCall | Opaque], marks: Sequence[str], report: Report) -> None:
    if "function_call" in marks and len(calls) == 1 and isinstance(call := calls[0], ToolCall):
        shape["function_call"] = {"name": call.name, "arguments": call.arguments}
    elif report.own:
        shape["tool_calls"] = [render_call(call) for call in calls]
    else:
        shape["tool_calls"] = [
            {"id": _call_id(call.id, report), "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
            for call in calls
            if type(call) is ToolCall
        ]


def _foreign_assistant(message: Message, index: int, report: Report, thinking: Sequence[Thinking]) -> None:
    """Report what an assistant turn of another origin loses here."""
    called = moved = False
    for number, block in enumerate(message.content):
        where = f"messages[{index}].content[{number}]"
        if type(block) is Text:
            moved = moved or (called and bool(block.text))
            _losses(block, where, report)
        elif type(block) is ToolCall:
            called = True
            _losses(block, where, report)
        elif type(block) is not Refusal and type(block) is not Thinking:
            report.drop(where, f"{type(block).__name__} has no place in an assistant message of this wire")
    if moved:
        report.change(f"messages[{index}].content", "text that came after a tool call is written before it")
    if thinking:
        report.drop(f"messages[{index}].thinking", "this wire does not take thoughts back")
