"""The player of blackjack hands, who keeps to the strategy of the prompt, and the judge of how hard they were."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import msgspec

from headgate.sim.dice import Dice
from headgate.sim.players.base import Player, another, denied, facts, miscounted, parts
from headgate.wire.json import JsonObject

ACTIONS = ("hit", "stand", "double_down")
RESULTS = ("player_wins", "dealer_wins", "push")
LEVELS = ("easy", "medium", "hard")
RANKS = ("A", "2", "3", "4", "5", "6", "7", "8", "9", "10", "J", "Q", "K")
BEST = 21
DEALER_STANDS = 17
_DEAL = frozenset({"player_deal", "player_draws", "dealer_up", "dealer_hole", "dealer_draws"})
_JUDGED = frozenset({"strategy_name", "result", "player_initial_total", "soft", "dealer_up", "actions"})
_RULE = re.compile(r"(?m)^- (hard|soft|any) (\d+) to (\d+)(?:, dealer shows (\d+) to (\d+))?: (hit|stand|double_down)$")


class Advice(msgspec.Struct, frozen=True):
    """One rule of a strategy, as a prompt tells it."""

    hand: str
    least: int
    most: int
    up_from: int
    up_to: int
    action: str


class Table(msgspec.Struct, frozen=True):
    """The cards of a prompt: all the player may have, and all the dealer may have, each side's first two in front."""

    player: tuple[str, ...]
    dealer: tuple[str, ...]


def table(text: str) -> Table | None:
    """The cards a prompt tells; None where some are missing."""
    told = facts(text)
    if not told.keys() >= _DEAL:
        return None
    player = parts(told["player_deal"]) + parts(told["player_draws"])
    dealer = [told["dealer_up"], told["dealer_hole"], *parts(told["dealer_draws"])]
    known = len(player) > 1 and set(player) | set(dealer) <= set(RANKS)
    return Table(tuple(player), tuple(dealer)) if known else None


def strategy(text: str) -> tuple[Advice, ...]:
    """The rules of the strategy a prompt tells."""
    return tuple(
        Advice(hand, int(least), int(most), int(low or 2), int(high or 11), action)
        for hand, least, most, low, high, action in _RULE.findall(text)
    )


def count(cards: Iterable[str]) -> tuple[int, bool]:
    """The total of some cards, and whether an ace counts eleven in it."""
    held = list(cards)
    total = sum(1 if card == "A" else 10 if card in ("J", "Q", "K") else int(card) for card in held)
    soft = "A" in held and total + 10 <= BEST
    return (total + 10 if soft else total), soft


def total_of(cards: Iterable[str]) -> int:
    """The total of some cards."""
    return count(cards)[0]


def advised(rules: Sequence[Advice], cards: Sequence[str], up: str) -> str:
    """What the first rule that fits says; stand where none does, and on 21."""
    total, soft = count(cards)
    shown = total_of([up])
    fitting = (rule.action for rule in rules if _fits(rule, total, soft, shown))
    action = "stand" if total == BEST else next(fitting, "stand")
    return "hit" if action == "double_down" and len(cards) > 2 else action


def _fits(rule: Advice, total: int, soft: bool, shown: int) -> bool:
    return rule.hand in ("any", "soft" if soft else "hard") and rule.least <= total <= rule.most and rule.up_from <= shown <= rule.up_to


def hand(text: str, dice: Dice) -> JsonObject | None:
    """Play the hand of a prompt by its strategy."""
    dealt, rules = table(text), strategy(text)
    if dealt is None or not rules:
        return None
    actions = played(dealt, lambda cards: advised(rules, cards, dealt.dealer[0]))
    return told_hand(dealt, actions, dealers(dealt, actions))


def played(dealt: Table, choose: Callable[[Sequence[str]], str]) -> list[str]:
    """The player's actions, each chosen for the cards held."""
    actions: list[str] = []
    cards = 2
    while total_of(dealt.player[:cards]) <= BEST:
        action = choose(dealt.player[:cards]) if cards < len(dealt.player) else "stand"
        actions.append(action)
        cards += action != "stand"
        if action != "hit":
            break
    return actions


def held(dealt: Table, actions: Sequence[str]) -> list[str]:
    """The player's cards after some actions."""
    return list(dealt.player[: 2 + sum(action != "stand" for action in actions)])


def dealers(dealt: Table, actions: Sequence[str]) -> int:
    """How many cards the dealer has at the end: two after the player's bust, else as many as it takes to have seventeen."""
    cards = 2
    while total_of(held(dealt, actions)) <= BEST and total_of(dealt.dealer[:cards]) < DEALER_STANDS and cards < len(dealt.dealer):
        cards += 1
    return cards


def told_hand(dealt: Table, actions: Sequence[str], dealer_cards: int) -> JsonObject:
    """The answer that tells a hand of these actions, the dealer having so many cards."""
    cards, dealer = held(dealt, actions), list(dealt.dealer[:dealer_cards])
    total, against = total_of(cards), total_of(dealer)
    log = [f"player deal {total_of(cards[:2])}"]
    log += [f"player {action} {total_of(held(dealt, actions[: place + 1]))}" for place, action in enumerate(actions)]
    if total <= BEST or dealer_cards > 2:
        log.append(f"dealer reveal {total_of(dealer[:2])}")
        log += [f"dealer hit {total_of(dealer[:size])}" for size in range(3, dealer_cards + 1)]
        log += [f"dealer stand {against}"] if against <= BEST else []
    return {
        "action_log": log,
        "player_cards_used": cards,
        "dealer_cards_used": dealer,
        "player_initial_total": total_of(cards[:2]),
        "player_final_total": total,
        "dealer_final_total": against,
        "player_busted": total > BEST,
        "dealer_busted": against > BEST,
        "first_action": actions[0],
        "result": outcome(total, against),
    }


def outcome(total: int, against: int) -> str:
    """Who wins with these totals."""
    if total > BEST or total < against <= BEST:
        return "dealer_wins"
    return "push" if total == against else "player_wins"


# mistakes


def _actions_of(answer: JsonObject) -> list[str]:
    return [line.split()[1] for line in answer["action_log"][1:] if line.startswith("player")]


def _other_action(answer: JsonObject, text: str, dice: Dice) -> JsonObject:
    """The last decision was another: a hit for a stand where there are cards, else a stand for the last card."""
    dealt, actions = table(text), _actions_of(answer)
    assert dealt is not None
    cards = len(held(dealt, actions))
    if actions[-1] == "stand" and cards < len(dealt.player):
        actions = [*actions[:-1], "hit"]
    elif actions[-1] == "stand":
        actions = actions[:-2]
    else:
        actions = actions[:-1]
    if actions[-1:] != ["stand"] and total_of(held(dealt, actions)) <= BEST:
        actions = [*actions, "stand"]
    return told_hand(dealt, actions, dealers(dealt, actions))


def _dealer_errs(answer: JsonObject, text: str, dice: Dice) -> JsonObject:
    """The dealer stops a card too early, or takes one too many."""
    dealt = table(text)
    assert dealt is not None
    cards = len(answer["dealer_cards_used"])
    return told_hand(dealt, _actions_of(answer), cards - 1 if cards > 2 else cards + 1)


def _foreign_card(answer: JsonObject, text: str, dice: Dice) -> JsonObject:
    """One of the player's cards is none that was dealt there."""
    cards = list(answer["player_cards_used"])
    place = dice.below(len(cards))
    cards[place] = dice.pick([rank for rank in RANKS if rank != cards[place]])
    return {**answer, "player_cards_used": cards}


def _card_too_few(answer: JsonObject, text: str, dice: Dice) -> JsonObject:
    """The dealer's last card is left out."""
    return {**answer, "dealer_cards_used": answer["dealer_cards_used"][:-1]}


def _wrong_log(answer: JsonObject, text: str, dice: Dice) -> JsonObject:
    """One total in the log is wrong."""
    log = list(answer["action_log"])
    place = dice.below(len(log))
    side, action, total = log[place].split()
    log[place] = f"{side} {action} {int(total) + 1 + dice.below(3)}"
    return {**answer, "action_log": log}


def _line_left_out(answer: JsonObject, text: str, dice: Dice) -> JsonObject:
    """One line of the log is missing."""
    log = list(answer["action_log"])
    log.pop(dice.below(len(log)))
    return {**answer, "action_log": log}


HAND = Player(
    "blackjack_hand",
    hand,
    {
        "initial_total": miscounted("player_initial_total"),
        "player_total": miscounted("player_final_total"),
        "dealer_total": miscounted("dealer_final_total"),
        "player_bust": denied("player_busted"),
        "dealer_bust": denied("dealer_busted"),
        "result": another("result", RESULTS),
        "first_action": another("first_action", ACTIONS),
        "other_action": _other_action,
        "dealer_errs": _dealer_errs,
        "foreign_card": _foreign_card,
        "card_too_few": _card_too_few,
        "wrong_log": _wrong_log,
        "line_left_out": _line_left_out,
    },
)


# the judge


def difficulty(text: str, dice: Dice) -> JsonObject | None:
    """Say how hard a hand was: soft hands and stiff ones against a strong card are hard, plain hits and stands easy."""
    told = facts(text)
    if not told.keys() >= _JUDGED or not told["player_initial_total"].isdigit() or told["dealer_up"] not in RANKS:
        return None
    total, shown = int(told["player_initial_total"]), total_of([told["dealer_up"]])
    soft = told["soft"] == "yes"
    level = _level(total, soft, shown, len(parts(told["actions"])))
    held_kind = "soft" if soft else "hard"
    return {
        "strategy_name": told["strategy_name"],
        "result": told["result"],
        "difficulty": level,
        "reasoning": f"A {held_kind} {total} against {told['dealer_up']} {_WHY[level]}.",
    }


_WHY = {
    "easy": "leaves nothing to decide",
    "medium": "takes a look at the dealer's card",
    "hard": "is a choice between two evils",
}


def _level(total: int, soft: bool, shown: int, actions: int) -> str:
    stiff = 12 <= total <= 16 and not soft
    if (stiff and shown >= 7) or (soft and total == 18):
        return "hard"
    return "medium" if stiff or 9 <= total <= 11 or (soft and total < BEST) or actions > 2 else "easy"


JUDGE = Player("hand_difficulty", difficulty, {"result": another("result", RESULTS), "strategy": another("strategy_name", ("The House",))})
