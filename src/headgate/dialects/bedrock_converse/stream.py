"""Reading a streamed answer (Amazon Bedrock API reference, "ConverseStream"): a table from event type to what it does.

Text and reasoning have no `contentBlockStart`: their first delta opens them. Blocks that the domain has no growing string for (tools that
Bedrock runs itself, redacted reasoning, images) are gathered and come as one `BlockStart` when they end. The finish is reported with the
`metadata` event, which nearly always follows `messageStop` and holds the usage; a stream may end without it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Callable

from headgate.dialects.bedrock_converse.blocks import call_block, parse_block
from headgate.dialects.bedrock_converse.compose import input_value
from headgate.dialects.bedrock_converse.errors import error_of_frame
from headgate.dialects.bedrock_converse.response import stop_sequence_of, unwrap_block
from headgate.dialects.bedrock_converse.settings import tier_of
from headgate.dialects.bedrock_converse.usage import parse_usage
from headgate.dialects.bedrock_converse.usual_delta import EVENT, read_usual
from headgate.dialects.bedrock_converse.words import NAME, finish_of
from headgate.domain.content import Block, Text, Thinking, ToolCall
from headgate.domain.events import (
    Annotate,
    BlockStart,
    BlockStop,
    Delta,
    Failed,
    Finished,
    OpaqueEvent,
    Signature,
    Start,
    StreamEvent,
    UsageSeen,
)
from headgate.domain.response import Finish
from headgate.errors import Truncated, WireError
from headgate.wire.eventstream import Frame, FrameDecoder
from headgate.wire.json import Json, JsonObject, arr, decode, loaded, obj, text

_FAILURES = ("exception", "error")
_PADDING = "p"
"""Random letters that hide the lengths of events."""


class _Growing:
    """An open block: its number, its head (None while it is gathered), the pieces that came, and the element it is gathered for.

    `wrapped` says that it is a call of the reserved tool, whose head is the text it stands for.
    """

    __slots__ = ("head", "inner", "key", "number", "pieces", "wrapped")

    def __init__(self, number: int, head: Block | None, key: str = "", inner: JsonObject | None = None) -> None:
        self.number = number
        self.head = head
        self.key = key
        self.inner = inner or {}
        self.pieces: list[Json] = []
        self.wrapped = False


class ConverseDecoder:
    """A `StreamDecoder` for one answer."""

    def __init__(self) -> None:
        self._frames = FrameDecoder()
        self._open: dict[int, _Growing] = {}
        self._next = 0
        self._calls = self._wrapped = False
        self._started = self._stopped = self._metered = self._ended = self._failed = False
        self._native = ""
        self._extra: JsonObject = {}

    @property
    def complete(self) -> bool:
        """The usage after `messageStop`, the end of the bytes after it, or an error was seen."""
        return self._failed or (self._stopped and (self._metered or self._ended))

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events completed by these bytes. Raises `WireError` for a broken frame and for an event that is not what the wire promises."""
        out: list[StreamEvent] = []
        for frame in self._frames.feed(data):
            if not self._failed:
                self._take(frame, out)
        return out

    def close(self) -> list[StreamEvent]:
        """Last events at the end of the bytes. Raises `Truncated` when neither `messageStop` nor an error was seen."""
        if self.complete:
            return []
        self._frames.close()
        if not self._stopped:
            raise Truncated("the stream ended before messageStop: the answer is not complete")
        self._ended = True
        return [self._finished()]

    def _take(self, frame: Frame, out: list[StreamEvent]) -> None:
        if frame.headers.get(":message-type") in _FAILURES:
            self._failed = True
            out.append(Failed(error_of_frame(frame)))
            return
        kind = frame.text(":event-type")
        if kind == EVENT and self._usual(frame.payload, out):
            return
        wire = obj(decode(frame.payload, what="stream event"), "event")
        act = _ACTS.get(kind)
        if act is None:
            out.append(OpaqueEvent({kind: wire}, NAME))
            return
        if not self._started:
            self._started = True
            out.append(Start())
        act(self, {key: value for key, value in wire.items() if key != _PADDING}, out)

    def _usual(self, payload: bytes, out: list[StreamEvent]) -> bool:
        """Take more text of an open block. False when this is none."""
        found = read_usual(payload)
        growing = None if found is None else self._open.get(found.content_block_index)
        words = None if found is None else found.words
        if words is None or growing is None or type(growing.head) is not Text:
            return False
        if words:
            out.append(Delta(growing.number, words))
        return True

    def _message_start(self, wire: JsonObject, out: list[StreamEvent]) -> None:
        """Nothing but the role, which is always the assistant's."""

    def _number(self, index: int) -> int:
        number = max(index, self._next)
        self._next = number + 1
        return number

    def _block_start(self, wire: JsonObject, out: list[StreamEvent]) -> None:
        index = _index(wire)
        start = obj(wire.get("start"), "start")
        if len(start) != 1:
            raise WireError("start must have one key", param="start")
        ((key, value),) = start.items()
        inner = obj(value, f"start.{key}")
        self._shut(index, out)
        if key != "toolUse" or inner.get("type") == "server_tool_use":
            self._open[index] = _Growing(self._number(index), None, key, inner)
            return
        call = call_block(inner, "", "start.toolUse")
        head = unwrap_block(call)
        self._calls, self._wrapped = self._calls or head is call, self._wrapped or head is not call
        self._begin(index, head, out).wrapped = head is not call

    def _begin(self, index: int, head: Block, out: list[StreamEvent]) -> _Growing:
        growing = self._open[index] = _Growing(self._number(index), head)
        out.append(BlockStart(growing.number, head))
        return growing

    def _ready(self, index: int, kind: type[Text] | type[Thinking], out: list[StreamEvent]) -> _Growing:
        """The open block of this kind; a delta of another kind closes what was open."""
        growing = self._open.get(index)
        if growing is not None and isinstance(growing.head, kind):
            return growing
        self._shut(index, out)
        return self._begin(index, Text("") if kind is Text else Thinking(), out)

    def _block_delta(self, wire: JsonObject, out: list[StreamEvent]) -> None:
        index = _index(wire)
        delta = obj(wire.get("delta"), "delta")
        for key, value in delta.items():
            grow = _DELTAS.get(key)
            if grow is None:
                out.append(OpaqueEvent({"contentBlockDelta": wire}, NAME))
            else:
                grow(self, index, value, out)

    def _text(self, index: int, value: Json, out: list[StreamEvent]) -> None:
        growing = self._ready(index, Text, out)
        words = text(value, "delta.text")
        if words:
            out.append(Delta(growing.number, words))

    def _citation(self, index: int, value: Json, out: list[StreamEvent]) -> None:
        out.append(Annotate(self._ready(index, Text, out).number, "citations", value))

    def _reasoning(self, index: int, value: Json, out: list[StreamEvent]) -> None:
        said = obj(value, "delta.reasoningContent")
        if "redactedContent" in said:
            self._gather(index, "reasoningContent", text(said["redactedContent"], "delta.reasoningContent.redactedContent"), out)
            return
        growing = self._ready(index, Thinking, out)
        if said.get("text"):
            out.append(Delta(growing.number, text(said["text"], "delta.reasoningContent.text")))
        if said.get("signature") is not None:
            out.append(Signature(growing.number, text(said["signature"], "delta.reasoningContent.signature")))

    def _tool_use(self, index: int, value: Json, out: list[StreamEvent]) -> None:
        growing = self._open.get(index)
        if growing is None or not (isinstance(growing.head, ToolCall) or growing.wrapped or growing.key == "toolUse"):
            raise WireError(f"content block {index} is no open tool call", param="contentBlockIndex")
        piece = text(obj(value, "delta.toolUse").get("input"), "delta.toolUse.input")
        growing.pieces.append(piece)
        if growing.head is not None and piece:
            out.append(Delta(growing.number, piece))

    def _tool_result(self, index: int, value: Json, out: list[StreamEvent]) -> None:
        for item in arr(value, "delta.toolResult"):
            self._gather(index, "toolResult", item, out)

    def _image(self, index: int, value: Json, out: list[StreamEvent]) -> None:
        self._gather(index, "image", obj(value, "delta.image"), out)

    def _gather(self, index: int, key: str, piece: Json, out: list[StreamEvent]) -> None:
        growing = self._open.get(index)
        if growing is None or growing.key != key:
            self._shut(index, out)
            growing = self._open[index] = _Growing(self._number(index), None, key)
        growing.pieces.append(piece)

    def _block_stop(self, wire: JsonObject, out: list[StreamEvent]) -> None:
        self._shut(_index(wire), out)

    def _shut(self, index: int, out: list[StreamEvent]) -> None:
        """Close a block if it is open."""
        growing = self._open.pop(index, None)
        if growing is None:
            return
        if growing.head is None:
            out.append(BlockStart(growing.number, parse_block({growing.key: _gathered(growing)}, "content")))
        elif isinstance(growing.head, ToolCall) and not any(growing.pieces):
            out.append(Delta(growing.number, "{}"))
        out.append(BlockStop(growing.number))

    def _message_stop(self, wire: JsonObject, out: list[StreamEvent]) -> None:
        for index in list(self._open):
            self._shut(index, out)
        self._native = text(wire.get("stopReason"), "stopReason")
        self._extra.update({key: value for key, value in wire.items() if key != "stopReason"})
        self._stopped = True
        if self._metered:
            out.append(self._finished())

    def _metadata(self, wire: JsonObject, out: list[StreamEvent]) -> None:
        tier, usage = tier_of(wire.get("serviceTier")), wire.get("usage")
        known = ("usage",) if tier is None else ("usage", "serviceTier")
        self._extra.update({key: value for key, value in wire.items() if key not in known})
        if usage is not None:
            out.append(UsageSeen(parse_usage(obj(usage, "usage")), tier))
        if self._stopped and not self._metered:
            out.append(self._finished())
        self._metered = True

    def _finished(self) -> Finished:
        finish = finish_of(self._native, calls=self._calls)
        if finish is Finish.TOOL_CALLS and self._wrapped and not self._calls:
            finish = Finish.STOP
        return Finished(finish, self._native, 0, stop_sequence_of(self._extra), self._extra or None)


def _index(wire: JsonObject) -> int:
    index = wire.get("contentBlockIndex")
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise WireError("contentBlockIndex must be a whole number", param="contentBlockIndex")
    return index


def _gathered(growing: _Growing) -> JsonObject:
    """The inner object of a gathered element, its pieces put where the whole answer has them."""
    inner, pieces = growing.inner, growing.pieces
    if growing.key == "toolUse":
        return {**inner, "input": loaded(input_value("".join(pieces)))}
    if growing.key == "toolResult":
        return {**inner, "content": pieces}
    if growing.key == "reasoningContent":
        return {**inner, "redactedContent": _joined_blob(pieces)}
    for piece in pieces:
        inner = {**inner, **piece}
    return inner


def _joined_blob(pieces: list[str]) -> str:
    """Base64 pieces as one; pieces that are none are joined as text."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return b64encode(b"".join([b64decode(piece, validate=True) for piece in pieces])).decode()
    except (Error, ValueError):
        return "".join(pieces)


_DELTAS: dict[str, Callable[[ConverseDecoder, int, Json, list[StreamEvent]], None]] = {
    "text": ConverseDecoder._text,
    "citation": ConverseDecoder._citation,
    "reasoningContent": ConverseDecoder._reasoning,
    "toolUse": ConverseDecoder._tool_use,
    "toolResult": ConverseDecoder._tool_result,
    "image": ConverseDecoder._image,
}

_ACTS: dict[str, Callable[[ConverseDecoder, JsonObject, list[StreamEvent]], None]] = {
    "messageStart": ConverseDecoder._message_start,
    "contentBlockStart": ConverseDecoder._block_start,
    "contentBlockDelta": ConverseDecoder._block_delta,
    "contentBlockStop": ConverseDecoder._block_stop,
    "messageStop": ConverseDecoder._message_stop,
    "metadata": ConverseDecoder._metadata,
}
