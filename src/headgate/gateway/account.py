"""Keeping the account of a visit: however it ends, its outcome is noted, and a final one settles the errand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from headgate.errors import HeadgateError
from headgate.gateway.errand import Visit
from headgate.serving.metering import Tab
from headgate.serving.response import Response


class Refusal(HeadgateError):
    """A provider's refusal that came as a whole reply on the client's own wire: `error`, and the `answer` to give if nobody mends it."""

    def __init__(self, error: HeadgateError, answer: Response) -> None:
        super().__init__(error.message, hint=error.hint)
        self.error = error
        self.answer = answer


@contextmanager
def accounted(visit: Visit, tab: Tab) -> Iterator[None]:
    """The visit is over when the block is left. An error of the tree may still be mended elsewhere; all else settles the errand."""
    try:
        yield
    except HeadgateError as error:
        tab.note(error.error if isinstance(error, Refusal) else error)
        visit.size, visit.notes = tab.call.request_bytes, tab.call.notes
        visit.over(tab.outcome(), _now())
        raise
    except BaseException as error:
        tab.note(error)
        close(visit, tab)
        raise
    else:
        close(visit, tab)


def close(visit: Visit, tab: Tab) -> None:
    """The visit was the last one of its errand."""
    now = _now()
    visit.size, visit.notes = tab.call.request_bytes, tab.call.notes
    visit.over(tab.outcome(), now)
    tab.receipt = visit.errand.settle(visit, now)


def _now() -> float:
    return asyncio.get_running_loop().time()
