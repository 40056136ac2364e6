"""Whole answers, in both directions.

`Response.extra` holds what was known when the answer began, `Choice.extra` what its end decided (`words.LATE`), and each block's
`extra["item"]` the head of the item it began (see `items`). A streamed answer folds to the same value.
"""

from __future__ import annotations

from collections.abc import Sequence

from headgate.dialects.openai_chat.errors import error_of, provider_error
from headgate.dialects.openai_chat.lenient import decode_mended
from headgate.dialects.openai_responses.items import (
    ITEM,
    head_of,
    is_part,
    read_output,
    write_call,
    write_message,
    write_picture,
    write_reasoning,
)
from headgate.dialects.openai_responses.parts import SIGNATURE
from headgate.dialects.openai_responses.usage import parse_usage, render_usage
from headgate.dialects.openai_responses.words import (
    ENDING,
    LATE,
    NAME,
    OBJECT,
    SERVICE_TIERS,
    item_id,
    malformed,
    parse_finish,
    response_id,
    skeleton,
)
from headgate.domain.content import Block, Media, Opaque, Refusal, Text, Thinking, ToolCall
from headgate.domain.response import Choice, Finish, Response
from headgate.errors import ErrorKind, ProviderError
from headgate.wire.json import Json, JsonObject, encode, type_name

_TOP = frozenset({"id", "model", "created_at", "output", "usage", "service_tier"})


def parse_response(body: bytes) -> Response:
    """Read a whole answer. Raises `ProviderError` for an error in it, `WireError` for anything malformed."""
    raw = decode_mended(body, "the answer")
    if type(raw) is not dict:
        raise malformed("body", f"an object, not {type_name(raw)}")
    output = raw.get("output")
    if raw.get("error"):
        raise provider_error(None, {}, error_of(raw) or {}, body)
    if type(output) is not list:
        raise malformed("output", f"an array, not {type_name(output)}")
    content = [block for index, item in enumerate(output) for block in read_output(item, f"output[{index}]")]
    finish, native = ending_of(raw, content)
    tier = raw.get("service_tier")
    extra = early(raw)
    choice = Choice(0, tuple(content), finish, native, None, logprobs_of(content), late(raw))
    return Response(
        id=text_of(raw.get("id")),
        model=text_of(raw.get("model")),
        choices=(choice,),
        usage=parse_usage(raw.get("usage"), raw.get("tool_usage")),
        created=created_of(raw.get("created_at")),
        service_tier=tier if isinstance(tier, str) else None,
        dialect=NAME,
        extra=extra,
        form=tuple(f"{key}:absent" for key in ("usage", "service_tier", "created_at") if key not in raw)
        + (("service_tier:null",) if "service_tier" in raw and tier is None else ()),
    )


def text_of(value: Json) -> str:
    """A string, "" for anything else."""
    return value if isinstance(value, str) else ""


def created_of(value: Json) -> int | None:
    """Seconds since the epoch; some servers write them with a fraction."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def early(raw: JsonObject) -> JsonObject | None:
    """Keys nobody named that are known when an answer begins. A `created_at` with a fraction is among them."""
    extra = {key: value for key, value in raw.items() if key not in _TOP and key not in LATE}
    created = raw.get("created_at")
    if isinstance(created, float) and not created.is_integer():
        extra["created_at"] = created
    return extra or None


def late(raw: JsonObject) -> JsonObject | None:
    """Keys that the end of an answer decides."""
    return {key: raw[key] for key in raw if key in LATE} or None


def ending_of(raw: JsonObject, content: Sequence[Block]) -> tuple[Finish | None, str | None]:
    """How an answer ended."""
    calls = any(type(block) is ToolCall for block in content)
    return parse_finish(raw.get("status"), raw.get("incomplete_details"), calls)


def logprobs_of(content: Sequence[Block]) -> Json:
    """The log probabilities of all texts together, as the chat wire has them."""
    lists = [block.extra.get("logprobs") for block in content if isinstance(block, Text) and block.extra]
    found = [entry for entries in lists if isinstance(entries, list) for entry in entries]
    return {"content": found} if found else None


def entries_of(logprobs: Json) -> list[Json]:
    """The tokens of log probabilities as the chat wire has them; none of anything else."""
    found = logprobs.get("content") if isinstance(logprobs, dict) else None
    return found if isinstance(found, list) else []


def render_response(response: Response) -> bytes:
    """Write a whole answer of any origin. Only the first choice has a place; one that ended in an error raises `ProviderError`."""
    choice = response.choices[0] if response.choices else Choice()
    if response.dialect == NAME:
        return encode(_own(response, choice))
    if choice.finish is Finish.ERROR:
        raise ProviderError(ErrorKind.SERVER, f"the model ended with an error ({choice.native_finish or 'no reason given'})")
    return encode(_foreign(response, choice))


def _own(response: Response, choice: Choice) -> JsonObject:
    usage = response.usage
    shape: JsonObject = {"id": response.id, "object": OBJECT, "created_at": response.created, "model": response.model}
    shape["output"] = write_output(choice, response.id)
    shape["usage"] = usage.native if usage is not None and usage.native is not None else render_usage(usage)
    if response.service_tier is not None or "service_tier:null" in response.form:
        shape["service_tier"] = response.service_tier
    shape.update(response.extra or {})
    shape.update(choice.extra or {})
    for mark in response.form:
        if mark.endswith(":absent"):
            shape.pop(mark.removesuffix(":absent"), None)
    return shape


def _foreign(response: Response, choice: Choice) -> JsonObject:
    identity = response_id(response.id)
    shape = {**skeleton(identity, response.model, response.created or 0), **response.echo}
    shape["output"] = write_output(choice, identity)
    shape["usage"] = render_usage(response.usage)
    put_tier(shape, response.service_tier)
    put_ending(shape, choice.finish)
    if shape["status"] == "incomplete":
        _mark_cut(shape["output"])
    return shape


def _mark_cut(items: list[JsonObject]) -> None:
    """The last item of an answer that was cut is incomplete, where it can be."""
    if items and items[-1].get("type") in ("message", "function_call"):
        items[-1] = {**items[-1], "status": "incomplete"}


def put_tier(shape: JsonObject, tier: str | None) -> None:
    """Add the service tier, when this wire has a word for it."""
    word = SERVICE_TIERS.get(tier or "")
    if word is not None:
        shape["service_tier"] = word


def put_ending(shape: JsonObject, finish: Finish | None) -> None:
    """Set status and reason for a finish; an answer whose end is not known is in progress."""
    if finish is None:
        return
    shape["status"], reason = ENDING[finish]
    if reason is not None:
        shape["incomplete_details"] = {"reason": reason}


def write_output(choice: Choice, identity: str) -> list[JsonObject]:
    """The items of an answer. Blocks that began no item of this wire are given one: neighbouring texts share a message."""
    items: list[JsonObject] = []
    blocks, place = choice.content, 0
    loose = {} if choice.logprobs is None else {"logprobs": entries_of(choice.logprobs)}
    while place < len(blocks):
        if not is_part(blocks[place]):
            block, place = blocks[place], place + 1
            item = _ITEMS[type(block)](block, identity, len(items)) if type(block) in _ITEMS else None
        else:
            run = _run(blocks, place)
            place += len(run)
            item = _message(run, identity, len(items), loose)
        if item is not None:
            items.append(item)
    return items


def _run(blocks: Sequence[Block], place: int) -> list[Block]:
    """The parts of one message, from `place` up to the next block that is none, or that began an item of its own."""
    run = [blocks[place]]
    for index in range(place + 1, len(blocks)):
        block = blocks[index]
        if not is_part(block) or head_of(block) is not None:
            break
        run.append(block)
    return run


def _message(run: Sequence[Block], identity: str, index: int, loose: JsonObject) -> JsonObject | None:
    found = head_of(run[0])
    if found is not None:
        head, more = found
        return write_message([_without_head(block) for block in run], "assistant", head, more, listed=True)
    parts = [part for block in run if (part := answer_part(block)) is not None]
    if not parts:
        return None
    if loose and parts[0]["type"] == "output_text":
        parts[0]["logprobs"] = loose.pop("logprobs", [])
    return {"id": item_id("msg", identity, index), "type": "message", "role": "assistant", "status": "completed", "content": parts}


def answer_part(block: Block) -> JsonObject | None:
    """A text or refusal of another wire as a part of an answer; None for what an answer here cannot hold."""
    if isinstance(block, Text):
        part: JsonObject = {"type": "output_text", "text": block.text, "annotations": [], "logprobs": []}
        return part if block.signature is None else {**part, SIGNATURE: block.signature}
    return {"type": "refusal", "refusal": block.text} if isinstance(block, Refusal) else None


def _without_head(block: Block) -> Block:
    if not isinstance(block, Text | Refusal) or not block.extra or ITEM not in block.extra:
        return block
    rest = {key: value for key, value in block.extra.items() if key != ITEM} or None
    return Text(block.text, block.cache, block.signature, rest) if isinstance(block, Text) else Refusal(block.text, rest)


def _call(block: Block, identity: str, index: int) -> JsonObject | None:
    if not isinstance(block, ToolCall):
        return None
    found = head_of(block)
    if found is not None:
        return write_call(block, *found)
    call = ToolCall(block.id, block.name, block.arguments or "{}", signature=block.signature)
    return write_call(call, {"id": item_id("fc", identity, index), "status": "completed"}, None)


def _reasoning(block: Block, identity: str, index: int) -> JsonObject | None:
    if not isinstance(block, Thinking):
        return None
    found = head_of(block)
    return write_reasoning(block, *found) if found is not None else write_reasoning(block, {"id": item_id("rs", identity, index)}, None)


def _picture(block: Block, identity: str, index: int) -> JsonObject | None:
    if not isinstance(block, Media) or block.kind != "image" or block.data is None:
        return None
    found = head_of(block)
    return write_picture(block, found[0] if found else {"id": item_id("ig", identity, index), "status": "completed"})


def _opaque(block: Block, identity: str, index: int) -> JsonObject | None:
    return block.raw if isinstance(block, Opaque) and block.dialect == NAME and isinstance(block.raw, dict) else None


_ITEMS = {ToolCall: _call, Thinking: _reasoning, Media: _picture, Opaque: _opaque}
