"""Reading a streamed answer.

The stream has no terminator of its own: it is complete when every candidate seen has its finish reason, or the prompt was refused.
Three framings arrive under the same media type: server-sent events with CRLF, a growing JSON array (without ``alt=sse``), and a bare
error object; the first byte tells which. Usage is cumulative on each chunk, the last wins (translation case 54).
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from headgate.dialects.gemini_generate.errors import classify, error_in
from headgate.dialects.gemini_generate.finish import parse_finish
from headgate.dialects.gemini_generate.json_stream import ObjectSplitter
from headgate.dialects.gemini_generate.logprobs import parse_logprobs
from headgate.dialects.gemini_generate.partial import PartialCall
from headgate.dialects.gemini_generate.parts import PartReader, take_signature
from headgate.dialects.gemini_generate.response import (
    block_reason,
    choice_index,
    content_of,
    header,
    native_finish,
    parse_time,
)
from headgate.dialects.gemini_generate.usage import parse_tier, parse_usage
from headgate.dialects.gemini_generate.usual_chunk import read_usual
from headgate.domain.content import Block, Text, Thinking, ToolCall
from headgate.domain.events import (
    Annotate,
    BlockStart,
    BlockStop,
    Delta,
    Failed,
    Finished,
    Signature,
    Start,
    StreamEvent,
    UsageSeen,
)
from headgate.domain.response import Finish
from headgate.errors import Truncated, WireError
from headgate.wire.json import Json, JsonObject, decode, obj
from headgate.wire.sse import SseDecoder

MAX_CHUNK = 64 << 20
"""Cap for one chunk, in bytes: pictures come whole."""

_CHOICE_KEYS = frozenset({"content", "finishReason", "index", "logprobsResult"})
_HEADER_KEYS = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId"})


class _Frames(Protocol):
    """Bytes to the JSON texts of chunks."""

    def feed(self, data: bytes) -> list[bytes]: ...

    def close(self) -> list[bytes]: ...

    @property
    def unknown(self) -> bytes: ...


class _SseFrames:
    def __init__(self) -> None:
        self._sse = SseDecoder(MAX_CHUNK)

    def feed(self, data: bytes) -> list[bytes]:
        return [event.data for event in self._sse.feed(data)]

    def close(self) -> list[bytes]:
        return [event.data for event in self._sse.close()]

    @property
    def unknown(self) -> bytes:
        return self._sse.unknown


class _JsonFrames:
    def __init__(self) -> None:
        self._splitter = ObjectSplitter(MAX_CHUNK)

    def feed(self, data: bytes) -> list[bytes]:
        return self._splitter.feed(data)

    def close(self) -> list[bytes]:
        if self._splitter.open:
            raise Truncated("the JSON stream ended inside an object")
        return []

    @property
    def unknown(self) -> bytes:
        return b""


class _Choice:
    """One candidate as it grows: the open block's place and whether it is a thought, and what is known of its end."""

    __slots__ = ("calls", "finished", "index", "open", "partial", "place")

    def __init__(self, index: int) -> None:
        self.index = index
        self.place = -1
        self.open: type[Block] | None = None
        self.calls = False
        self.finished = False
        self.partial: PartialCall | None = None


class GeminiStreamDecoder:
    """Decoder for one streamed answer."""

    def __init__(self) -> None:
        self._frames: _Frames | None = None
        self._head = b""
        self._reader: PartReader | None = None
        self._choices: dict[int, _Choice] = {}
        self._blocked = False
        self._failed = False

    @property
    def complete(self) -> bool:
        """Every candidate seen has ended, the prompt was refused, or an error was reported.

        With several candidates the others may still begin; read on to the end of the bytes.
        """
        return self._failed or self._blocked or (bool(self._choices) and all(choice.finished for choice in self._choices.values()))

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events completed by these bytes. Raises `WireError` for bytes that are none of the three framings."""
        if self._failed:
            return []
        if self._frames is None:
            data = self._head + data
            if not self._detect(data):
                self._head = data
                return []
        assert self._frames is not None
        return self._read(self._frames.feed(data))

    def close(self) -> list[StreamEvent]:
        """Last events. Raises `Truncated` unless every candidate has ended or the stream reported an error."""
        if self._frames is None or self._failed:
            events: list[StreamEvent] = []
        else:
            events = self._last(self._frames)
        if not self.complete:
            raise Truncated("the Gemini stream ended before a finish reason")
        return events

    def _last(self, frames: _Frames) -> list[StreamEvent]:
        """What the end of the bytes completes: a last chunk, or an error in plain JSON behind the chunks."""
        try:
            events = self._read(frames.close())
        except WireError as error:
            raise Truncated(f"the Gemini stream ended inside a chunk: {error.message}") from error
        if not self.complete and frames.unknown:
            events += self._plain_error(frames.unknown)
        return events

    def _plain_error(self, text: bytes) -> list[StreamEvent]:
        try:
            raw = decode(text, what="stream")
        except WireError:
            return []
        error = error_in(raw) if isinstance(raw, dict) else None
        if error is None:
            return []
        self._failed = True
        return [Failed(classify(error, 200))]

    def _detect(self, data: bytes) -> bool:
        """Choose the framing by the first byte that says something."""
        start = data.lstrip(b"\xef\xbb\xbf \t\r\n")
        if not start:
            return False
        self._frames = _JsonFrames() if start[:1] in b"{[" else _SseFrames()
        return True

    def _read(self, texts: list[bytes]) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        for chunk in texts:
            if self._failed:
                break
            if self._reader is not None and self._usual(chunk, events):
                continue
            self._chunk(obj(decode(chunk, what="stream chunk"), "chunk"), events)
        return events

    def _usual(self, data: bytes, events: list[StreamEvent]) -> bool:
        """Take a usual chunk whose words go on in the open block. False when this is none."""
        found = read_usual(data)
        only = None if found is None else found.only
        if found is None or only is None:
            return False
        place, part = only
        choice = self._choices.get(place)
        if choice is None or choice.open is not (Thinking if part.thought else Text):
            return False
        if part.text:
            events.append(Delta(choice.place, part.text, place))
        if found.usage_metadata is not None:
            self._usage(found.usage_metadata, events)
        return True

    def _usage(self, metadata: Json, events: list[StreamEvent]) -> None:
        usage = parse_usage(metadata)
        if usage is not None:
            events.append(UsageSeen(usage, parse_tier(metadata)))

    def _chunk(self, raw: JsonObject, events: list[StreamEvent]) -> None:
        error = error_in(raw)
        if error is not None:
            self._failed = True
            events.append(Failed(classify(error, 200)))
            return
        if self._reader is None:
            self._reader = self._start(raw, events)
        ends: list[Finished] = []
        candidates = raw.get("candidates")
        for index, item in enumerate(candidates if isinstance(candidates, list) else ()):
            path = f"candidates[{index}]"
            self._candidate(obj(item, path), path, self._reader, events, ends)
        reason = block_reason(raw)
        if reason is not None and not self._choices:
            self._blocked = True
            ends.append(Finished(Finish.CONTENT_FILTER, reason))
        self._usage(raw.get("usageMetadata"), events)
        events += ends

    def _start(self, raw: JsonObject, events: list[StreamEvent]) -> PartReader:
        answer_id, model = header(raw)
        extra = {key: value for key, value in raw.items() if key not in _HEADER_KEYS}
        events.append(Start(answer_id, model, parse_time(raw.get("createTime")), extra or None))
        return PartReader(answer_id)

    def _candidate(self, raw: JsonObject, path: str, reader: PartReader, events: list[StreamEvent], ends: list[Finished]) -> None:
        place = choice_index(raw)
        choice = self._choices.get(place)
        if choice is None:
            choice = self._choices[place] = _Choice(place)
        for index, part in enumerate(content_of(raw, path)):
            where = f"{path}.content.parts[{index}]"
            self._part(choice, obj(part, where), where, reader, events)
        logprobs = parse_logprobs(raw.get("logprobsResult"))
        if logprobs is not None:
            events.append(Annotate(-1, "logprobs", logprobs, place))
        notes = {key: value for key, value in raw.items() if key not in _CHOICE_KEYS}
        native = native_finish(raw, path)
        if native is None or choice.finished:
            events += [Annotate(-1, key, value, place) for key, value in notes.items()]
            return
        self._close_partial(choice, reader, events)
        self._close_block(choice, events)
        choice.finished = True
        ends.append(Finished(parse_finish(native, calls=choice.calls), native, place, extra=notes or None))

    def _part(self, choice: _Choice, part: JsonObject, path: str, reader: PartReader, events: list[StreamEvent]) -> None:
        call = part.get("functionCall")
        if isinstance(call, dict) and (choice.partial is not None or "partialArgs" in call or call.get("willContinue")):
            self._partial(choice, call, dict(part), path, reader, events)
            return
        block = reader.part(part, path)
        if isinstance(block, Text | Thinking) and block.extra is None:
            self._grow(choice, block, events)
            return
        if isinstance(block, ToolCall):
            self._call(choice, block, events)
            return
        self._open(choice, None, block, events)
        events.append(BlockStop(choice.place, choice.index))

    def _grow(self, choice: _Choice, block: Text | Thinking, events: list[StreamEvent]) -> None:
        """Text goes on in the open block of its kind; a signature completes it."""
        kind = type(block)
        if choice.open is not kind:
            if not block.text and block.signature is None:
                return
            self._open(choice, kind, kind(""), events)
        if block.text:
            events.append(Delta(choice.place, block.text, choice.index))
        if block.signature is not None:
            events.append(Signature(choice.place, block.signature, choice.index))
            self._close_block(choice, events)

    def _call(self, choice: _Choice, block: ToolCall, events: list[StreamEvent]) -> None:
        """A whole call: its head, its arguments, its end."""
        choice.calls = True
        self._open(choice, None, msgspec.structs.replace(block, arguments=""), events)
        if block.arguments:
            events.append(Delta(choice.place, block.arguments, choice.index))
        events.append(BlockStop(choice.place, choice.index))

    def _partial(
        self, choice: _Choice, call: JsonObject, rest: JsonObject, path: str, reader: PartReader, events: list[StreamEvent]
    ) -> None:
        """A call whose arguments come in pieces; it is passed on when it is whole."""
        del rest["functionCall"]
        if choice.partial is None:
            choice.partial = PartialCall(call.get("name"), call.get("id"), take_signature(rest))
        choice.partial.add(call, path)
        if not call.get("willContinue"):
            self._close_partial(choice, reader, events)

    def _close_partial(self, choice: _Choice, reader: PartReader, events: list[StreamEvent]) -> None:
        partial, choice.partial = choice.partial, None
        if partial is not None:
            block = reader.part(partial.whole(), "functionCall")
            if not isinstance(block, ToolCall):
                raise WireError("a function call in pieces has no name", param="functionCall.name")
            self._call(choice, block, events)

    def _open(self, choice: _Choice, kind: type[Block] | None, head: Block, events: list[StreamEvent]) -> None:
        self._close_block(choice, events)
        choice.place += 1
        choice.open = kind
        events.append(BlockStart(choice.place, head, choice.index))

    def _close_block(self, choice: _Choice, events: list[StreamEvent]) -> None:
        if choice.open is not None:
            choice.open = None
            events.append(BlockStop(choice.place, choice.index))
