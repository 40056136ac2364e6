"""Whole answers, both ways. Keys of the answer that no field holds go to the choice's `extra`, as those of a streamed answer do."""

from __future__ import annotations

from msgspec.structs import replace

from headgate.dialects.bedrock_converse.blocks import parse_blocks
from headgate.dialects.bedrock_converse.compose import render_block, render_blocks
from headgate.dialects.bedrock_converse.errors import error_of_body
from headgate.dialects.bedrock_converse.ids import wire_id
from headgate.dialects.bedrock_converse.redacted import BINARY
from headgate.dialects.bedrock_converse.settings import tier_of
from headgate.dialects.bedrock_converse.usage import parse_usage, render_usage
from headgate.dialects.bedrock_converse.words import (
    FINISH,
    NAME,
    STRUCTURED_TOOL,
    finish_of,
    format_of,
    has_calls,
    picture_format,
    stop_reason_of,
)
from headgate.domain.content import Block, Media, Opaque, Refusal, Text, Thinking, ToolCall
from headgate.domain.response import Choice, Finish, Response
from headgate.errors import ErrorKind, ProviderError, WireError
from headgate.wire.json import Json, JsonObject, decode, encode, obj

METRICS: JsonObject = {"latencyMs": 0}
"""The metrics of an answer nobody timed, which the wire requires."""

TIERS = frozenset(("priority", "default", "flex", "reserved"))
NO_ROLE = "norole"
"""Spelling mark: the message of an answer without its role."""

_KNOWN = ("output", "stopReason", "usage", "serviceTier")


def parse_response(body: bytes) -> Response:
    """A whole answer. Raises `ProviderError` for an error object with status 200 and `WireError` for anything else that is no answer."""
    wire = obj(decode(body, what="response body"), "response")
    if "output" not in wire and ("__type" in wire or isinstance(wire.get("message"), str)):
        raise error_of_body(body)
    output = obj(wire.get("output"), "output")
    message = obj(output.get("message"), "output.message")
    blocks = tuple([unwrap_block(block) for block in parse_blocks(message.get("content"), "output.message.content")])
    native = wire.get("stopReason")
    if native is not None and not isinstance(native, str):
        raise WireError("stopReason must be a string", param="stopReason")
    extra = {key: value for key, value in wire.items() if key not in _KNOWN or value is None}
    beside = _beside(output, message)
    if beside:
        extra["output"] = beside
    tier = tier_of(wire.get("serviceTier"))
    if tier is None and "serviceTier" in wire:
        extra["serviceTier"] = wire["serviceTier"]
    usage = wire.get("usage")
    finish = finish_of(native, calls=has_calls(blocks))
    if finish is Finish.TOOL_CALLS and not has_calls(blocks) and _wrapped(message):
        finish = Finish.STOP
    return Response(
        choices=(Choice(0, blocks, finish, native, stop_sequence_of(extra), None, extra or None, () if "role" in message else (NO_ROLE,)),),
        usage=parse_usage(obj(usage, "usage")) if usage is not None else None,
        service_tier=tier,
        dialect=NAME,
    )


def _beside(output: JsonObject, message: JsonObject) -> JsonObject:
    """What `output` and its message hold beside the content of an assistant."""
    rest: JsonObject = {key: value for key, value in output.items() if key != "message"}
    inner = {key: value for key, value in message.items() if key != "content" and (key, value) != ("role", "assistant")}
    return rest | ({"message": inner} if inner else {})


def _wrapped(message: JsonObject) -> bool:
    """Whether the answer was given by the reserved tool."""
    return any(isinstance(item.get("toolUse"), dict) and item["toolUse"].get("name") == STRUCTURED_TOOL for item in message["content"])


def unwrap_block(block: Block) -> Block:
    """A call of the reserved tool as the text it stands for; any other block unchanged."""
    return Text(block.arguments) if isinstance(block, ToolCall) and block.name == STRUCTURED_TOOL else block


def stop_sequence_of(extra: JsonObject) -> str | None:
    """The stop sequence among the additional fields of an answer, where the caller asked for that field."""
    found: Json = extra.get("additionalModelResponseFields")
    for key in ("delta", "stop_sequence"):
        if isinstance(found, dict) and key in found:
            found = found[key]
    return found if isinstance(found, str) else None


def render_response(response: Response) -> bytes:
    """An answer of any origin. Only the first choice has a place; one of another wire that ended in an error raises `ProviderError`."""
    choice = response.choices[0] if response.choices else Choice()
    if response.dialect == NAME:
        return encode(_own(response, choice))
    if choice.finish is Finish.ERROR:
        raise ProviderError(ErrorKind.SERVER, f"the model ended with an error ({choice.native_finish or 'no reason given'})")
    wire: JsonObject = {
        "output": {"message": {"role": "assistant", "content": _foreign(choice.content)}},
        "stopReason": _stop_reason(choice),
        "usage": render_usage(response.usage),
        "metrics": METRICS,
    }
    if choice.stop_sequence is not None:
        wire["additionalModelResponseFields"] = {"stop_sequence": choice.stop_sequence}
    if response.service_tier in TIERS:
        wire["serviceTier"] = {"type": response.service_tier}
    return encode(wire)


def _own(response: Response, choice: Choice) -> JsonObject:
    extra = dict(choice.extra or {})
    beside = dict(extra.pop("output", {}))
    role: JsonObject = {} if NO_ROLE in choice.form else {"role": "assistant"}
    message: JsonObject = {**role, "content": render_blocks(choice.content), **beside.pop("message", {})}
    wire: JsonObject = {"output": {**beside, "message": message}}
    native = choice.native_finish
    if native is not None or choice.finish is not None:
        fits = native is not None and finish_of(native, calls=has_calls(choice.content)) is choice.finish
        wire["stopReason"] = native if fits else stop_reason_of(choice.finish, choice.stop_sequence)
    if response.usage is not None:
        wire["usage"] = response.usage.native if response.usage.native is not None else render_usage(response.usage)
    if response.service_tier is not None:
        wire["serviceTier"] = {"type": response.service_tier}
    return wire | extra


def _stop_reason(choice: Choice) -> str:
    if any(isinstance(block, Refusal) for block in choice.content):
        return "content_filtered"
    native = choice.native_finish
    if native in FINISH and finish_of(native, calls=has_calls(choice.content)) is choice.finish:
        return native
    return stop_reason_of(choice.finish, choice.stop_sequence)


def _foreign(blocks: tuple[Block, ...]) -> list[JsonObject]:
    return [wire for wire in map(answer_block, blocks) if wire is not None]


def _picture(block: Media) -> JsonObject | None:
    """An image of the model, the only media an answer here holds."""
    if block.kind != "image" or block.data is None:
        return None
    word = format_of("image", block.mime) or picture_format(block.data)
    return {"image": {"format": word, "source": {"bytes": block.data}}} if word is not None else None


def answer_block(block: Block) -> JsonObject | None:
    """A block of another wire's answer, without that wire's extra keys; what an answer here cannot hold is left out."""
    if isinstance(block, Text | Refusal):
        return {"text": block.text} if block.text else None
    if isinstance(block, ToolCall):
        return render_block(replace(block, id=wire_id(block.id), extra=None, form=""))
    if isinstance(block, Thinking):
        return render_block(replace(block, extra={BINARY: True} if BINARY in (block.extra or {}) else None))
    if isinstance(block, Media):
        return _picture(block)
    return render_block(block) if isinstance(block, Opaque) else None
