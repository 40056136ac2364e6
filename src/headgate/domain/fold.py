"""The one place where stream events become a response.

Law: folding the events of a streamed answer equals the same answer unstreamed, usage included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from headgate.domain.content import Block, Refusal, Text, Thinking, ToolCall
from headgate.domain.events import (
    Annotate,
    BlockStart,
    Delta,
    Failed,
    Finished,
    Signature,
    Start,
    StreamEvent,
    UsageSeen,
)
from headgate.domain.response import Choice, Response
from headgate.domain.usage import Usage
from headgate.wire.json import Json, JsonObject

_replace = msgspec.structs.replace


class _Block:
    """An open block: its head, the strings that came, its signature and its annotations."""

    __slots__ = ("extra", "head", "parts", "signature")

    def __init__(self, head: Block) -> None:
        self.head = head
        self.parts: list[str] = []
        self.signature: str | None = None
        self.extra: dict[str, list[Json]] = {}

    def whole(self) -> Block:
        head, grown = self.head, "".join(self.parts)
        if isinstance(head, ToolCall):
            head = _replace(head, arguments=head.arguments + grown) if grown else head
        elif isinstance(head, Text | Thinking | Refusal) and grown:
            head = _replace(head, text=head.text + grown)
        if self.signature is not None and isinstance(head, Text | Thinking | ToolCall):
            head = _replace(head, signature=self.signature)
        if self.extra and isinstance(head, Text | Thinking | ToolCall | Refusal):
            head = _replace(head, extra={**(head.extra or {}), **self.extra})
        return head


class _Choice:
    __slots__ = ("annotations", "blocks", "finished")

    def __init__(self) -> None:
        self.blocks: dict[int, _Block] = {}
        self.finished: Finished | None = None
        self.annotations: dict[str, list[Json]] = {}

    def whole(self, index: int) -> Choice:
        content = tuple(self.blocks[key].whole() for key in sorted(self.blocks))
        end = self.finished
        logprobs = merge_logprobs(self.annotations.get("logprobs", []))
        extra: JsonObject | None = {key: value for key, value in self.annotations.items() if key != "logprobs"} or None
        if end is None:
            return Choice(index, content, logprobs=logprobs, extra=extra)
        if end.extra:
            extra = {**(extra or {}), **end.extra}
        return Choice(index, content, end.finish, end.native, end.stop_sequence, logprobs, extra)


def merge_logprobs(pieces: list[Json]) -> Json:
    """Join the log-probability objects of a stream: lists under the same key are concatenated. What is no object says nothing."""
    objects = [piece for piece in pieces if isinstance(piece, dict)]
    if not objects:
        return None
    merged: JsonObject = {}
    for piece in objects:
        for key, value in piece.items():
            old = merged.get(key)
            if isinstance(old, list) and isinstance(value, list):
                old += value
            elif old is None:
                merged[key] = list(value) if isinstance(value, list) else value
    return merged


class Fold:
    """Accumulates events; `response()` may be asked at any time, for instance after a cut."""

    def __init__(self, dialect: str = "") -> None:
        self.dialect = dialect
        self.start: Start | None = None
        self.usage: Usage | None = None
        self.service_tier: str | None = None
        self.error: Failed | None = None
        self._choices: dict[int, _Choice] = {}

    @property
    def finished(self) -> bool:
        """Every choice seen so far has ended."""
        return bool(self._choices) and all(c.finished is not None for c in self._choices.values())

    def add(self, event: StreamEvent) -> None:
        """Take one event."""
        act = _ACTS.get(type(event))
        if act is not None:
            act(self, event)

    def add_all(self, events: Iterable[StreamEvent]) -> None:
        """Take several."""
        for event in events:
            self.add(event)

    def choice(self, index: int) -> _Choice:
        """The accumulating choice `index`, made when first named."""
        found = self._choices.get(index)
        if found is None:
            found = self._choices[index] = _Choice()
        return found

    def growing(self, block: int, choice: int = 0) -> list[str]:
        """The strings that came for a block that has begun; more may be appended, as a `Delta` would. Raises `KeyError` for any other."""
        return self._choices[choice].blocks[block].parts

    def response(self) -> Response:
        """The answer as far as it is known."""
        start = self.start or Start()
        return Response(
            id=start.id,
            model=start.model,
            created=start.created,
            choices=tuple(self._choices[i].whole(i) for i in sorted(self._choices)),
            usage=self.usage,
            service_tier=self.service_tier,
            dialect=self.dialect,
            extra=start.extra,
        )


def _start(fold: Fold, event: Start) -> None:
    fold.start = fold.start or event


def _block_start(fold: Fold, event: BlockStart) -> None:
    fold.choice(event.choice).blocks.setdefault(event.block, _Block(event.head))


def _delta(fold: Fold, event: Delta) -> None:
    fold.choice(event.choice).blocks[event.block].parts.append(event.text)


def _signature(fold: Fold, event: Signature) -> None:
    fold.choice(event.choice).blocks[event.block].signature = event.signature


def _annotate(fold: Fold, event: Annotate) -> None:
    choice = fold.choice(event.choice)
    home = choice.annotations if event.block < 0 else choice.blocks[event.block].extra
    home.setdefault(event.key, []).append(event.value)


def _finished(fold: Fold, event: Finished) -> None:
    fold.choice(event.choice).finished = event


def _usage(fold: Fold, event: UsageSeen) -> None:
    fold.usage = event.usage
    fold.service_tier = event.service_tier or fold.service_tier


def _failed(fold: Fold, event: Failed) -> None:
    fold.error = event


_ACTS: dict[type, Callable[..., None]] = {
    Start: _start,
    BlockStart: _block_start,
    Delta: _delta,
    Signature: _signature,
    Annotate: _annotate,
    Finished: _finished,
    UsageSeen: _usage,
    Failed: _failed,
}


def fold(events: Iterable[StreamEvent], dialect: str = "") -> Response:
    """Fold a whole stream."""
    state = Fold(dialect)
    state.add_all(events)
    return state.response()
