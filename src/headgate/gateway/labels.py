"""What a client may say of a request for its own books: session, run and agent. Advisory: nothing is decided by it (faults H18)."""

from __future__ import annotations

import re

import msgspec

from headgate.serving.request import Request

LONGEST = 128
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}", re.ASCII)
SESSION, RUN, AGENT = "x-headgate-session", "x-headgate-run", "x-headgate-agent"


class Labels(msgspec.Struct, frozen=True):
    """Names the client gave; None for those it did not, and for what is no name."""

    session: str | None = None
    run: str | None = None
    agent: str | None = None


UNLABELLED = Labels()


def labels_of(request: Request, session: str | None) -> Labels:
    """The labels of a request: its headers, and the `session` of its body."""
    found = _word(request.header(SESSION)) or _word(session)
    run, agent = _word(request.header(RUN)), _word(request.header(AGENT))
    return Labels(found, run, agent) if found or run or agent else UNLABELLED


def _word(text: str | None) -> str | None:
    return text if text is not None and _WORD.fullmatch(text) else None
