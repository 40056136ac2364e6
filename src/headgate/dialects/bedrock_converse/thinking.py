"""How much the model may think, for requests of other wires (translation cases 20, 32, 73, 76).

Converse has one field of its own, `outputConfig.effort`; all else are additional fields of the models' makers. Which is written follows
from the model's capability and its maker: Claude takes `thinking` (by budget or adaptive), Amazon's Nova `reasoningConfig`, OpenAI's models
`reasoning_effort`.
"""

from __future__ import annotations

import msgspec

from headgate.dialects.bedrock_converse.notes import Losses
from headgate.dialects.bedrock_converse.settings import EFFORT_FIELD, NOVA, thinking_wire
from headgate.domain.content import Opaque, Thinking, ToolCall, ToolResult
from headgate.domain.request import Message, Reasoning, Request
from headgate.errors import Unsupported
from headgate.wire.json import JsonObject

BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 49152}
"""Tokens of thinking for an effort word, on models steered by a budget."""

MIN_BUDGET = 1024
"""The smallest budget Claude accepts."""

UNBOUNDED = 1 << 30
"""Room for thinking when neither the caller nor the model's card limits the output."""

_WORDS = ("low", "medium", "high", "xhigh", "max")
_NOVA_WORDS = ("low", "medium", "high")


class Thought(msgspec.Struct, frozen=True):
    """What goes on the wire: additional model fields, and the effort of `outputConfig`."""

    fields: JsonObject = {}
    effort: str | None = None

    @property
    def on(self) -> bool:
        """Claude will think, with the restrictions this brings for sampling and forced tools."""
        return self.fields.get("thinking", {}).get("type") in ("enabled", "adaptive")


SILENT = Thought()


def render_thinking(request: Request, tool_choice: JsonObject, turns: list[JsonObject], losses: Losses) -> Thought:
    """The nearest this model can do; what excludes thinking turns it off, reported. Raises `Unsupported` when the model always thinks."""
    if request.reasoning is None:
        return SILENT
    thought = _wanted(request.reasoning, request, losses)
    reason = _obstacle(request.messages, tool_choice, turns, thought) if thought.on else None
    if reason is None:
        return thought
    if losses.capabilities.reasoning_required:
        raise Unsupported(f"this model always thinks, and {reason}", param="reasoning", hint="headgate models")
    losses.dropped("reasoning", reason)
    return SILENT


def _wanted(reasoning: Reasoning, request: Request, losses: Losses) -> Thought:
    losses.foreign(reasoning.extra, "reasoning.")
    control = losses.capabilities.reasoning
    if reasoning.effort == "none" or reasoning.budget == 0 or reasoning.mode == "disabled":
        return _none(losses)
    if reasoning.effort is None and reasoning.budget is None and reasoning.mode is None:
        return SILENT
    if control == "none":
        losses.dropped("reasoning", "the model does not think")
        return SILENT
    if control == "budget":
        most = losses.capabilities.max_output or UNBOUNDED
        return _by_budget(reasoning, most if request.max_tokens is None else min(request.max_tokens, most), losses)
    if control == "adaptive":
        return Thought(
            {"thinking": thinking_wire(Reasoning(mode="adaptive", visible=reasoning.visible))}, _effort(reasoning, _WORDS, losses)
        )
    if reasoning.visible is not None:
        losses.dropped("reasoning.visible", "the model decides what it shows")
    if losses.maker == "openai":
        return Thought({EFFORT_FIELD: _effort(reasoning, _NOVA_WORDS, losses) or "medium"})
    if control == "level" or losses.maker == "amazon":
        word = _effort(reasoning, _NOVA_WORDS, losses) or "medium"
        return Thought({NOVA: {"type": "enabled", "maxReasoningEffort": word}})
    return Thought(effort=_effort(reasoning, _WORDS, losses))


def _none(losses: Losses) -> Thought:
    capabilities = losses.capabilities
    if capabilities.reasoning_required:
        losses.approximated("reasoning", "the model always thinks: the least effort is asked for")
        return Thought(effort="low") if capabilities.reasoning in ("effort", "adaptive") else SILENT
    return Thought({"thinking": {"type": "disabled"}}) if capabilities.reasoning == "adaptive" else SILENT


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
        losses.approximated("reasoning.budget", f"{budget} becomes {fitted} tokens, to fit max_tokens and the wire's least")
    if reasoning.visible is False:
        losses.approximated("reasoning.visible", "thoughts come with the answer")
    return Thought({"thinking": thinking_wire(Reasoning(budget=fitted, mode="enabled"))})


def _effort(reasoning: Reasoning, words: tuple[str, ...], losses: Losses) -> str | None:
    """The effort in the model's words: the nearest one, reported when it is another."""
    word, budget = reasoning.effort, reasoning.budget
    if word is None and budget is not None and budget > 0:
        found = next((name for name in words if BUDGETS[name] >= budget), words[-1])
        losses.approximated("reasoning.budget", f"{budget} tokens become effort {found!r}")
        return found
    if word is None or word in words:
        return word
    nearest = "low" if word == "minimal" else words[-1] if word in _WORDS else "medium"
    losses.approximated("reasoning.effort", f"{word!r} becomes {nearest!r}")
    return nearest


def _obstacle(messages: tuple[Message, ...], tool_choice: JsonObject, turns: list[JsonObject], thought: Thought) -> str | None:
    """Why Claude would refuse thinking here; None when it would not."""
    if tool_choice.keys() & {"any", "tool"}:
        return "a forced tool call excludes thinking"
    if turns[-1]["role"] == "assistant":
        return "an assistant message to be continued excludes thinking"
    if thought.fields["thinking"]["type"] == "enabled" and _thoughts_lost(messages):
        return "the assistant turn with the tool calls came back without its signed thoughts"
    return None


def _thoughts_lost(messages: tuple[Message, ...]) -> bool:
    """The talk is inside a tool loop whose assistant turn no longer begins with signed thoughts."""
    last = messages[-1]
    if last.role != "tool" and not any(isinstance(block, ToolResult) for block in last.content):
        return False
    asking = next((m for m in reversed(messages) if m.role == "assistant" and any(isinstance(b, ToolCall) for b in m.content)), None)
    if asking is None:
        return False
    first = asking.content[0]
    return not isinstance(first, Opaque) and not (isinstance(first, Thinking) and (first.signature or first.redacted))
