"""The tables that ``headgate demo`` prints of each pipeline's results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from headgate.assembly.demo_results import HANDS, Outcomes, Rework, net_by_strategy, result_records, rework, walk_outcomes
from headgate.batch.statistics import Interval, NumberTable, OutcomeTable, number_table, outcome_table
from headgate.cli import sanitize
from headgate.cli.actions.output import table
from headgate.wire.json import JsonObject

ROUND = 300
"""Hands for which the net result is told: as many as a strategy plays in the demo."""
_RESULTS = ("player_wins", "dealer_wins", "push")
_ACTIONS = ("hit", "stand", "double_down")
_LEVELS = ("easy", "medium", "hard")


def outcome_text(outcomes: Outcomes) -> str:
    """The outcome table with intervals of 95 % beside the exact theory."""
    theory = outcomes.theory
    exact = {"reached_ship": theory.upper_share, "fell_in_water": 1 - theory.upper_share}
    rows = [(value, str(count), *_share(share), f"{exact.get(value, 0.0):.1%}") for value, count, share in outcomes.shares]
    steps = outcomes.steps
    interval = f"{steps.low:.1f} to {steps.high:.1f}"
    rows.append(("steps (mean)", str(outcomes.walks), f"{steps.value:.1f}", interval, f"{theory.mean_steps:.1f}"))
    return table(rows, ("outcome", "n", "observed", "95 % interval", "theory"), frozenset({1, 2, 4}))


def _share(share: Interval) -> tuple[str, str]:
    return f"{share.value:6.1%}", f"{share.low:.1%} to {share.high:.1%}"


def share_text(
    found: OutcomeTable, head: tuple[str, str], order: Sequence[str], theory: Mapping[str, Mapping[str, float]] | None = None
) -> str:
    """Shares with intervals of 95 %, a line for each group and value; `theory` is by group and value. `head` names the two."""
    rows = []
    for row in found.rows:
        for value in order:
            expected = () if theory is None else (_expected(theory, row.group, value),)
            counted = value in row.counts
            share = _share(row.shares[value]) if counted else ("0.0%", "")
            rows.append((sanitize(row.group), value, str(row.counts[value] if counted else 0), *share, *expected))
    titles = (*head, "n", "observed", "95 % interval")
    return table(rows, titles if theory is None else (*titles, "theory"), frozenset({2, 3, 5}))


def _expected(theory: Mapping[str, Mapping[str, float]], group: str, value: str) -> str:
    known = theory.get(group)
    return "" if known is None else f"{known[value]:.1%}"


def net_text(records: Sequence[JsonObject]) -> str:
    """Hands won less hands lost in every `ROUND`, by strategy, best first."""
    rows = []
    for name, net in sorted(net_by_strategy(records).items(), key=lambda pair: -pair[1].value):
        expected = f"{ROUND * HANDS[name].net:+.0f}" if name in HANDS else ""
        rows.append((sanitize(name), f"{ROUND * net.value:+.0f}", f"{ROUND * net.low:+.0f} to {ROUND * net.high:+.0f}", expected))
    return table(rows, ("strategy", f"net of {ROUND}", "95 % interval", "theory"), frozenset({1, 3}))


def number_text(found: NumberTable, head: tuple[str, str]) -> str:
    """Count, mean, deviation and ends of a number, by group. `head` names group and number."""
    rows = [
        (sanitize(group), str(one.count), f"{one.mean:.2f}", f"{one.stdev:.2f}", f"{one.least:.2f}", f"{one.most:.2f}")
        for group, one in found.rows.items()
    ]
    return table(rows, (head[0], "n", f"{head[1]} (mean)", "sd", "least", "most"), frozenset(range(1, 6)))


def rework_text(found: Sequence[Rework], head: str) -> str:
    """How many units came out right at the first call, and how many calls the others took."""
    rows = [(sanitize(one.group), str(one.units), f"{one.once / one.units:.1%}", str(one.calls), str(one.most)) for one in found]
    return table(rows, (head, "units", "asked once", "calls", "most"), frozenset(range(1, 5)))


def walk_report(folder: Path) -> str:
    """DrunkenSailor: outcomes and steps."""
    return outcome_text(walk_outcomes(folder))


def blackjack_report(folder: Path) -> str:
    """Blackjack: results, net, first actions, difficulty, and hands played again, by strategy."""
    records = result_records(folder)
    won = {name: theory.results for name, theory in HANDS.items()}
    begun = {name: theory.first_actions for name, theory in HANDS.items()}
    parts = (
        share_text(outcome_table(records, "strategy_name", "result"), ("strategy", "result"), _RESULTS, won),
        net_text(records),
        share_text(outcome_table(records, "strategy_name", "first_action"), ("strategy", "first action"), _ACTIONS, begun),
        share_text(outcome_table(records, "strategy_name", "difficulty"), ("strategy", "difficulty"), _LEVELS),
        rework_text(rework(folder, "play_hand", lambda fields: str(fields["strategy_name"])), "hands played"),
    )
    return "\n\n".join(parts)


def dialog_report(folder: Path) -> str:
    """NPCDialog: tones and scores by character, scores by mood, and dialogs written again."""
    records = result_records(folder)
    tones = outcome_table(records, "npc_name", "tone")
    rows = [(sanitize(row.group), *(f"{row.shares[tone].value:.0%}" for tone in tones.outcomes), str(row.total)) for row in tones.rows]
    parts = (
        table(rows, ("tone of", *map(sanitize, tones.outcomes), "n"), frozenset(range(1, len(tones.outcomes) + 2))),
        number_text(number_table(records, "npc_name", "personality_score"), ("character", "fits")),
        number_text(number_table(records, "mood_name", "mood_score"), ("mood", "fits")),
        rework_text(rework(folder, "generate_dialog", lambda fields: str(fields["npc"]["name"])), "dialogs written"),
    )
    return "\n\n".join(parts)


REPORTS: dict[str, Callable[[Path], str]] = {
    "DrunkenSailor": walk_report,
    "Blackjack": blackjack_report,
    "NPCDialog": dialog_report,
}
