"""Log lines: one line, one JSON object, and only what is on the list."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.config import redact
from headgate.observe.facts import RequestFacts
from headgate.observe.log import FIELDS, JsonLines, json_lines, log_access

PROMPT = "canary-prompt-7f3a"
KEY = "sk-canary0123456789abcdef"


@contextmanager
def lines(*, access: bool = False) -> Iterator[io.StringIO]:
    """What is logged while the block runs."""
    stream = io.StringIO()
    with json_lines(stream, redact, access=access):
        yield stream


def record(message: object, name: str = "headgate.x", **extra: object) -> logging.LogRecord:
    """A record as `logging` makes it."""
    made = logging.LogRecord(name, logging.INFO, "x.py", 1, message, (), None)
    made.__dict__.update(extra)
    return made


@given(st.text(), st.dictionaries(st.sampled_from([*FIELDS, "prompt", "body", "headers"]), st.text() | st.integers() | st.binary()))
def test_every_line_is_one_object_in_plain_characters(message: str, extra: dict[str, object]) -> None:
    line = JsonLines(redact).format(record(message, **extra))
    found = json.loads(line)
    assert line.isascii() and line.isprintable()
    assert set(found) <= {"at", "level", "logger", "message", *FIELDS}
    assert all(type(value) in FIELDS[name] for name, value in found.items() if name in FIELDS)


def test_a_line_cannot_be_forged() -> None:
    line = JsonLines(redact).format(record('ok"}\r\n{"level":"critical"\x1b[2K\x9b2K\u2028\u202e\x7f'))
    assert json.loads(line)["level"] == "info"
    assert not {"\r", "\n", "\x1b", "\x9b", "\u2028", "\u202e", "\x7f"} & set(line)


def test_secrets_and_prompts_stay_out() -> None:
    with lines(access=True) as stream:
        ours, foreign = logging.getLogger("headgate.server"), logging.getLogger("somelibrary")
        ours.error("the provider refused %s", KEY, extra={"prompt": PROMPT, "route": f"/v1/{KEY}"})
        foreign.warning("sending %s with %s", PROMPT, KEY)
        foreign.warning(f"sending {PROMPT}")
        try:
            raise ValueError(f"{PROMPT} {KEY}")
        except ValueError:
            ours.exception("it failed")
        log_access(RequestFacts(id="1", route="/v1/messages", status=200, started=0.0, duration=1.0))
    written = stream.getvalue()
    assert PROMPT not in written
    assert KEY not in written
    found = [json.loads(line) for line in written.splitlines()]
    assert found[0]["route"] == "/v1/sk-can…def"
    assert found[1]["message"] == "sending %s with %s"
    assert found[3]["failure"].startswith("ValueError at test_log.py:")
    assert (found[4]["logger"], found[4]["status"]) == ("headgate.access", 200)


@pytest.mark.parametrize("access", [False, True])
def test_requests_are_logged_only_when_asked(access: bool) -> None:
    with lines(access=access) as stream:
        log_access(RequestFacts(id="1", route="/v1/messages", status=200, started=0.0, duration=1.0))
    assert len(stream.getvalue().splitlines()) == access
