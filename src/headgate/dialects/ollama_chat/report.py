"""What a rendering may keep, and the report of what it could not."""

from __future__ import annotations

from headgate.dialects.base import Note
from headgate.dialects.ollama_chat.words import NAME
from headgate.domain.capabilities import Capabilities
from headgate.domain.content import Media, Text, Thinking, ToolCall, ToolResult
from headgate.wire.json import JsonObject


class Report:
    """Collects notes. `own` is True when the request came from this wire, so that extra keys and spellings are its own."""

    __slots__ = ("capabilities", "notes", "origin", "own")

    def __init__(self, origin: str, capabilities: Capabilities) -> None:
        self.origin = origin
        self.own = origin == NAME
        self.capabilities = capabilities
        self.notes: list[Note] = []

    def drop(self, field: str, reason: str) -> None:
        """Report a field that was left out."""
        self.notes.append(Note(field, "dropped", reason))

    def change(self, field: str, reason: str) -> None:
        """Report a field that was sent in another form."""
        self.notes.append(Note(field, "approximated", reason))

    def drop_extra(self, extra: JsonObject | None, where: str) -> None:
        """Report every further key of another wire."""
        for key in extra or ():
            self.drop(f"{where}{key}", f"a key of {self.origin or 'no dialect'}, which Ollama does not have")

    def drop_rest(self, block: Text | Media | Thinking | ToolCall | ToolResult, where: str) -> None:
        """Report what a block of another wire carries beyond its content."""
        if getattr(block, "cache", None) is not None:
            self.drop(f"{where}.cache_control", "Ollama caches prompts without breakpoints")
        if getattr(block, "signature", None) is not None:
            self.drop(f"{where}.signature", "Ollama has no signatures")
        if block.extra:
            self.drop_extra(block.extra, f"{where}.")
