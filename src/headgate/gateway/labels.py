"""What a client says of a request for its own books: session, run and agent. Advisory: nothing is decided by it (faults H18)."""

from __future__ import annotations

import re

import msgspec

from headgate.ledger.labels import AGENT_HEADER, RUN_HEADER, read_label
from headgate.serving.request import Request

SESSION_HEADER = "x-headgate-session"
TRACE_HEADER = "traceparent"
CLAUDE_SESSION = "x-claude-code-session-id"
"""Claude Code's own name for a session (its gateway guide)."""
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}", re.ASCII)


class Labels(msgspec.Struct, frozen=True):
    """Names the client gave; None for those it did not."""

    session: str | None = None
    run: str | None = None
    agent: str | None = None
    trace: str | None = None
    """The header ``traceparent``, unread."""


UNLABELLED = Labels()


def labels_of(request: Request, session: str | None) -> Labels:
    """The labels of a request: its headers, and the `session` of its body, where that is a name. Raises `UsageError` for a run or an agent
    that is no label."""
    found = _word(request.header(SESSION_HEADER)) or _word(request.header(CLAUDE_SESSION)) or _word(session)
    run, agent = _label(request, RUN_HEADER), _label(request, AGENT_HEADER)
    trace = request.header(TRACE_HEADER)
    return Labels(found, run, agent, trace) if found or run or agent or trace else UNLABELLED


def session_label(header: str | None, session: str | None) -> Labels:
    """The labels of a request with none of our headers: Claude Code's `header`, or the `session` of its body."""
    found = _word(header) or _word(session)
    return UNLABELLED if found is None else Labels(found)


def _word(text: str | None) -> str | None:
    return text if text is not None and _WORD.fullmatch(text) else None


def _label(request: Request, header: str) -> str | None:
    text = request.header(header)
    return None if text is None else read_label(text, header)
