"""The gates of the demo pipelines: every hand that is right passes, and nothing else does (OCT-77, OCT-197, USR-10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.batch.compiled import compile_pipeline
from headgate.batch.expressions import StepValues, run_expression_step
from headgate.batch.pipeline_load import load_pipeline
from headgate.batch.reasons import Reason
from headgate.batch.sandbox import template_environment
from headgate.batch.templates import prompt_context
from headgate.batch.validate import Invalid, Valid
from headgate.sim.dice import Dice
from headgate.sim.players.blackjack import ACTIONS, HAND, RANKS, RESULTS
from headgate.sim.players.cast import PLAYERS
from headgate.testing.pipelines import SHIPPED
from headgate.wire.json import Json, JsonObject

BLACKJACK = load_pipeline(SHIPPED / "Blackjack")
COMPILED = compile_pipeline(BLACKJACK)
PLAY = template_environment(BLACKJACK.templates).get_template(BLACKJACK.template_of["play_hand"])
STRATEGIES = [unit.fields for unit in BLACKJACK.units(3)]
GATES = ("verify_hand", "verify_strategy")

NPC = load_pipeline(SHIPPED / "NPCDialog")
NPC_COMPILED = compile_pipeline(NPC)
NPC_TEMPLATES = template_environment(NPC.templates)

rules = st.fixed_dictionaries(
    {
        "hand": st.sampled_from(["hard", "soft", "any"]),
        "least": st.integers(4, 21),
        "most": st.integers(4, 21),
        "play": st.sampled_from(ACTIONS),
    },
    optional={"against": st.tuples(st.integers(2, 11), st.integers(2, 11)).map(list)},
)
invented = st.builds(lambda listed: {**STRATEGIES[0], "strategy_name": "Another", "rules": listed}, st.lists(rules, min_size=1, max_size=6))
strategies = st.one_of(st.sampled_from(STRATEGIES), invented)
seeds = st.integers(0, 2**32)


class Dealt(NamedTuple):
    """A hand before it is played: the unit's fields, its prompt, and the right answer."""

    fields: JsonObject
    prompt: str
    right: JsonObject


def deal(strategy: JsonObject, seed: int) -> Dealt:
    values = run_expression_step(COMPILED.expression_steps["deal_cards"], strategy, seed)
    assert isinstance(values, StepValues)
    fields = {**strategy, **values.values}
    prompt = PLAY.render(prompt_context(fields, BLACKJACK.global_context))
    right = HAND.answer(prompt, Dice(seed))
    assert right is not None
    return Dealt(fields, prompt, right)


def refused(dealt: Dealt, answer: Json) -> tuple[str, tuple[str, ...]]:
    """The step that refuses an answer, and by which rules; nothing when it passes."""
    judged = COMPILED.validators["play_hand"].validate(answer, dealt.fields)
    if isinstance(judged, Invalid):
        return "play_hand", tuple(problem.rule for problem in judged.problems)
    record = judged.record
    for gate in GATES:
        values = run_expression_step(COMPILED.expression_steps[gate], record, 0)
        assert isinstance(values, StepValues), values
        verdict = COMPILED.validators[gate].validate_record({**record, **values.values})
        if isinstance(verdict, Invalid):
            assert verdict.reason is Reason.RULE
            return gate, tuple(problem.rule for problem in verdict.problems)
        record = verdict.record
    return "", ()


def test_the_deal_is_fourteen_cards_of_a_shoe_of_six_decks() -> None:
    for seed in range(50):
        fields = deal(STRATEGIES[0], seed).fields
        sizes = [len(fields[name]) for name in ("player_deal", "player_draws", "dealer_draws")]
        cards = [*fields["player_deal"], *fields["player_draws"], fields["dealer_up"], fields["dealer_hole"], *fields["dealer_draws"]]
        assert (sizes, len(cards), set(cards) <= set(RANKS)) == ([2, 5, 5], 14, True)
        assert "_shoe" not in fields


@given(strategies, seeds)
@settings(max_examples=200)
def test_a_right_hand_passes_whatever_the_strategy(strategy: JsonObject, seed: int) -> None:
    dealt = deal(strategy, seed)
    assert refused(dealt, dealt.right) == ("", ())


@pytest.mark.parametrize("kind", sorted(HAND.mistakes))
@given(strategy=strategies, seed=seeds)
@settings(max_examples=40)
def test_no_mistake_passes(kind: str, strategy: JsonObject, seed: int) -> None:
    dealt = deal(strategy, seed)
    wrong = HAND.mistakes[kind](dict(dealt.right), dealt.prompt, Dice(seed, kind))
    gate, broken = refused(dealt, wrong)
    assert gate and broken


cards = st.lists(st.sampled_from([*RANKS, "1", "joker"]), min_size=2, max_size=9)
totals = st.integers(2, 30)
words = st.sampled_from(["player", "dealer", "deal", "reveal", "hit", "stand", "double_down", "17", "21", "", " ", "\n"])
lines = st.lists(st.one_of(st.text(max_size=20), st.lists(words, max_size=4).map(" ".join)), min_size=2, max_size=8)
FIELDS: dict[str, st.SearchStrategy[Json]] = {
    "action_log": lines,
    "player_cards_used": cards,
    "dealer_cards_used": cards,
    "player_initial_total": totals,
    "player_final_total": totals,
    "dealer_final_total": totals,
    "player_busted": st.booleans(),
    "dealer_busted": st.booleans(),
    "first_action": st.sampled_from(ACTIONS),
    "result": st.sampled_from(RESULTS),
}
changes = st.dictionaries(st.sampled_from(sorted(FIELDS)), st.none(), min_size=1).flatmap(
    lambda chosen: st.fixed_dictionaries({name: FIELDS[name] for name in chosen})
)


def squeezed(log: Sequence[str]) -> list[str]:
    return [" ".join(line.lower().split()) for line in log]


@given(strategies, seeds, changes)
@settings(max_examples=250)
def test_whatever_differs_from_the_right_hand_is_refused_by_a_rule(strategy: JsonObject, seed: int, change: JsonObject) -> None:
    """Any answer of the right form: it passes if it is the right one, and else is refused by a rule, never by an error of a gate."""
    dealt = deal(strategy, seed)
    answer = {**dealt.right, **change}
    same = {**answer, "action_log": squeezed(answer["action_log"])} == dealt.right
    assert (refused(dealt, answer)[0] == "") is same


def test_the_log_may_be_written_in_capitals_and_with_more_blanks() -> None:
    dealt = deal(STRATEGIES[0], 1)
    shouted = [line.upper().replace(" ", "  ") for line in dealt.right["action_log"]]
    assert refused(dealt, {**dealt.right, "action_log": shouted}) == ("", ())


def test_a_rejected_hand_is_explained_to_the_model() -> None:
    dealt = deal(STRATEGIES[0], 3)
    wrong = {**dealt.right, "player_final_total": dealt.right["player_final_total"] + 1}
    record = COMPILED.validators["play_hand"].validate(wrong, dealt.fields)
    assert isinstance(record, Valid)
    values = run_expression_step(COMPILED.expression_steps["verify_hand"], record.record, 0)
    assert isinstance(values, StepValues)
    verdict = COMPILED.validators["verify_hand"].validate_record({**record.record, **values.values})
    assert isinstance(verdict, Invalid)
    total = dealt.right["player_final_total"]
    assert [problem.message for problem in verdict.problems] == [f"the player's cards add up to {total}, not to {total + 1}"]
    errors = [{"path": one.path, "rule": one.rule, "message": one.message} for one in verdict.problems]
    again = PLAY.render(prompt_context(dealt.fields, {}, retry_attempt=1, retry_errors=errors))
    told = "This is try 2 at this hand. The one before was rejected:\n"
    assert again.endswith(f"{told}- the player's cards add up to {total}, not to {total + 1}\n")
    assert HAND.answer(again, Dice(1)) == dealt.right


def test_gates_send_back_to_the_step_that_plays() -> None:
    """The pipelines as they are shipped say where a refused unit is made again, and each has its rules."""
    assert [(step.name, step.retry_from) for step in BLACKJACK.steps if step.retry_from] == [(gate, "play_hand") for gate in GATES]
    assert [(step.name, step.retry_from) for step in NPC.steps if step.retry_from] == [("check_scores", "generate_dialog")]
    assert all(BLACKJACK.rules[gate].rules for gate in GATES)
    assert NPC.rules["check_scores"].rules
    assert (BLACKJACK.warnings, NPC.warnings, BLACKJACK.unit_count(), NPC.unit_count()) == ((), (), 900, 60)


# dialogs


def scored(personality: float, mood: float) -> tuple[str, ...]:
    record = {
        "unit_id": "u",
        "personality_score": personality,
        "mood_score": mood,
        "personality_reasoning": "so and so",
        "mood_reasoning": "and so on",
    }
    verdict = NPC_COMPILED.validators["check_scores"].validate_record(record)
    return tuple(problem.rule for problem in verdict.problems) if isinstance(verdict, Invalid) else ()


@given(st.floats(0, 1), st.floats(0, 1))
def test_both_scores_must_be_high_enough(personality: float, mood: float) -> None:
    wanted = [("fits_the_character", personality), ("fits_the_mood", mood)]
    assert scored(personality, mood) == tuple(name for name, score in wanted if score < 0.6)


def test_ids_are_the_three_names() -> None:
    units = list(NPC.units())
    ids = [unit.unit_id for unit in units]
    assert ids[0] == "gruff_blacksmith-friendly-directions"
    assert ids[-1] == "mysterious_stranger-suspicious-quest_info"
    assert len(set(ids)) == 60
    assert [id.split("-") for id in ids] == [[unit.fields[name]["id"] for name in ("npc", "mood", "topic")] for unit in units]


@pytest.mark.parametrize(
    ("dialog", "good"),
    [
        ("NPC: a\nPlayer: b\n" * 3, True),
        (" npc: a\n  PLAYER: b\n" * 4, True),
        ("NPC: a\nPlayer: b\n" * 2, False),
        ("NPC: a\nNPC: b\nPlayer: c\nPlayer: d\n" * 2, False),
        ("NPC: a\n" * 3 + "Player: b\n" * 3, False),
        ("The smith looks up and says nothing at all, for a very long time.", False),
    ],
)
def test_a_dialog_has_three_pairs(dialog: str, good: bool) -> None:
    fields = next(iter(NPC.units())).fields
    text = dialog if len(dialog) >= 50 else dialog + "." * 50
    answer = {"greeting": "Welcome.", "player_response_hint": "Ask him.", "tone": "warm", "dialog": text}
    verdict = NPC_COMPILED.validators["generate_dialog"].validate(answer, fields)
    assert isinstance(verdict, Valid) is good
    if isinstance(verdict, Invalid):
        assert [problem.rule for problem in verdict.problems] == ["three_pairs"]


def test_dialogs_and_scores_as_the_simulator_writes_them() -> None:
    """Right answers pass; those with too few lines or foreign names are refused at once, the others by the scores."""
    writer = PLAYERS["npc_dialog"]
    for unit in NPC.units():
        prompt = rendered("generate_dialog", unit.fields)
        told = writer.answer(prompt, Dice(unit.unit_id))
        assert told is not None
        short = writer.mistakes["too_short"](told, prompt, Dice(unit.unit_id))
        assert isinstance(NPC_COMPILED.validators["generate_dialog"].validate(short, unit.fields), Invalid)
        flat, moody = (writer.mistakes[kind](told, prompt, Dice(unit.unit_id)) for kind in ("flat", "out_of_mood"))
        for dialog, low in ((told, ()), (flat, ("fits_the_character",)), (moody, ("fits_the_mood",))):
            assert criticised(dialog, unit.fields) == low


def rendered(step: str, fields: JsonObject) -> str:
    return NPC_TEMPLATES.get_template(NPC.template_of[step]).render(prompt_context(fields, NPC.global_context))


def criticised(dialog: JsonObject, fields: JsonObject) -> tuple[str, ...]:
    """The rules by which a dialog is sent back, once it is scored. The critic's own mistakes are refused."""
    critic, validator = PLAYERS["dialog_scores"], NPC_COMPILED.validators["score_consistency"]
    written = NPC_COMPILED.validators["generate_dialog"].validate(dialog, fields)
    assert isinstance(written, Valid)
    prompt = rendered("score_consistency", written.record)
    scores = critic.answer(prompt, Dice(0))
    assert scores is not None
    for wrong in critic.mistakes.values():
        assert isinstance(validator.validate(wrong(scores, prompt, Dice(2)), written.record), Invalid)
    judged = validator.validate(scores, written.record)
    assert isinstance(judged, Valid)
    return scored(judged.record["personality_score"], judged.record["mood_score"])
