"""The writer of dialogs with game characters, and the critic who scores how well they fit."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headgate.sim.dice import Dice
from headgate.sim.players.base import Player, another, facts, parts
from headgate.wire.json import JsonObject

TONES = ("warm", "cold", "nervous", "hostile", "mysterious")
PAIRS = 3
_WRITTEN = frozenset({"npc_name", "speaks_of", "mood_name", "fitting_tones", "topic_name"})
_SCORED = frozenset({"npc_name", "speaks_of", "mood_name", "fitting_tones", "topic_name", "tone"})


class Voice(msgspec.Struct, frozen=True):
    """How a tone sounds: a greeting, an answer with a place for a word of the trade, and a farewell."""

    greeting: str
    answer: str
    farewell: str


VOICES = {
    "warm": Voice("Come in, you must have walked all day!", "Gladly! It is as with any {word}: take your time.", "Safe travels!"),
    "cold": Voice("State your business.", "It is a matter of {word}. I will say it once.", "That is all."),
    "nervous": Voice("Oh! I did not hear you. You are alone, yes?", "I, I should not speak of the {word}, but listen.", "Go now, please."),
    "hostile": Voice("What do you want here? Speak, or be gone.", "Touch my {word} and you will be sorry. Hear me!", "Out with you."),
    "mysterious": Voice("You came. The road said that you would.", "Every {word} has two sides, and you see one.", "We shall meet again."),
}
_QUESTIONS = (
    "I wanted to ask you about {topic}.",
    "Can you tell me more about that?",
    "Is there something I could do for you in return?",
    "What would you do in my place?",
)
_HINTS = ("Ask what the matter with the {word} is.", "Offer to help with the {word}.", "Say nothing and wait for the {word}.")


def dialog(text: str, dice: Dice) -> JsonObject | None:
    """Write the dialog a prompt asks for, in one of the tones that fit."""
    told = facts(text)
    tones = [tone for tone in parts(told.get("fitting_tones", "")) if tone in VOICES]
    if not told.keys() >= _WRITTEN or not tones:
        return None
    return written(told["topic_name"], dice.pick(tones), parts(told["speaks_of"]), PAIRS + dice.below(2), dice)


def written(topic: str, tone: str, words: Sequence[str], pairs: int, dice: Dice) -> JsonObject:
    """A dialog of so many exchanges in a tone, with words of the speaker's trade."""
    voice, subject = VOICES[tone], topic.replace("_", " ")
    lines = []
    for place in range(pairs):
        word = words[(place + dice.below(len(words))) % len(words)]
        said = voice.greeting if place == 0 else voice.farewell if place == pairs - 1 else f"About {subject}, then."
        lines.append(f"NPC: {said} {voice.answer.format(word=word)}")
        lines.append(f"Player: {_QUESTIONS[place % len(_QUESTIONS)].format(topic=subject)}")
    return {
        "greeting": voice.greeting,
        "player_response_hint": dice.pick(_HINTS).format(word=words[0]),
        "tone": tone,
        "dialog": "\n".join(lines),
    }


def _again(
    answer: JsonObject, text: str, dice: Dice, *, tone: str | None = None, words: Sequence[str] = (), pairs: int = PAIRS
) -> JsonObject:
    told = facts(text)
    return written(told["topic_name"], tone or answer["tone"], words or parts(told["speaks_of"]), pairs, dice)


def _flat(answer: JsonObject, text: str, dice: Dice) -> JsonObject:
    """The character speaks like anybody."""
    return _again(answer, text, dice, words=("thing",))


def _out_of_mood(answer: JsonObject, text: str, dice: Dice) -> JsonObject:
    """The tone is one that does not fit the mood."""
    fitting = parts(facts(text)["fitting_tones"])
    return _again(answer, text, dice, tone=dice.pick([tone for tone in TONES if tone not in fitting] or list(TONES)))


def _too_short(answer: JsonObject, text: str, dice: Dice) -> JsonObject:
    """An exchange too few."""
    return _again(answer, text, dice, pairs=PAIRS - 1)


WRITER = Player("npc_dialog", dialog, {"flat": _flat, "out_of_mood": _out_of_mood, "too_short": _too_short}, share=0.08)


def scores(text: str, dice: Dice) -> JsonObject | None:
    """Score a dialog: the character by the words of the trade it uses, the mood by its tone."""
    told = facts(text)
    if not told.keys() >= _SCORED or told["tone"] not in TONES:
        return None
    spoken = "\n".join(line for line in text.splitlines() if line.startswith("NPC: ")).lower()
    heard = [word for word in parts(told["speaks_of"]) if word.lower() in spoken]
    fits = told["tone"] in parts(told["fitting_tones"])
    return {
        "npc_name": told["npc_name"],
        "mood_name": told["mood_name"],
        "topic_name": told["topic_name"],
        "final_tone": told["tone"],
        "personality_score": _score(0.7 if heard else 0.35, dice),
        "personality_reasoning": f"The speech of a {told['npc_name']}: {', '.join(heard) or 'nothing of the trade'}.",
        "mood_score": _score(0.7 if fits else 0.4, dice),
        "mood_reasoning": f"A {told['tone']} tone {'fits' if fits else 'does not fit'} somebody {told['mood_name']}.",
    }


def _score(least: float, dice: Dice) -> float:
    return round(least + dice.below(20) / 100, 2)


def _out_of_range(answer: JsonObject, text: str, dice: Dice) -> JsonObject:
    """Scores out of ten."""
    return {**answer, "personality_score": round(answer["personality_score"] * 10, 1), "mood_score": round(answer["mood_score"] * 10, 1)}


CRITIC = Player("dialog_scores", scores, {"other_npc": another("npc_name", ("the hero",)), "out_of_range": _out_of_range})
