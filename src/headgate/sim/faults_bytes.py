"""Scripted faults of bytes: what an upstream, or what stands before it, does to an answer that was right.

Texts of bytes (`data`, `old`, `new`) are written with one character for each byte (latin-1), so that any bytes can stand in a script.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from headgate.wire.json import Json

Framed: TypeAlias = Literal[
    "close", "both", "two_lengths", "short_length", "bad_length", "bad_size", "overrun", "extensions", "bare_lf", "folded", "split_header"
]


def _check(*texts: str) -> None:
    """Raises `ValueError` for a text that has characters which are no bytes."""
    for text in texts:
        if any(char > "\xff" for char in text):
            raise ValueError(f"{text[:40]!r} must be written in latin-1, one character for each byte")


class Drip(msgspec.Struct, frozen=True, tag="drip", tag_field="kind", forbid_unknown_fields=True):
    """Write the answer in pieces of `bytes` bytes, `seconds` (real ones) apart."""

    bytes: int = 1
    seconds: float = 0.0


class Stall(msgspec.Struct, frozen=True, tag="stall", tag_field="kind", forbid_unknown_fields=True):
    """Fall silent for `seconds` (real ones) after the head and `events` events; None: when all but the end of the stream is written.

    An answer that is no stream counts as one event.
    """

    seconds: float
    events: int | None = None


class Headers(msgspec.Struct, frozen=True, tag="headers", tag_field="kind", forbid_unknown_fields=True):
    """Leave header lines out (`drop`, by name) and write further ones (`add`), as they are and more than once if so asked."""

    add: tuple[tuple[str, str], ...] = ()
    drop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the texts."""
        _check(*(text for line in self.add for text in line))


class Informational(msgspec.Struct, frozen=True, tag="informational", tag_field="kind", forbid_unknown_fields=True):
    """Write `times` answers of a 1xx `status` before the answer."""

    status: int = 103
    times: int = 1


class Encoded(msgspec.Struct, frozen=True, tag="encoded", tag_field="kind", forbid_unknown_fields=True):
    """Compress the body and label it so. `times` compresses again and again, `blanks` adds so many blanks first.

    A `label` that is not what was done is a lie; an empty one is no header at all.
    """

    codec: Literal["gzip", "deflate", "identity"] = "gzip"
    label: str | None = None
    times: int = 1
    blanks: int = 0


class Framing(msgspec.Struct, frozen=True, tag="framing", tag_field="kind", forbid_unknown_fields=True):
    """Frame the message otherwise.

    ``close`` has neither length nor chunks and ends with the connection; ``both`` has both, ``two_lengths`` two lengths that differ,
    ``short_length`` one that is too small, ``bad_length`` one that is no number; ``bad_size`` is a chunk whose size is no number,
    ``overrun`` one that is longer than its size, ``extensions`` has chunk extensions and trailers, as is allowed; ``bare_lf`` ends header
    lines with LF alone, ``folded`` continues a header on the next line, ``split_header`` has a header value with CR and LF in it.
    """

    how: Framed


class Raw(msgspec.Struct, frozen=True, tag="raw", tag_field="kind", forbid_unknown_fields=True):
    """Write these bytes in place of an HTTP answer and close; nothing is executed."""

    data: str

    def __post_init__(self) -> None:
        """Check the text."""
        _check(self.data)


class Patch(msgspec.Struct, frozen=True, tag="patch", tag_field="kind", forbid_unknown_fields=True):
    """Change what stands at `path` in the JSON of the answer and of every event: set `value`, or `remove` it.

    A path is names and indexes joined by dots, ``*`` for every item. What is not there is left alone unless `add` is true.
    """

    path: str
    value: Json = None
    remove: bool = False
    add: bool = False


class Edit(msgspec.Struct, frozen=True, tag="edit", tag_field="kind", forbid_unknown_fields=True):
    """Replace bytes, `count` times in the body and in each event (0: wherever they stand)."""

    old: str
    new: str
    count: int = 0

    def __post_init__(self) -> None:
        """Check the texts."""
        _check(self.old, self.new)


class Events(msgspec.Struct, frozen=True, tag="events", tag_field="kind", forbid_unknown_fields=True):
    """Drop, repeat or swap with the next the `count` events of a stream from `at` on (negative: from its end); the stream ends in order."""

    act: Literal["drop", "repeat", "swap"]
    at: int
    count: int = 1


class Insert(msgspec.Struct, frozen=True, tag="insert", tag_field="kind", forbid_unknown_fields=True):
    """Put bytes of our own, `times` over, before event `at` of a stream (negative: from its end)."""

    data: str
    at: int = 0
    times: int = 1

    def __post_init__(self) -> None:
        """Check the text."""
        _check(self.data)


class Early(msgspec.Struct, frozen=True, tag="early", tag_field="kind", forbid_unknown_fields=True):
    """Refuse as soon as the request's head is read, and close without reading its body; the model is not known by then."""

    error: Literal["auth", "permission", "rate_limit", "overloaded", "too_large"] = "too_large"
    status: int | None = None


ByteAction: TypeAlias = Drip | Stall | Headers | Informational | Encoded | Framing | Patch | Edit | Events | Insert
"""What is done to an answer, a refusal too."""
