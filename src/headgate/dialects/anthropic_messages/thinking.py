"""How much the model may think, rendered for the models' generations (translation cases 20, 32, 76)."""

from __future__ import annotations

import msgspec

from headgate.dialects.anthropic_messages.notes import Losses
from headgate.domain.request import Reasoning
from headgate.wire.json import JsonObject

BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 49152}
"""Tokens of thinking for an effort word, on models steered by a budget."""

MIN_BUDGET = 1024
"""The smallest budget the wire accepts."""

_WORDS = ("low", "medium", "high", "xhigh", "max")


class Thought(msgspec.Struct, frozen=True):
    """What goes on the wire: the `thinking` object and the `effort` of `output_config`."""

    thinking: JsonObject | None = None
    effort: str | None = None

    @property
    def on(self) -> bool:
        """The model will think, with the restrictions this brings for sampling and forced tools."""
        return self.thinking is not None and self.thinking["type"] in ("enabled", "adaptive")


SILENT = Thought()


def own_thinking(reasoning: Reasoning) -> Thought:
    """The thinking of a request from this wire, as it came."""
    if reasoning.mode is None:
        return Thought(None, reasoning.effort)
    wire: JsonObject = {"type": reasoning.mode}
    if reasoning.budget is not None:
        wire["budget_tokens"] = reasoning.budget
    if reasoning.visible is not None:
        wire["display"] = "summarized" if reasoning.visible else "omitted"
    if reasoning.extra:
        wire.update(reasoning.extra)
    return Thought(wire, reasoning.effort)


def foreign_thinking(reasoning: Reasoning, max_tokens: int, losses: Losses) -> Thought:
    """The nearest this model can do to a request from another wire; every difference is reported."""
    if reasoning.extra:
        losses.foreign(reasoning.extra, "reasoning.")
    if _says_no(reasoning):
        return _none(losses)
    if reasoning.effort is None and reasoning.budget is None and reasoning.mode is None:
        return SILENT
    control = losses.capabilities.reasoning
    if control == "none":
        losses.dropped("reasoning", "the model does not think")
        return SILENT
    if control == "budget":
        return _by_budget(reasoning, max_tokens, losses)
    effort = _effort_word(reasoning, losses)
    if control == "effort":
        return Thought(None, effort)
    wire: JsonObject = {"type": "adaptive"}
    if reasoning.visible is not None:
        wire["display"] = "summarized" if reasoning.visible else "omitted"
    return Thought(wire, effort)


def _says_no(reasoning: Reasoning) -> bool:
    return reasoning.effort == "none" or reasoning.budget == 0 or reasoning.mode == "disabled"


def _none(losses: Losses) -> Thought:
    capabilities = losses.capabilities
    if capabilities.reasoning_required:
        losses.approximated("reasoning", "the model always thinks: the least effort is asked for")
        return Thought(None, "low") if capabilities.reasoning in ("effort", "adaptive") else SILENT
    if capabilities.reasoning == "adaptive":
        return Thought({"type": "disabled"}, None)
    return SILENT


def _by_budget(reasoning: Reasoning, max_tokens: int, losses: Losses) -> Thought:
    budget = reasoning.budget
    if budget is None or budget < 0:
        budget = BUDGETS.get(reasoning.effort or "medium", BUDGETS["medium"])
    if reasoning.effort is not None and reasoning.budget is None:
        losses.approximated("reasoning.effort", f"{reasoning.effort} becomes a budget of {budget} tokens")
    room = max_tokens * 3 // 4
    if room < MIN_BUDGET:
        losses.dropped("reasoning", f"max_tokens {max_tokens} leaves no room for thinking, which takes at least {MIN_BUDGET} tokens")
        return SILENT
    fitted = min(max(budget, MIN_BUDGET), room)
    if fitted != budget:
        losses.approximated("reasoning.budget", f"{budget} becomes {fitted} tokens, to fit max_tokens {max_tokens} and the wire's least")
    if reasoning.visible is False:
        losses.approximated("reasoning.visible", "thoughts come with the answer")
    return Thought({"type": "enabled", "budget_tokens": fitted}, None)


def _effort_word(reasoning: Reasoning, losses: Losses) -> str | None:
    word = reasoning.effort
    if word is None and reasoning.budget is not None and reasoning.budget > 0:
        budget = reasoning.budget
        word = next((name for name in _WORDS if BUDGETS[name] >= budget), "max")
        losses.approximated("reasoning.budget", f"{budget} tokens become effort {word!r}")
        return word
    if word is None or word in _WORDS:
        return word
    losses.approximated("reasoning.effort", f"{word!r} becomes 'low'" if word == "minimal" else f"{word!r} becomes 'medium'")
    return "low" if word == "minimal" else "medium"
