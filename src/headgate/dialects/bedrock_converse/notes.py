"""What a rendering could not say as asked: collected while rendering, reported with the result."""

from __future__ import annotations

from headgate.dialects.base import Note
from headgate.dialects.bedrock_converse.words import NAME, cache_point, maker_of
from headgate.domain.capabilities import Capabilities
from headgate.domain.content import Block, Cache, ToolResult
from headgate.domain.request import Request, Tool
from headgate.wire.json import JsonObject

_TTLS = ("5m", "1h")


class Losses:
    """Notes so far, where the rendering stands (`message`, `block`), and what must be unique or counted over a whole request.

    `own` is true when the request came from this wire: then `extra` and spelling marks are honoured and nothing is rearranged.
    """

    __slots__ = ("block", "capabilities", "documents", "maker", "message", "notes", "origin", "own", "surplus")

    def __init__(self, request: Request, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self.origin = request.dialect
        self.own = self.origin == NAME
        self.maker = maker_of(request.model)
        self.notes: list[Note] = []
        self.documents: set[str] = set()
        self.message = 0
        self.block = 0
        self.surplus = 0 if self.own else max(0, _breakpoints(request) - capabilities.cache_breakpoints)
        if self.surplus:
            self.dropped("cache_control", f"{self.surplus} cache breakpoints above the model's {capabilities.cache_breakpoints}")

    @property
    def here(self) -> str:
        """The path of the block being rendered."""
        return f"messages[{self.message}].content[{self.block}]"

    def dropped(self, field: str, reason: str) -> None:
        """Report a field that was left out."""
        self.notes.append(Note(field, "dropped", reason))

    def approximated(self, field: str, reason: str) -> None:
        """Report a field that was said differently."""
        self.notes.append(Note(field, "approximated", reason))

    def foreign(self, extra: JsonObject | None, prefix: str = "") -> None:
        """Report keys of another wire, each by its path."""
        for key in extra or ():
            self.dropped(f"{prefix}{key}", "not part of this wire")

    def points(self, cache: Cache | None) -> list[JsonObject]:
        """The element that marks a breakpoint, if there is one and the model still takes it: the last ones cover the longest prefixes."""
        if cache is None:
            return []
        if self.surplus:
            self.surplus -= 1
            return []
        if cache.ttl is not None and cache.ttl not in _TTLS:
            self.approximated("cache_control.ttl", f"{cache.ttl!r} is no lifetime of this wire: its default was sent")
            cache = Cache()
        return [cache_point(cache)]


def _breakpoints(request: Request) -> int:
    found = sum([isinstance(tool, Tool) and tool.cache is not None for tool in request.tools])
    for message in request.messages:
        for block in message.content:
            found += _cached(block)
            if type(block) is ToolResult:
                found += sum([_cached(item) for item in block.content])
    return found


def _cached(block: Block) -> bool:
    return getattr(block, "cache", None) is not None
