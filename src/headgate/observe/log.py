"""Log lines as JSON, through an allow-list: what is not named here is not written (faults J1, J4)."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from headgate.observe.facts import RequestFacts

OURS = "headgate"
ACCESS = logging.getLogger("headgate.access")
LONGEST = 2000
FIELDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("request_id", "route", "provider", "model", "operation", "finish", "error", "key_id", "cache", "worker"), (str,)),
    **dict.fromkeys(("status", "attempts", "input_tokens", "output_tokens", "cost_nanos"), (int,)),
    **dict.fromkeys(("seconds", "first_byte"), (int, float)),
    "stream": (bool,),
}
"""The fields a line may have besides time, level, logger, message and failure, with their types."""


class JsonLines(logging.Formatter):
    """One JSON object a line.

    Messages of our own loggers are formatted and pass `redact`; of other loggers only the template is written, because nobody knows what
    their arguments hold. An exception is its type and the places it went through, never its text.
    """

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """The line, in ASCII: control characters of every kind are escaped."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._message(record),
        }
        line |= {name: self._field(value) for name, kinds in FIELDS.items() if type(value := getattr(record, name, None)) in kinds}
        if record.exc_info is not None and record.exc_info[0] is not None:
            line["failure"] = failure_of(record.exc_info[0], record.exc_info[2])
        return json.dumps(line, ensure_ascii=True, separators=(",", ":")).replace("\x7f", "\\u007f")

    def _message(self, record: logging.LogRecord) -> str:
        if record.name.partition(".")[0] != OURS:
            return str(record.msg)[:LONGEST] if record.args else f"({record.module}.{record.funcName})"
        return self._redact(record.getMessage())[:LONGEST]

    def _field(self, value: object) -> object:
        return self._redact(value)[:LONGEST] if isinstance(value, str) else value


def failure_of(kind: type[BaseException], trace: TracebackType | None) -> str:
    """``KeyError at server.py:30 serve < main.py:3 main``: where it happened, innermost first."""
    frames = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(traceback.extract_tb(trace))]
    return f"{kind.__name__} at {' < '.join(frames[:12])}"


@contextmanager
def json_lines(stream: TextIO, redact: Callable[[str], str], *, level: int = logging.INFO, access: bool = False) -> Iterator[None]:
    """While the block runs, send what is logged to `stream` as JSON lines; a line for each request only when `access`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(redact))
    root, ours = logging.getLogger(), logging.getLogger(OURS)
    before = root.level, ours.level, ACCESS.disabled
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    ours.setLevel(level)
    ACCESS.disabled = not access
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        ours.setLevel(before[1])
        ACCESS.disabled = before[2]


def log_access(facts: RequestFacts) -> None:
    """One line for a finished request."""
    ACCESS.info(
        "request",
        extra={
            "request_id": facts.id,
            "route": facts.route,
            "provider": facts.provider,
            "model": facts.model,
            "operation": facts.operation,
            "stream": facts.stream,
            "status": facts.status,
            "seconds": round(facts.duration, 6),
            "first_byte": None if facts.first_byte is None else round(facts.first_byte, 6),
            "input_tokens": facts.input_tokens,
            "output_tokens": facts.output_tokens,
            "cost_nanos": facts.cost_nanos,
            "finish": facts.finish,
            "error": facts.error,
            "key_id": facts.key_id,
            "cache": facts.cache,
            "attempts": len(facts.attempts),
        },
    )
