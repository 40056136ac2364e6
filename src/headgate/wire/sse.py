"""Server-sent events: an incremental decoder and an encoder (WHATWG HTML, "Server-sent events", section 9.2.6).

The decoder differs from the standard in three stated ways, because it feeds a program and not a page:

* `data` stays bytes. It is nearly always JSON, which is decoded from bytes; invalid UTF-8 is left for that decoder to judge.
* `close()` returns an event whose blank line never came, where the standard drops it. Some providers end a stream without one;
  whether the answer is complete is decided by the dialect's terminator, never by this frame.
* ``retry:`` is read and ignored: nothing here reconnects.
"""

from __future__ import annotations

import re

import msgspec

from headgate.errors import TooLarge, WireError

MAX_EVENT = 1 << 20
"""Default cap for the data of one event, and for one line, in bytes."""

_BOM = b"\xef\xbb\xbf"
_MAX_UNKNOWN = 16 << 10
_FIELD_ROOM = 8  # a line may be this much longer than its data: the field name, colon and space
_LINE_END = re.compile(rb"\r\n|\r|\n")


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One dispatched event. `event` is "message" unless named; `id` is the last id seen on the stream, "" if none."""

    data: bytes
    event: str = "message"
    id: str = ""


class SseDecoder:
    """Bytes in, events out; any split of the same bytes gives the same events."""

    __slots__ = ("_between", "_data", "_event", "_head", "_id", "_max_event", "_name", "_pending", "_size", "_skip_lf", "_unknown")

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max_event = max_event
        self._head: bytes | None = b""
        self._pending = bytearray()
        self._skip_lf = False
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._id = ""
        self._unknown = bytearray()
        self._between = False
        self._name = (b"message", "message")

    @property
    def unknown(self) -> bytes:
        """Lines that are no SSE field, joined by LF, at most 16 kB: a provider's plain JSON error sent as an event stream."""
        return bytes(self._unknown)

    @property
    def between(self) -> bool:
        """The bytes so far end between two events."""
        return self._between

    def feed(self, data: bytes) -> list[SseEvent]:
        """Events completed by `data`. Raises `TooLarge` when one event or line passes `max_event` bytes."""
        if not self._between or not data or data[-1] != 10 or len(data) > self._max_event:
            return self._pieces(data)
        lines = data.splitlines()
        first, count = lines[0], len(lines)
        if count == 2 and not lines[1] and first[:6] == b"data: ":
            return [SseEvent(first[6:], "message", self._id)]
        if count == 3 and not lines[2] and first[:7] == b"event: " and lines[1][:6] == b"data: ":
            return [SseEvent(lines[1][6:], self._named(first[7:]) or "message", self._id)]
        events = self._lines(lines)
        self._between = not (self._data or self._event)
        return events

    def _named(self, name: bytes) -> str:
        """The text of an event's name, which mostly is that of the event before."""
        if name != self._name[0]:
            self._name = (name, name.decode("utf-8", "replace"))
        return self._name[1]

    def _pieces(self, data: bytes) -> list[SseEvent]:
        """Events of a read that begins or ends anywhere."""
        self._between = False
        if self._head is not None:
            data = self._start(data)
        if self._skip_lf and data:
            self._skip_lf = False
            if data[0] == 10:
                data = data[1:]
        cut = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if cut == 0:
            self._hold(data)
            return []
        lines = data[:cut]
        if self._pending:
            lines = bytes(self._pending) + lines
            self._pending.clear()
        self._skip_lf = data[-1] == 13
        events = self._lines(lines.splitlines())
        if cut < len(data):
            self._hold(data[cut:])
        else:
            self._between = not (self._skip_lf or self._data or self._event)
        return events

    def close(self) -> list[SseEvent]:
        """The end of the stream: the last event if its blank line is missing, else nothing."""
        rest = bytes(self._pending) + (self._head or b"")
        self._pending.clear()
        self._head = None
        return self._lines([rest, b""] if rest else [b""])

    def _start(self, data: bytes) -> bytes:
        """Strip a byte order mark, which may come in pieces."""
        head = (self._head or b"") + data
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _hold(self, data: bytes) -> None:
        self._pending += data
        self._check(len(self._pending) - _FIELD_ROOM)

    def _check(self, length: int) -> None:
        if length > self._max_event:
            raise TooLarge(f"an SSE event is longer than {self._max_event} bytes")

    def _lines(self, lines: list[bytes]) -> list[SseEvent]:
        events: list[SseEvent] = []
        for line in lines:
            if line.startswith(b"data: "):
                self._append(line[6:])
            elif line:
                self._field(line)
            elif self._data:
                events.append(self._dispatch())
            else:
                self._event = ""
        return events

    def _append(self, value: bytes) -> None:
        self._size += len(value) + 1
        self._check(self._size - 1)
        self._data.append(value)

    def _dispatch(self) -> SseEvent:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        event = SseEvent(data, self._event or "message", self._id)
        self._data = []
        self._size = 0
        self._event = ""
        return event

    def _field(self, line: bytes) -> None:
        self._check(len(line) - _FIELD_ROOM)
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._append(value)
        elif name == b"event":
            self._event = self._named(value)
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name not in (b"", b"retry") and len(self._unknown) + len(line) < _MAX_UNKNOWN:
            self._unknown += line if not self._unknown else b"\n" + line


def sse_event(data: bytes | str, event: str | None = None) -> bytes:
    """Render one event. Line ends inside `data` become several ``data:`` lines; a line end in `event` raises `WireError`."""
    raw = data.encode() if isinstance(data, str) else data
    if b"\n" in raw or b"\r" in raw:
        raw = b"\ndata: ".join(_LINE_END.split(raw))
    if event is None:
        return b"data: %b\n\n" % raw
    if "\n" in event or "\r" in event:
        raise WireError(f"an SSE event name may not contain a line end: {event!r}", fault="local")
    return b"event: %b\ndata: %b\n\n" % (event.encode(), raw)
