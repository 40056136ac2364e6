"""Noting down routing decisions where the settings name a file for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from headgate.errors import StoreError
from headgate.router.decision_log import DecisionLog
from headgate.router.features import Decided

_LOG = logging.getLogger("headgate.server")


@contextmanager
def decision_log(path: Path | None) -> Iterator[Callable[[Decided], None] | None]:
    """What takes decisions while the block runs; None without a file. Raises `StoreError` when the file cannot be opened.

    Later a file that cannot be written is reported once, until it can be again: no request fails for it.
    """
    if path is None:
        yield None
        return
    log, failing = DecisionLog(path), False

    def note(decided: Decided) -> None:
        nonlocal failing
        try:
            log.write(decided)
            failing = False
        except StoreError as error:
            if not failing:
                _LOG.error("%s", error.message)
            failing = True

    try:
        yield note
    finally:
        log.close()
