"""How runs are put into words: targets, costs, tokens. The same words in every command that shows a run."""

from __future__ import annotations

from headgate.assembly.status import RunStatus
from headgate.batch.rows import StepRow
from headgate.cli import sanitize
from headgate.cli.actions.output import money

OVERRIDDEN = "*"
"""Marks a provider and model that the command line chose instead of the pipeline (OCT-12b)."""


def target_text(step: StepRow) -> str:
    """Provider and model of a step, with a mark when the command line chose them; a dash for a step that asks no model."""
    if step.provider is None:
        return "—"
    return sanitize(f"{step.provider}/{step.model}") + (OVERRIDDEN if step.overridden else "")


def cost_text(nanos: int, unpriced: int) -> str:
    """What was spent, and that it is more where calls have no known price."""
    return money(nanos) if not unpriced else f"at least {money(nanos)} ({unpriced:,} calls have no known price)"


def tokens_line(status: RunStatus) -> str:
    """What was asked and answered, and how much of it for retries (OCT-37)."""
    every, again = status.tokens, status.retries
    text = f"[TOKENS] input {every.input_tokens:,}, output {every.output_tokens:,}"
    if not again.calls:
        return text
    return f"{text}; of them for retries: input {again.input_tokens:,}, output {again.output_tokens:,}"
