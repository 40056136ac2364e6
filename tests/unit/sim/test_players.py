"""The parts the simulated model plays: who is called, that answers are right, and that mistakes come as often as they should."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.sim.dice import Dice
from headgate.sim.players.base import Player, facts
from headgate.sim.players.blackjack import RANKS, count
from headgate.sim.players.cast import EVERYBODY, PLAYERS, called, play
from headgate.sim.responder import Ask, Tool, respond
from headgate.wire.json import JsonObject, decode

HAND = """player_deal: {player}
player_draws: 5, 6, 2, 3, 4
dealer_up: {up}
dealer_hole: {hole}
dealer_draws: 9, 8, 2, 2, 2
- hard 4 to 10: hit
- hard 11 to 11: double_down
- hard 12 to 16, dealer shows 2 to 6: stand
- hard 12 to 16: hit
- soft 12 to 17: hit
"""
WALK = "scenario_name: Pier\nfinal_position: 10\nsteps_taken: 25\noutcome: reached_ship\n"
JUDGED = (
    "strategy_name: The Pro\nplayer_initial_total: 16\nsoft: no\ndealer_up: 10\nactions: hit, stand\n"
    "player_final_total: 18\ndealer_final_total: 19\nresult: dealer_wins\n"
)
NPC = "npc_name: Smith\nspeaks_of: forge, iron\nmood_name: friendly\nfitting_tones: warm\ntopic_name: bartering\n"
SCORED = NPC + "tone: warm\n\nNPC: At the forge.\nPlayer: Hm?\n"
PROMPTS = {
    "blackjack_hand": HAND.format(player="Q, 6", up="9", hole="K"),
    "hand_difficulty": JUDGED,
    "npc_dialog": NPC,
    "dialog_scores": SCORED,
    "walk_report": WALK,
}
NEVER: Mapping[str, float] = {EVERYBODY: 0.0}
ALWAYS: Mapping[str, float] = {EVERYBODY: 1.0}


def answer(player: Player, text: str, *mark: object) -> JsonObject:
    found = player.answer(text, Dice(*mark))
    assert found is not None
    return found


def test_every_player_has_a_prompt_here() -> None:
    assert PROMPTS.keys() == PLAYERS.keys()


@pytest.mark.parametrize("name", sorted(PROMPTS))
def test_a_player_is_called_by_the_schema_or_by_the_prompt(name: str) -> None:
    schema = {"title": name, "type": "object", "properties": {"free": {"type": "integer"}}}
    named = f"{PROMPTS[name]}answer form: {name}\n"
    right = answer(PLAYERS[name], PROMPTS[name], 1).keys()
    asked: list[Ask] = [
        Ask("sim-small", (PROMPTS[name],), schema=schema),
        Ask("sim-small", (named,), schema={"type": "object"}),
        Ask("sim-small", (named,), json_object=True),
        Ask("sim-small", (named,)),
    ]
    assert [decode(respond(ask, 0, mistakes=NEVER).text).keys() for ask in asked] == [right] * 4
    forced = respond(Ask("sim-small", (PROMPTS[name],), tools=(Tool("respond", schema),), forced="respond"), 0, mistakes=NEVER)
    assert forced.calls[0].arguments.keys() == right
    assert respond(asked[0], 0, twist="fenced", mistakes=NEVER).text.startswith("```json\n{")


def test_nobody_is_called_where_nobody_is_meant() -> None:
    assert called({"title": "stranger"}, "a question") is None
    assert called(None, "answer form: stranger") is None
    assert play({"title": "blackjack_hand"}, "no cards at all", ALWAYS, 1) is None
    filled = respond(Ask("sim-small", ("no cards",), schema={"title": "blackjack_hand", "properties": {"n": {"type": "integer"}}}), 0)
    assert decode(filled.text).keys() == {"n"}
    tool = Tool("weather", {"type": "object"})
    chat = Ask("sim-small", (PROMPTS["npc_dialog"] + "answer form: npc_dialog\n",), tools=(tool,))
    assert respond(chat, 0).text.startswith("You asked about")


@pytest.mark.parametrize("name", sorted(PROMPTS))
def test_every_mistake_is_one(name: str) -> None:
    player = PLAYERS[name]
    for seed in range(30):
        right = answer(player, PROMPTS[name], seed)
        for kind, mistake in player.mistakes.items():
            wrong = mistake(dict(right), PROMPTS[name], Dice(seed, kind))
            assert wrong != right, kind
            assert wrong.keys() == right.keys(), kind


@pytest.mark.parametrize(
    ("mistakes", "least", "most"), [(NEVER, 0, 0), (ALWAYS, 1000, 1000), ({"walk_report": 0.2, EVERYBODY: 1.0}, 140, 260)]
)
def test_mistakes_come_as_often_as_is_said(mistakes: Mapping[str, float], least: int, most: int) -> None:
    right = answer(PLAYERS["walk_report"], WALK, 0)
    wrong = sum(play({"title": "walk_report"}, WALK, mistakes, seed) != right for seed in range(1000))
    assert least <= wrong <= most


def test_the_same_question_has_the_same_answer_and_another_seed_another() -> None:
    ask = Ask("sim-small", (NPC + "answer form: npc_dialog\n",))
    assert respond(ask, 3).text == respond(ask, 3).text
    assert len({respond(ask, seed).text for seed in range(20)}) > 5


@pytest.mark.parametrize(
    ("player", "up", "hole", "log", "result"),
    [
        ("Q, 6", "9", "K", ["player deal 16", "player hit 21", "player stand 21", "dealer reveal 19", "dealer stand 19"], "player_wins"),
        ("Q, 6", "5", "2", ["player deal 16", "player stand 16", "dealer reveal 7", "dealer hit 16", "dealer hit 24"], "player_wins"),
        ("7, 4", "9", "K", ["player deal 11", "player double_down 16", "dealer reveal 19", "dealer stand 19"], "dealer_wins"),
        ("A, K", "A", "Q", ["player deal 21", "player stand 21", "dealer reveal 21", "dealer stand 21"], "push"),
        ("A, 2", "9", "8", ["player deal 13", "player hit 18", "player stand 18", "dealer reveal 17", "dealer stand 17"], "player_wins"),
        ("2, 10", "7", "K", ["player deal 12", "player hit 17", "player stand 17", "dealer reveal 17", "dealer stand 17"], "push"),
    ],
)
def test_hands_of_blackjack(player: str, up: str, hole: str, log: list[str], result: str) -> None:
    played = answer(PLAYERS["blackjack_hand"], HAND.format(player=player, up=up, hole=hole))
    assert (played["action_log"], played["result"]) == (log, result)


def test_a_bust_ends_the_hand() -> None:
    played = answer(PLAYERS["blackjack_hand"], HAND.format(player="Q, 6", up="9", hole="5").replace("draws: 5, 6", "draws: 9, 6"))
    assert played["action_log"] == ["player deal 16", "player hit 25"]
    assert (played["player_busted"], played["dealer_busted"], played["dealer_cards_used"]) == (True, False, ["9", "5"])
    assert played["result"] == "dealer_wins"


@given(st.lists(st.sampled_from(RANKS), min_size=1, max_size=8))
def test_the_best_total_of_some_cards(cards: list[str]) -> None:
    """Of all ways to count the aces the highest that is not over 21, else the lowest."""
    totals = {0}
    for card in cards:
        totals = {total + worth for total in totals for worth in ((1, 11) if card == "A" else (10 if card in "JQK" else int(card),))}
    good = [total for total in totals if total <= 21]
    assert count(cards)[0] == (max(good) if good else min(totals))


def test_the_critic_hears_what_is_missing() -> None:
    critic, writer = PLAYERS["dialog_scores"], PLAYERS["npc_dialog"]
    good = answer(critic, SCORED)
    assert good["personality_score"] >= 0.6 <= good["mood_score"]
    assert answer(critic, SCORED.replace("At the forge", "Here"))["personality_score"] < 0.6
    assert answer(critic, SCORED.replace("tone: warm", "tone: cold"))["mood_score"] < 0.6
    told = answer(writer, NPC, 1)
    assert told["tone"] == "warm"
    assert told["dialog"].count("NPC: ") >= 3 <= told["dialog"].count("Player: ")


@pytest.mark.parametrize(
    ("change", "level"),
    [
        (lambda text: text, "hard"),
        (lambda text: text.replace("dealer_up: 10", "dealer_up: 5"), "medium"),
        (lambda text: text.replace("total: 16", "total: 20").replace("hit, ", ""), "easy"),
        (lambda text: text.replace("total: 16", "total: 18").replace("soft: no", "soft: yes"), "hard"),
    ],
)
def test_the_judge_of_difficulty(change: Callable[[str], str], level: str) -> None:
    judged = answer(PLAYERS["hand_difficulty"], change(JUDGED))
    assert (judged["difficulty"], judged["strategy_name"], judged["result"]) == (level, "The Pro", "dealer_wins")


def test_the_first_of_a_name_counts() -> None:
    assert facts("name: one\n- name: no\nname: two\nNPC: three") == {"name": "one"}
