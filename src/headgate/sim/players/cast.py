"""All players, and which of them a request calls for."""

from __future__ import annotations

import re
from collections.abc import Mapping

from headgate.sim.dice import Dice, share
from headgate.sim.players import blackjack, dialog, walk
from headgate.sim.players.base import Player
from headgate.wire.json import Json, JsonObject

PLAYERS = {player.name: player for player in (blackjack.HAND, blackjack.JUDGE, dialog.WRITER, dialog.CRITIC, walk.REPORTER)}
EVERYBODY = "*"
"""Stands for every player without a share of its own."""

_FORM = re.compile(r"(?m)^answer form: (\w+)[ \t]*$")


def called(schema: JsonObject | None, text: str) -> Player | None:
    """The player that the schema's title names, else the last line ``answer form: NAME`` of the prompt; None for nobody."""
    titled = PLAYERS.get(str(schema.get("title"))) if schema is not None else None
    named = _FORM.findall(text)
    return titled or (PLAYERS.get(named[-1]) if named else None)


def play(schema: JsonObject | None, text: str, mistakes: Mapping[str, float], *mark: object) -> Json | None:
    """The answer of the player a request calls for, right or not; None where nobody can answer.

    `mistakes` is the share of wrong answers by player, `EVERYBODY` for those without one. `mark` seeds every choice.
    """
    player = called(schema, text)
    if player is None:
        return None
    dice = Dice("player", player.name, *mark)
    answer = player.answer(text, dice)
    wrong = mistakes.get(player.name, mistakes.get(EVERYBODY, player.share))
    if answer is None or share("mistake", player.name, *mark) >= wrong:
        return answer
    mistake = player.mistakes[dice.pick(sorted(player.mistakes))]
    return mistake(answer, text, dice)
