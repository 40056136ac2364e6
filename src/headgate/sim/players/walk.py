"""The reporter of random walks."""

from __future__ import annotations

from headgate.sim.dice import Dice
from headgate.sim.players.base import Player, another, facts, miscounted
from headgate.wire.json import JsonObject

OUTCOMES = ("fell_in_water", "reached_ship")


def report(text: str, dice: Dice) -> JsonObject | None:
    """Report the walk whose facts a prompt tells."""
    told = facts(text)
    numbers = [told.get("final_position", ""), told.get("steps_taken", "")]
    if "scenario_name" not in told or told.get("outcome") not in OUTCOMES or not all(number.isdigit() for number in numbers):
        return None
    position, steps = map(int, numbers)
    return {
        "scenario_name": told["scenario_name"],
        "final_position": position,
        "steps_taken": steps,
        "outcome": told["outcome"],
    }


REPORTER = Player(
    "walk_report",
    report,
    {
        "position": miscounted("final_position"),
        "steps": miscounted("steps_taken"),
        "outcome": another("outcome", OUTCOMES),
    },
    share=0.0,
)
"""It has four facts to repeat, and makes mistakes only when it is told to."""
