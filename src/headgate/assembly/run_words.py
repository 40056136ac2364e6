"""Words and numbers that every page on runs shows the same way (OCT-183)."""

from __future__ import annotations

from pathlib import Path

from headgate.assembly.status import RunStatus
from headgate.batch.rows import StepRow
from headgate.batch.states import RunState
from headgate.domain.cost import known_money, money
from headgate.domain.printable import counted
from headgate.wire.json import JsonObject, decode

GOING = frozenset({RunState.RUNNING, RunState.PLANNING})
OVERRIDDEN = "*"
"""Marks a provider and model that the command line chose instead of the pipeline (OCT-12b)."""


def cost_text(status: RunStatus) -> str:
    """What was spent, and that it is more where calls have no known price."""
    return spent_text(status.spent, status.unpriced)


def spent_text(nanos: int, unpriced: int) -> str:
    """`nanos` in words, when `unpriced` calls whose price is not known come on top."""
    if not unpriced:
        return money(nanos)
    least = f"at least {money(nanos)}, and " if nanos else ""
    return f"unknown: {least}what {counted(unpriced, 'call')} without a known price cost"


def short_cost(status: RunStatus) -> str:
    """What was spent, for a column; ``≥`` where it is more by what calls without a known price cost."""
    return known_money(status.spent, status.unpriced)


def cost_per_valid(status: RunStatus) -> int | None:
    """Nano-dollars for each unit that is valid at the last step; None when nothing is, or the cost is not known."""
    return None if status.cost is None or not status.valid else round(status.cost / status.valid)


def target_text(step: StepRow) -> str:
    """Provider and model of a step, with a mark when the command line chose them; a dash for a step that asks no model."""
    return "—" if step.provider is None else f"{step.provider}/{step.model}" + (OVERRIDDEN if step.overridden else "")


def model_of(status: RunStatus) -> str:
    """Provider and model; those of each step where they differ, with a mark on what the command line chose."""
    names = {step.name: target_text(step) for step in status.targets if step.provider is not None}
    if len(set(names.values())) == 1:
        return next(iter(names.values()))
    return ", ".join(f"{step}: {name}" for step, name in names.items()) or "no model"


def state_word(status: RunStatus) -> str:
    """The state in one or two words; a run that nobody drives although it should be says so."""
    state = status.run.state
    return f"{state.value}, not driven" if state in GOING and not status.driven else state.value


def name_of(status: RunStatus) -> str:
    """The run's name."""
    return Path(status.folder).name


def tokens_text(status: RunStatus) -> str:
    """Tokens in and out, and how much of them went into retries."""
    every, again = status.tokens, status.retries
    text = f"input {every.input_tokens:,}, output {every.output_tokens:,}"
    if not again.calls:
        return text
    share = again.tokens / every.tokens if every.tokens else 0.0
    return f"{text}; of them for retries: input {again.input_tokens:,}, output {again.output_tokens:,} ({share:.1%})"


def imported_of(status: RunStatus) -> JsonObject | None:
    """Where a run was taken over from, and what was said of it there; None for a run of our own."""
    found: JsonObject | None = decode(status.run.options).get("imported")
    return found


def imported_facts(status: RunStatus) -> tuple[tuple[str, str], ...]:
    """The same as lines of a page. A cost that was named elsewhere is an estimate, and in no sum."""
    found = imported_of(status)
    if found is None:
        return ()
    estimate = found["cost_estimate_nanos"]
    facts = [("imported from", str(found["from"]))]
    if found["display_name"]:
        facts.append(("called there", str(found["display_name"])))
    if estimate is not None:
        facts.append(("estimated there", f"{money(estimate)}, which is in no sum here"))
    return tuple(facts)
