"""`think`: a switch (true, false) or a level ("low", "medium", "high"), and the wishes of other wires in its words (case 76)."""

from __future__ import annotations

from headgate.dialects.ollama_chat.report import Report
from headgate.domain.request import Reasoning
from headgate.wire.json import Json

_SWITCH = {True: "enabled", False: "disabled"}
_LEVELS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_BUDGETS = ((4096, "low"), (16384, "medium"))


def parse_think(value: Json) -> Reasoning | None:
    """Read `think`; None for anything but a boolean or a word."""
    if isinstance(value, bool):
        return Reasoning(mode=_SWITCH[value])
    return Reasoning(effort=value) if isinstance(value, str) and value else None


def render_own_think(wish: Reasoning) -> Json:
    """`think` as it came from this wire; None when nothing was said."""
    if wish.effort is not None:
        return wish.effort
    return None if wish.mode is None else wish.mode != "disabled"


def render_think(wish: Reasoning, report: Report) -> Json:
    """Any wish about thinking as `think`, None when nothing can be said.

    Models that take levels get one; for all others a word or a budget is the switch alone, with a note. A server always shows the
    thoughts of an answer that has some.
    """
    report.drop_extra(wish.extra, "reasoning.")
    if wish.visible is False:
        report.drop("reasoning.visible", "Ollama always returns the thoughts")
    can = report.capabilities
    if can.reasoning == "none":
        if not _forbids(wish) and _says(wish):
            report.drop("reasoning", "the model does not think")
        return None
    if _forbids(wish):
        if not can.reasoning_required:
            return False
        report.change("reasoning", "the model always thinks: low is the least")
        return "low" if can.reasoning in ("level", "effort") else True
    return _level(wish, report) if can.reasoning in ("level", "effort") else _switch(wish, report)


def _says(wish: Reasoning) -> bool:
    return not (wish.effort is None and wish.budget is None and wish.mode is None and not wish.visible)


def _forbids(wish: Reasoning) -> bool:
    return wish.effort == "none" or wish.budget == 0 or wish.mode == "disabled"


def _level(wish: Reasoning, report: Report) -> Json:
    if wish.effort is not None:
        level = _LEVELS.get(wish.effort, "medium")
        if level != wish.effort:
            report.change("reasoning.effort", f"{wish.effort} became {level}")
        return level
    if wish.budget is None or wish.budget < 0:
        return _switch(wish, report)
    level = next((word for limit, word in _BUDGETS if wish.budget <= limit), "high")
    report.change("reasoning.budget", f"{wish.budget} tokens became {level}")
    return level


def _switch(wish: Reasoning, report: Report) -> Json:
    if wish.effort is not None or (wish.budget is not None and wish.budget > 0):
        report.change("reasoning", "the model thinks as much as it likes: thinking is switched on")
    return True if _says(wish) else None
