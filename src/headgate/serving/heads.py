"""Request heads seen before: clients repeat theirs byte for byte, but for the length of the body, and need not be parsed again.

Only what the parser has accepted is remembered, so a head that is found here means what it meant to the parser.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from headgate.serving.turn import FastEndpoint

_MOST: Final = 1024
_LONGEST: Final = 4096
_NAME: Final = b"\r\ncontent-l"
_MARK: Final = b"ength: "
"""Clients differ in the case of what stands before it."""
_DIGITS: Final = 7
END: Final = b"\r\n\r\n"


class Known(NamedTuple):
    """What a head says. `fields` are its headers but for the length, and nobody may change them; `keep`: the connection stays open."""

    endpoint: FastEndpoint
    target: bytes
    fields: dict[str, bytes]
    keep: bool
    chunked: bool


class Heads:
    """Heads by what stands before and after the length of the body."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], Known] = {}

    def find(self, data: bytes) -> tuple[Known, bytes] | None:
        """The head of a known kind that `data` begins with, and the body that is all the rest of it; None for anything else."""
        end = data.find(END)
        before, mark, rest = data[: end + 2].partition(_MARK)
        digits, _, after = rest.partition(b"\r\n")
        known = self._known.get((before, after)) if mark else None
        if known is None or not digits.isdigit() or len(digits) > _DIGITS or len(data) - end - len(END) != int(digits):
            return None
        return known, data[end + len(END) :]

    def learn(self, data: bytes, known: Known) -> None:
        """`data` is one whole request, which the parser took for what `known` says."""
        head, _, body = data.partition(END)
        before, mark, rest = (head + b"\r\n").partition(_MARK)
        digits, _, after = rest.partition(b"\r\n")
        length = known.fields.get("content-length")
        if not mark or before[-len(_NAME) :].lower() != _NAME or digits != length or len(body) != int(length) or len(head) > _LONGEST:
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[before, after] = known
