"""What a rendering could not say as asked: collected while rendering, reported with the result."""

from __future__ import annotations

from headgate.dialects.anthropic_messages.words import NAME
from headgate.dialects.base import Note
from headgate.domain.capabilities import Capabilities
from headgate.domain.content import Cache
from headgate.wire.json import JsonObject


class Losses:
    """Notes so far, where the rendering stands (`message`, `block`), and every object that carries a cache breakpoint, in order.

    `own` is true when the request came from this wire: then `extra` and spelling marks are honoured and nothing is rearranged.
    """

    __slots__ = ("block", "breakpoints", "capabilities", "message", "notes", "origin", "own")

    def __init__(self, capabilities: Capabilities, origin: str) -> None:
        self.capabilities = capabilities
        self.origin = origin
        self.own = origin == NAME
        self.notes: list[Note] = []
        self.breakpoints: list[JsonObject] = []
        self.message = 0
        self.block = 0

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

    def foreign(self, extra: JsonObject, prefix: str = "") -> None:
        """Report keys of another wire, each by its path."""
        for key in extra:
            self.dropped(f"{prefix}{key}", "not part of this wire")

    def mark(self, target: JsonObject, cache: Cache) -> None:
        """Put a cache breakpoint on a wire object."""
        target["cache_control"] = {"type": "ephemeral"} if cache.ttl is None else {"type": "ephemeral", "ttl": cache.ttl}
        self.breakpoints.append(target)

    def limit_breakpoints(self) -> None:
        """Take back the earliest breakpoints when there are more than the model allows; the last ones cover the longest prefixes."""
        surplus = len(self.breakpoints) - self.capabilities.cache_breakpoints
        if self.own or surplus <= 0:
            return
        for target in self.breakpoints[:surplus]:
            del target["cache_control"]
        self.dropped("cache_control", f"{surplus} cache breakpoints above the model's {self.capabilities.cache_breakpoints}")
