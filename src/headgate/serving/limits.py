"""What a server lets its clients do to it."""

from __future__ import annotations

import msgspec

BODY_LIMIT = 32 << 20
"""Bytes of a request, where nothing else is set."""


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Deadlines in seconds, sizes in bytes (faults D1–D4, D12, D15)."""

    header_timeout: float = 10.0
    """From the first byte (or the connection) to the end of a request's headers."""
    max_header_bytes: int = 64 << 10
    body_grace: float = 10.0
    """How long a body may take before its rate counts."""
    body_rate: float = 1024.0
    """Bytes a second a body must reach, on average after the grace."""
    body_timeout: float = 600.0
    """The longest any body may take."""
    write_timeout: float = 120.0
    """How long a client may leave a piece of a stream unread."""
    silence: float = 15.0
    """After this much silence a translated stream says that it is alive."""
    linger: float = 2.0
    """How long the rest of a body is thrown away after an early answer, so that the client gets to read that answer."""
    keep_alive: int = 75
    """Idle time between two requests of a connection."""
    drain: float = 10
    """What requests under way get when the server stops."""
    backlog: int = 1024
