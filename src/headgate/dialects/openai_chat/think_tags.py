"""``<think>`` tags of local models, taken out of the text as it streams (case 77). Opt-in: nothing in this dialect uses it by itself.

Only thoughts at the very start of an answer count, so that a later ``<think>`` in code or prose stays text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

from headgate.dialects.openai_chat.stream_choice import TEXT, THINKING
from headgate.domain.content import Text, Thinking
from headgate.domain.events import BlockStart, BlockStop, Delta, StreamEvent

OPEN = "<think>"
CLOSE = "</think>"

Piece: TypeAlias = tuple[Literal["thinking", "text"], str]


class ThinkTags:
    """Splits one answer's text into thinking and text, piece by piece; any split of the text gives the same strings.

    `opened` says that the prompt's template has written the opening tag already, so that the answer begins inside the thoughts.
    """

    __slots__ = ("_held", "_state")

    def __init__(self, opened: bool = False) -> None:
        self._state: Literal["start", "thinking", "after", "text"] = "thinking" if opened else "start"
        self._held = ""

    def feed(self, text: str) -> list[Piece]:
        """The pieces that are certain after `text`."""
        self._held += text
        pieces: list[Piece] = []
        if self._state == "start":
            self._begin()
        if self._state == "thinking":
            self._think(pieces)
        if self._state == "after":
            self._held = self._held.lstrip()
            self._state = "text" if self._held else "after"
        if self._state == "text" and self._held:
            pieces.append(("text", self._held))
            self._held = ""
        return pieces

    def close(self) -> list[Piece]:
        """What was held back: thoughts that were never closed stay thoughts."""
        held, self._held = self._held, ""
        if not held or self._state == "after":
            return []
        return [("thinking" if self._state == "thinking" else "text", held)]

    def _begin(self) -> None:
        """Decide whether the answer begins with the tag; wait while it still may."""
        start = self._held.lstrip()
        if start.startswith(OPEN):
            self._held = start[len(OPEN) :]
            self._state = "thinking"
        elif not OPEN.startswith(start):
            self._state = "text"

    def _think(self, pieces: list[Piece]) -> None:
        thought, tag, rest = self._held.partition(CLOSE)
        if tag:
            self._state, self._held = "after", rest
        else:
            kept = _tail(thought)
            thought, self._held = thought[: len(thought) - kept], thought[len(thought) - kept :]
        if thought:
            pieces.append(("thinking", thought))


def _tail(text: str) -> int:
    """Length of the longest end of `text` that may be the beginning of the closing tag."""
    return next((n for n in range(min(len(text), len(CLOSE) - 1), 0, -1) if CLOSE.startswith(text[-n:])), 0)


def split_events(events: Iterable[StreamEvent], opened: bool = False) -> Iterator[StreamEvent]:
    """The events of one answer with thoughts moved from the text block to a thinking block, choice by choice."""
    tags: dict[int, ThinkTags] = {}
    open_blocks: set[tuple[int, int]] = set()
    for event in events:
        if isinstance(event, BlockStart) and event.block == TEXT:
            tags.setdefault(event.choice, ThinkTags(opened))
        elif isinstance(event, Delta) and event.block == TEXT and event.choice in tags:
            yield from _placed(tags[event.choice].feed(event.text), event.choice, open_blocks)
        elif isinstance(event, BlockStop) and event.block == TEXT and event.choice in tags:
            yield from _placed(tags.pop(event.choice).close(), event.choice, open_blocks)
            yield from (BlockStop(block, choice) for choice, block in sorted(open_blocks) if choice == event.choice)
        else:
            yield event
    for choice, tag in tags.items():
        yield from _placed(tag.close(), choice, open_blocks)


def _placed(pieces: list[Piece], choice: int, open_blocks: set[tuple[int, int]]) -> Iterator[StreamEvent]:
    for kind, text in pieces:
        block = THINKING if kind == "thinking" else TEXT
        if (choice, block) not in open_blocks:
            open_blocks.add((choice, block))
            yield BlockStart(block, Thinking() if kind == "thinking" else Text(""), choice)
        yield Delta(block, text, choice)
