"""Spans leave off the hot path: a bounded queue, and a thread that empties it. What finds no room is counted, never waited for."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from headgate.observe.facts import RequestFacts
from headgate.observe.spans import Span, spans_of

_LOG = logging.getLogger("headgate.spans")
CAPACITY = 4096
BATCH = 256
PAUSE = 1.0


class SpanSink(Protocol):
    """Where spans go."""

    def export(self, spans: Sequence[Span]) -> bool:
        """Send them; False when they did not arrive. Blocking."""
        ...

    def close(self) -> None:
        """No more of them."""
        ...


class SpanQueue:
    """Requests on their way to becoming spans. `count` is told outcomes and numbers, always on the thread of the caller."""

    def __init__(self, sink: SpanSink, count: Callable[[str, int], None], *, capacity: int = CAPACITY) -> None:
        self._sink = sink
        self._count = count
        self._capacity = capacity
        self._waiting: deque[RequestFacts] = deque()
        self._outcomes: deque[tuple[str, int]] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="headgate-spans", daemon=True)
        self._thread.start()

    def offer(self, facts: RequestFacts) -> None:
        """Have a finished request told. Never blocks."""
        if len(self._waiting) >= self._capacity or self._closing:
            self._count("dropped", 1)
        else:
            self._waiting.append(facts)
        if self._outcomes:
            self.report()

    def report(self) -> None:
        """Count what the thread has done since the last time."""
        while self._outcomes:
            self._count(*self._outcomes.popleft())

    def close(self, timeout: float = 5.0) -> None:
        """Send what is waiting, for at most `timeout` seconds, and stop."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout)
        self.report()
        if self._waiting:
            self._count("dropped", len(self._waiting))

    def _work(self) -> None:
        while not self._closing:
            self._wake.wait(PAUSE)
            self._send_all()
        self._send_all()
        self._sink.close()

    def _send_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            spans = [span for facts in batch for span in spans_of(facts)]
            arrived = self._sink.export(spans) if spans else True
            self._outcomes.append(("exported" if arrived else "failed", len(batch)))
            if not arrived:
                _LOG.warning("%d requests could not be exported as spans", len(batch))
                if self._closing:
                    return
