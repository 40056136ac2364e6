"""What clients of a surface know and this gateway does not have: refused as such (501), in the envelope of the surface."""

from __future__ import annotations

from headgate.serving.envelopes import Refused, Surface
from headgate.serving.request import Request
from headgate.serving.response import Answer
from headgate.serving.routes import Route

FILES = "files are not kept here", "headgate run takes the inputs of a batch from a folder"
BATCHES = "batches are not taken here", "headgate run drives the batches of every provider"
STORED = "answers are not kept here", "send the whole conversation, or ask the provider that gave the answer"

NOT_AGAIN = (("x-should-retry", "false"),)
"""The official clients repeat whatever fails with 5xx, unless they are told not to."""

_METHODS = ("GET", "POST", "DELETE")
_ANY_LENGTH = 1 << 62
"""Bytes: a body is not read, and its length is not what is wrong with it."""


class Unserved:
    """An endpoint that is none: `what` there is not, and what to do `instead`."""

    def __init__(self, what: str, instead: str) -> None:
        self._what = what
        self._instead = instead

    async def __call__(self, request: Request) -> Answer:
        """Raises `Refused` (501) for every request."""
        raise Refused(501, self._what, code="not_served", headers=NOT_AGAIN, hint=self._instead)


def unserved(path: str, surface: Surface, reason: tuple[str, str]) -> tuple[Route, ...]:
    """Routes that refuse every method a client could use on `path`."""
    endpoint = Unserved(*reason)
    return tuple(
        Route(method=method, path=path, endpoint=endpoint, scope="completions:read", surface=surface, body_limit=_ANY_LENGTH)
        for method in _METHODS
    )
