"""What a run's log says: a tag and a sentence for each event (OCT-161). Pure."""

from __future__ import annotations

from collections.abc import Callable

from headgate.domain.printable import counted
from headgate.wire.json import JsonObject, encode_text

LANE_TAGS = {"expression": "EXPRESSION", "realtime": "REALTIME", "batch": "COLLECT", "fan_out": "FAN_OUT", "local": "VALIDATE"}
"""Tags of stored results, by the lane of their chunk."""

Sentence = Callable[[JsonObject], str]


def _state(data: JsonObject) -> str:
    return f"{data['state']}" + (f": {data['reason']}" if data.get("reason") else "")


def _opened(data: JsonObject) -> str:
    return f"chunk {data['chunk']} at step {data['step']}: {counted(data['n'], 'unit')}"


def _done(data: JsonObject) -> str:
    again = f", {data['retry']} asked again" if data.get("retry") else ""
    back = f", {data['back']} sent back" if data.get("back") else ""
    return f"chunk {data['chunk']} at step {data['step']} is done: {data['valid']} valid{again}{back}"


_SENTENCES: dict[str, tuple[str, Sentence]] = {
    "run_state": ("STATE", _state),
    "chunk_open": ("STEP", _opened),
    "chunk_done": ("STEP", _done),
    "intent": ("SUBMIT", lambda data: f"{data['submission']}: {counted(data['rows'], 'row')} to be submitted"),
    "submitted": ("SUBMIT", lambda data: f"{data['submission']} is batch {data['batch']} (by {data['matched_by']})"),
    "batch_status": ("POLL", lambda data: f"{data['submission']}: {data['raw'] or data['status']}"),
    "submission": ("BATCH", lambda data: f"{data['submission']} {data['state']}" + (f": {data['error']}" if data.get("error") else "")),
    "refused": ("THROTTLE", lambda data: f"{data['submission']} was refused: {data['error']}"),
    "queue_full": ("THROTTLE", lambda data: f"{data['submission']} has to wait for room: {data['error']}"),
    "failed_again": (
        "RETRY",
        lambda data: f"{counted(data['units'], 'failed unit')} to be tried anew in {counted(data['chunks'], 'chunk')}",
    ),
    "true_up": ("TOKENS", lambda data: f"{data['attempts']} bounds were replaced by what was billed ({data['delta_nanos']} nano-dollars)"),
}

_LEVEL_TAGS = {"warning": "WARN", "error": "ERROR"}


def event_line(what: str, level: str, data: JsonObject) -> tuple[str, str]:
    """The tag and the sentence of an event; one that has none, or lacks what its sentence needs, is told by its name and data."""
    tag, sentence = _SENTENCES.get(what, (_LEVEL_TAGS.get(level, "INFO"), None))
    if sentence is not None:
        try:
            return tag, sentence(data)
        except KeyError:
            return tag, _plain(what, data)
    return tag, _plain(what, data)


def _plain(what: str, data: JsonObject) -> str:
    return f"{what} {encode_text(data)}"


def results_line(lane: str, step: str, valid: int, failed: int, attempts: int) -> tuple[str, str]:
    """The tag and the sentence of answers stored at a step since the last look."""
    return LANE_TAGS.get(lane, "VALIDATE"), f"{step}: {counted(attempts, 'result')}, {valid} valid, {failed} failed"
