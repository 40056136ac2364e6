"""Whole answers, in both directions.

Spelling marks in `Choice.form`: "content:absent", "content:empty", "content:list", "refusal:absent", "logprobs:absent",
"finish:absent", "native" (`native_finish_reason` was given), "function_call", "thinking:…" (see `reasoning`).
Further keys of the message lie in `Choice.extra["message"]`.
"""

from __future__ import annotations

from collections.abc import Sequence

from headgate.dialects.openai_chat.data_url import render_data_url
from headgate.dialects.openai_chat.errors import error_of, provider_error
from headgate.dialects.openai_chat.lenient import decode_mended
from headgate.dialects.openai_chat.parts import parse_parts, render_part
from headgate.dialects.openai_chat.reasoning import FIELDS, parse_thinking, render_thinking
from headgate.dialects.openai_chat.tools import is_call, parse_calls, parse_signature, render_call, render_signature
from headgate.dialects.openai_chat.usage import find_usage, render_usage, tier_word
from headgate.dialects.openai_chat.words import FINISH_WORD, NAME, NATIVE_FINISH, malformed, parse_finish
from headgate.domain.content import Block, Media, Opaque, Refusal, Text, Thinking, ToolCall
from headgate.domain.response import Choice, Finish, Response
from headgate.wire.json import Json, JsonObject, encode, type_name

_TOP = frozenset({"id", "object", "created", "model", "choices", "usage", "service_tier"})
_CHOICE = frozenset({"index", "message", "finish_reason", "logprobs", NATIVE_FINISH, "stop_sequence"})
_THINKING = frozenset(FIELDS)
_MESSAGE = frozenset({"role", "content", "tool_calls", "function_call", "refusal", *FIELDS})
OBJECT = "chat.completion"
LEGACY_CALL = "call_function_0"
"""Id of a call that came in the older `function_call` of an answer."""


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
    created, tier = raw.get("created"), raw.get("service_tier")
    extra = _beside(raw, _TOP)
    if raw.get("object") != OBJECT:
        extra["object"] = raw.get("object")
    if "service_tier" in raw and not isinstance(tier, str):
        extra["service_tier"] = tier
    return Response(
        id=_text(raw.get("id")),
        model=_text(raw.get("model")),
        choices=tuple([_choice(item, index) for index, item in enumerate(choices)]),
        usage=find_usage(raw),
        created=int(created) if isinstance(created, int | float) else None,
        service_tier=tier if isinstance(tier, str) else None,
        dialect=NAME,
        extra=extra or None,
        form=() if raw.get("usage") is not None else ("usage:absent",),
    )


def _beside(value: JsonObject, known: frozenset[str]) -> JsonObject:
    """What an object has beside the keys that are known."""
    return {} if value.keys() <= known else {key: item for key, item in value.items() if key not in known}


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _choice(item: Json, place: int) -> Choice:
    param = f"choices[{place}]"
    message = item.get("message") if isinstance(item, dict) else None
    if type(message) is not dict:
        raise malformed(f"{param}.message", "an object")
    marks: list[str] = []
    extra = _beside(item, _CHOICE)
    rest = _beside(message, _MESSAGE)
    content = _message(message, param, marks, rest)
    if rest:
        extra["message"] = rest
    calls = any(type(block) is ToolCall for block in content)
    finish, native = parse_finish(item.get("finish_reason"), item.get(NATIVE_FINISH), calls)
    marks += [f"{key}:absent" for key in ("finish_reason", "logprobs") if key not in item]
    if NATIVE_FINISH in item:
        marks.append("native")
    index, stop = item.get("index"), item.get("stop_sequence")
    return Choice(
        index if type(index) is int else place,
        tuple(content),
        finish,
        native,
        stop if isinstance(stop, str) else None,
        item.get("logprobs"),
        extra or None,
        tuple(marks),
    )


def _message(message: JsonObject, param: str, marks: list[str], rest: JsonObject) -> list[Block]:
    """The blocks of a message: thinking, content, refusal, calls. What cannot be held goes to `rest`."""
    blocks: list[Block] = []
    if not _THINKING.isdisjoint(message):
        thinking, mark, unheld = parse_thinking(message)
        rest.update(unheld)
        blocks += thinking
        if mark:
            marks.append(mark)
    blocks += _content(message, param, marks)
    _sign_text(blocks, rest)
    refusal = message.get("refusal")
    if isinstance(refusal, str):
        blocks.append(Refusal(refusal))
    elif "refusal" not in message:
        marks.append("refusal:absent")
    _calls(message, param, blocks, marks, rest)
    return blocks


def _content(message: JsonObject, param: str, marks: list[str]) -> list[Block]:
    content = message.get("content")
    if isinstance(content, str):
        if content:
            return [Text(content)]
        marks.append("content:empty")
    elif isinstance(content, list):
        marks.append("content:list")
        return [thought_of(block) for block in parse_parts(content, f"{param}.message.content")]
    elif content is not None:
        raise malformed(f"{param}.message.content", f"a string, not {type_name(content)}")
    elif "content" not in message:
        marks.append("content:absent")
    return []


def thought_of(block: Block) -> Block:
    """Mistral's thinking part (a list of text parts) as `Thinking`; any other block as it is."""
    if type(block) is not Opaque or block.raw.get("type") != "thinking" or not isinstance(block.raw.get("thinking"), list):
        return block
    parts = block.raw["thinking"]
    return Thinking("".join(_text(part.get("text")) for part in parts if isinstance(part, dict)), extra={"part": block.raw})


def _sign_text(blocks: list[Block], rest: JsonObject) -> None:
    """Give the last text the thought signature that Google puts beside it (case 74)."""
    signature = parse_signature(rest.get("extra_content"))
    if signature is not None and blocks and isinstance(last := blocks[-1], Text):
        blocks[-1] = Text(last.text, last.cache, signature, last.extra)
        del rest["extra_content"]


def _calls(message: JsonObject, param: str, blocks: list[Block], marks: list[str], rest: JsonObject) -> None:
    calls, legacy = message.get("tool_calls"), message.get("function_call")
    if calls:
        if type(calls) is not list:
            raise malformed(f"{param}.message.tool_calls", f"an array, not {type_name(calls)}")
        blocks += parse_calls(calls, f"{param}.message.tool_calls")
    elif "tool_calls" in message:
        rest["tool_calls"] = calls
    if legacy is None and "function_call" not in message:
        return
    if not calls and isinstance(legacy, dict) and isinstance(legacy.get("name"), str) and isinstance(legacy.get("arguments"), str):
        unknown = {key: value for key, value in legacy.items() if key not in ("name", "arguments")}
        blocks.append(ToolCall(LEGACY_CALL, legacy["name"], legacy["arguments"], extra=unknown or None))
        marks.append("function_call")
    else:
        rest["function_call"] = legacy


def render_response(response: Response) -> bytes:
    """Write a whole answer of any origin."""
    own = response.dialect == NAME
    shape: JsonObject = {
        "id": response.id,
        "object": OBJECT,
        "created": response.created if own else response.created or 0,
        "model": response.model,
        "choices": [_render_choice(choice, own) for choice in response.choices],
    }
    if response.usage is not None and "usage:absent" not in response.form:
        native = response.usage.native if own else None
        shape["usage"] = native if native is not None else render_usage(response.usage)
    tier = response.service_tier if own else tier_word(response.service_tier)
    if tier is not None:
        shape["service_tier"] = tier
    if own and response.extra:
        shape.update(response.extra)
        if response.extra.get("object", OBJECT) is None:
            del shape["object"]
    return encode(shape)


def _render_choice(choice: Choice, own: bool) -> JsonObject:
    marks = choice.form if own else ()
    extra = choice.extra if own and choice.extra else {}
    shape: JsonObject = {"index": choice.index, "message": _render_message(choice, marks, extra, own)}
    if "logprobs:absent" not in marks:
        shape["logprobs"] = choice.logprobs
    if "finish_reason:absent" not in marks:
        shape["finish_reason"] = finish_word(choice.finish, choice.native_finish, choice.tool_calls, own and "native" not in marks)
    if choice.native_finish is not None and (not own or "native" in marks):
        shape[NATIVE_FINISH] = choice.native_finish
    if choice.stop_sequence is not None:
        shape["stop_sequence"] = choice.stop_sequence
    shape.update((key, value) for key, value in extra.items() if key != "message")
    return shape


def finish_word(finish: Finish | None, native: str | None, calls: Sequence[ToolCall], own: bool) -> str | None:
    """The word for a finish: the native one when it is this wire's, else by table; a stop with calls is "tool_calls" (case 28)."""
    if own and native is not None:
        return native
    if finish is Finish.STOP and calls:
        return "tool_calls"
    return None if finish is None else FINISH_WORD[finish]


def _render_message(choice: Choice, marks: Sequence[str], extra: JsonObject, own: bool) -> JsonObject:
    blocks = choice.content
    shape: JsonObject = {"role": "assistant"}
    _render_content(shape, blocks, marks, own)
    signature = next((b.signature for b in reversed(blocks) if type(b) is Text and b.signature is not None), None)
    if signature is not None:
        shape["extra_content"] = render_signature(signature)
    refusals = [block.text for block in blocks if type(block) is Refusal]
    if refusals or "refusal:absent" not in marks:
        shape["refusal"] = "".join(refusals) if refusals else None
    thinking = [block for block in blocks if type(block) is Thinking and not (block.extra and "part" in block.extra)]
    if thinking:
        shape.update(render_thinking(thinking if own else [Thinking(b.text, b.signature, b.redacted) for b in thinking], marks))
    _render_calls(shape, choice, marks, own)
    if not own:
        _render_extensions(shape, blocks)
    kept = extra.get("message")
    shape.update(kept if isinstance(kept, dict) else {})
    return shape


def _render_calls(shape: JsonObject, choice: Choice, marks: Sequence[str], own: bool) -> None:
    calls = choice.tool_calls
    if calls and "function_call" in marks:
        shape["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments, **(calls[0].extra or {})}
    elif own:
        shapes = [render_call(block) for block in choice.content if is_call(block)]
        if shapes:
            shape["tool_calls"] = shapes
    elif calls:
        shape["tool_calls"] = [answer_call(call) for call in calls]


def answer_call(call: ToolCall) -> Json:
    """A foreign call as this wire has it: empty arguments become ``{}`` (case 25), a thought signature rides along (case 74)."""
    return render_call(ToolCall(call.id, call.name, call.arguments or "{}", signature=call.signature))


def _render_content(shape: JsonObject, blocks: Sequence[Block], marks: Sequence[str], own: bool) -> None:
    if own and "content:list" in marks:
        shape["content"] = [_render_listed(block) for block in blocks if _is_listed(block)]
        return
    text = "".join([block.text for block in blocks if type(block) is Text])
    if text or "content:empty" in marks:
        shape["content"] = text
    elif "content:absent" not in marks:
        shape["content"] = None


def _is_listed(block: Block) -> bool:
    return (isinstance(block, Text | Media | Opaque) and not is_call(block)) or (
        isinstance(block, Thinking) and bool(block.extra) and "part" in (block.extra or {})
    )


def _render_listed(block: Block) -> Json:
    if isinstance(block, Thinking):
        return (block.extra or {})["part"]
    return block.raw if isinstance(block, Opaque) else render_part(block) if isinstance(block, Text | Media) else None


def _render_extensions(shape: JsonObject, blocks: Sequence[Block]) -> None:
    """What this wire has no field for: pictures as `images`, and the order of interleaved text and calls (case 27)."""
    images = [picture(block) for block in blocks if type(block) is Media and block.kind == "image"]
    if images:
        shape["images"] = images
    called = False
    for block in blocks:
        if called and type(block) is Text and block.text:
            shape["blocks"] = [_ordered(b) for b in blocks if isinstance(b, Text | ToolCall)]
            return
        called = called or type(block) is ToolCall


def _ordered(block: Text | ToolCall) -> JsonObject:
    return {"type": "text", "text": block.text} if isinstance(block, Text) else {"type": "tool_call", "id": block.id}


def picture(block: Media) -> JsonObject:
    """A generated picture as OpenRouter hands it out."""
    url = block.url if block.data is None else render_data_url(block.mime or "image/png", block.data)
    return {"type": "image_url", "image_url": {"url": url}}
