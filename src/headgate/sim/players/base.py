"""What a player is, and how it reads a prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from headgate.sim.dice import Dice
from headgate.wire.json import JsonObject

Answer: TypeAlias = Callable[[str, Dice], JsonObject | None]
"""The right answer to a prompt, or None when the prompt lacks what is needed; the dice choose among several right ones."""
Mistake: TypeAlias = Callable[[JsonObject, str, Dice], JsonObject]
"""A wrong answer, made of a right one and its prompt."""

_FACT = re.compile(r"(?m)^([a-z][a-z0-9_]*): (.+)$")


class Player(msgspec.Struct, frozen=True):
    """One part. `name` is the title of the schema it answers; `mistakes` are the kinds of wrong answers, each as likely as the others.

    `share` of its answers are wrong, unless the simulator's settings say otherwise.
    """

    name: str
    answer: Answer
    mistakes: Mapping[str, Mistake]
    share: float = 0.03


def facts(text: str) -> dict[str, str]:
    """The lines ``name: value`` of a prompt, names in small letters; the first of a name counts."""
    found: dict[str, str] = {}
    for name, value in _FACT.findall(text):
        found.setdefault(name, value.strip())
    return found


def parts(value: str) -> list[str]:
    """The parts of a value that commas separate."""
    return [part.strip() for part in value.split(",") if part.strip()]


def another(name: str, options: tuple[str, ...]) -> Mistake:
    """The mistake of another word in the field `name`."""

    def mistaken(answer: JsonObject, text: str, dice: Dice) -> JsonObject:
        return {**answer, name: dice.pick([option for option in options if option != answer[name]])}

    return mistaken


def miscounted(name: str, most: int = 3) -> Mistake:
    """The mistake of a number that is up to `most` too small or too large, and never negative."""

    def mistaken(answer: JsonObject, text: str, dice: Dice) -> JsonObject:
        value, by = int(answer[name]), 1 + dice.below(most)
        return {**answer, name: value - by if dice.below(2) and value >= by else value + by}

    return mistaken


def denied(name: str) -> Mistake:
    """The mistake of the opposite of a true or false field."""
    return lambda answer, text, dice: {**answer, name: not answer[name]}
