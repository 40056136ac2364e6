"""Which deployment each strategy and hint picks, and in which order the others follow (ACC-08)."""

from __future__ import annotations

import random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.config.route_settings import STRATEGY_ALIASES, RoutingSettings, Strategy, read_strategy
from headgate.router.explain import why
from headgate.router.policy import decide
from headgate.router.ready import DUELS
from headgate.router.strategies import SCORES, order, rendezvous, scores
from headgate.router.values import Entry, Hint, Plan, Standing, Wants, Wish
from headgate.testing.routes import deployment, entry_of

OLLAMA = deployment("ollama/llama3.1:70b", traits=("local", "private", "medium_speed"), price=(0, 0), quality=100)
OPENAI = deployment("openai/gpt-4o", traits=("fast",), price=(2500, 10000), quality=300)
ANTHROPIC = deployment("anthropic/claude-3-opus", traits=("fast",), price=(15000, 75000), quality=200)
GROQ = deployment("groq/small", traits=("ultra_fast",), price=(50, 80), quality=40)
UNPRICED = deployment("other/new", price=None, quality=250)
ALL = entry_of(OPENAI, ANTHROPIC, OLLAMA, GROQ, UNPRICED)
SHORT = {"openai": OPENAI, "anthropic": ANTHROPIC, "ollama": OLLAMA, "groq": GROQ, "other": UNPRICED}

S = Standing
OPEN = S(blocked="circuit_open", available_at=2000.0)


def providers(plan: Plan) -> list[str]:
    return [choice.deployment.provider for choice in plan.order]


def made(
    strategy: Strategy | None = None,
    *,
    entry: Entry = ALL,
    standings: dict[str, Standing] | None = None,
    settings: RoutingSettings | None = None,
    draw: float = 0.0,
    turn: int = 0,
    wish: Wish | None = None,
    **wants: object,
) -> Plan:
    """A plan at the time 1000; standings by provider."""
    whole = Wants(strategy=strategy, **wants)  # type: ignore[arg-type]
    asked = wish or Wish(model="chat", input_tokens=1000, max_output=100, wants=whole)
    by_id = {SHORT[name].id: standing for name, standing in (standings or {}).items()}
    return decide(asked, entry, by_id, settings or RoutingSettings(), draw, 1000.0, turn)


CASES: list[tuple[str, dict[str, object], list[str]]] = [
    ("local first, then the order of the route", {"strategy": "local_first"}, ["ollama", "openai", "anthropic", "groq", "other"]),
    ("cheapest, what is unpriced last", {"strategy": "cost_optimized"}, ["ollama", "groq", "openai", "anthropic", "other"]),
    ("highest rank", {"strategy": "quality"}, ["openai", "other", "anthropic", "ollama", "groq"]),
    ("by the priors of traits", {"strategy": "speed"}, ["groq", "openai", "anthropic", "other", "ollama"]),
    ("turn 0", {"strategy": "round_robin", "turn": 0}, ["openai", "anthropic", "ollama", "groq", "other"]),
    ("turn 1", {"strategy": "round_robin", "turn": 1}, ["anthropic", "ollama", "groq", "other", "openai"]),
    ("turn 4", {"strategy": "round_robin", "turn": 4}, ["other", "openai", "anthropic", "ollama", "groq"]),
    ("turn 5 is turn 0 again", {"strategy": "round_robin", "turn": 5}, ["openai", "anthropic", "ollama", "groq", "other"]),
    ("by lot, the lowest", {"strategy": "weighted", "draw": 0.0}, ["openai", "anthropic", "ollama", "groq", "other"]),
    ("by lot, the highest", {"strategy": "weighted", "draw": 0.999}, ["other", "groq", "ollama", "anthropic", "openai"]),
    ("by lot, the middle", {"strategy": "weighted", "draw": 0.5}, ["ollama", "groq", "openai", "anthropic", "other"]),
    ("least busy: equal, by lot", {"strategy": "least_busy", "draw": 0.0}, ["openai", "anthropic", "ollama", "groq", "other"]),
    ("least busy: equal, another lot", {"strategy": "least_busy", "draw": 0.4}, ["ollama", "groq", "other", "openai", "anthropic"]),
    (
        "least busy",
        {"strategy": "least_busy", "standings": {"openai": S(in_flight=9), "groq": S(in_flight=1), "other": S(in_flight=2)}},
        ["anthropic", "ollama", "groq", "other", "openai"],
    ),
    ("balanced", {"strategy": "balanced"}, ["openai", "groq", "anthropic", "ollama", "other"]),
    ("hint local", {"hint": "local_preferred"}, ["ollama", "openai", "anthropic", "groq", "other"]),
    ("hint cloud", {"hint": "cloud_preferred"}, ["openai", "anthropic", "groq", "other", "ollama"]),
    ("hint quality", {"hint": "best_quality"}, ["openai", "other", "anthropic", "ollama", "groq"]),
    ("hint cheapest", {"hint": "cheapest"}, ["ollama", "groq", "openai", "anthropic", "other"]),
    ("a strategy goes before a hint", {"strategy": "quality", "hint": "cheapest"}, ["openai", "other", "anthropic", "ollama", "groq"]),
    (
        "measured, not promised",
        {"strategy": "speed", "standings": {"groq": S(first_byte=20.0, p95=40.0, samples=100)}},
        ["openai", "anthropic", "other", "ollama", "groq"],
    ),
    (
        "slow output counts",
        {"strategy": "speed", "standings": {"groq": S(tokens_per_second=1.0)}},
        ["openai", "anthropic", "other", "ollama", "groq"],
    ),
    (
        "errors slow down",
        {"strategy": "speed", "standings": {"groq": S(error_rate=0.6)}},
        ["openai", "anthropic", "other", "ollama", "groq"],
    ),
    (
        "a few measurements do not outweigh the prior",
        {"strategy": "speed", "standings": {"openai": S(first_byte=0.1, p95=0.1, samples=1)}},
        ["groq", "openai", "anthropic", "other", "ollama"],
    ),
    (
        "many do",
        {"strategy": "speed", "standings": {"openai": S(first_byte=0.1, p95=0.1, samples=100)}},
        ["openai", "groq", "anthropic", "other", "ollama"],
    ),
    (
        "preferred go first, by strategy",
        {"strategy": "cost_optimized", "preferred": ("anthropic", "openai")},
        ["anthropic", "openai", "ollama", "groq", "other"],
    ),
    (
        "an open circuit is left out",
        {"strategy": "cost_optimized", "standings": {"ollama": OPEN}},
        ["groq", "openai", "anthropic", "other"],
    ),
    ("an open circuit, quality", {"strategy": "quality", "standings": {"openai": OPEN}}, ["other", "anthropic", "ollama", "groq"]),
    (
        "a circuit whose time has come is tried",
        {"strategy": "quality", "standings": {"openai": S(blocked="circuit_open", available_at=999.0)}},
        ["openai", "other", "anthropic", "ollama", "groq"],
    ),
    (
        "a cooldown",
        {"strategy": "local_first", "standings": {"ollama": S(blocked="cooling_down", available_at=1001.0)}},
        ["openai", "anthropic", "groq", "other"],
    ),
    (
        "a quarantine",
        {"strategy": "local_first", "standings": {"openai": S(blocked="quarantined", available_at=1001.0)}},
        ["ollama", "anthropic", "groq", "other"],
    ),
    ("no rate left", {"strategy": "local_first", "standings": {"ollama": S(rate_headroom=0.0)}}, ["openai", "anthropic", "groq", "other"]),
    (
        "some rate left",
        {"strategy": "local_first", "standings": {"ollama": S(rate_headroom=0.01)}},
        ["ollama", "openai", "anthropic", "groq", "other"],
    ),
    ("full", {"strategy": "local_first", "standings": {"ollama": S(in_flight=4, limit=4.0)}}, ["openai", "anthropic", "groq", "other"]),
    ("max cost, unpriced left out", {"strategy": "quality", "max_cost": 4_000_000}, ["openai", "ollama", "groq"]),
    ("max cost 0: what is free", {"strategy": "quality", "max_cost": 0}, ["ollama"]),
    (
        "too slow by the 95th percentile",
        {"strategy": "quality", "max_latency": 2.0, "standings": {"openai": S(p95=3.0)}},
        ["other", "anthropic", "ollama", "groq"],
    ),
    ("private", {"strategy": "quality", "private": True}, ["ollama"]),
    (
        "on its ramp, its share has come",
        {"strategy": "quality", "draw": 0.1, "standings": {"openai": S(ramp=0.3)}},
        ["openai", "other", "anthropic", "ollama", "groq"],
    ),
    (
        "on its ramp, it has not",
        {"strategy": "quality", "draw": 0.5, "standings": {"openai": S(ramp=0.3)}},
        ["other", "anthropic", "ollama", "groq", "openai"],
    ),
    ("the settings", {"settings": RoutingSettings(strategy="quality")}, ["openai", "other", "anthropic", "ollama", "groq"]),
    ("local first by default", {}, ["ollama", "openai", "anthropic", "groq", "other"]),
]


@pytest.mark.parametrize(("name", "given", "wanted"), CASES, ids=[case[0] for case in CASES])
def test_who_is_asked_in_which_order(name: str, given: dict[str, object], wanted: list[str]) -> None:
    plan = made(**given)  # type: ignore[arg-type]
    assert providers(plan) == wanted
    assert {one.deployment.id for one in plan.rejected} | {one.deployment.id for one in plan.order} == {d.id for d in SHORT.values()}
    assert all(one.detail for one in plan.rejected)
    assert all(why(plan.strategy, choice) for choice in plan.order)
    assert plan.explanation.startswith(f"{plan.strategy} (")


def test_there_are_cases_for_every_strategy_and_hint() -> None:
    assert {str(given["strategy"]) for _, given, _ in CASES if "strategy" in given} == set(get_args(Strategy))
    assert {str(given["hint"]) for _, given, _ in CASES if "hint" in given} == set(get_args(Hint))
    assert len(CASES) >= 40


@pytest.mark.parametrize(("name", "strategy"), [*STRATEGY_ALIASES.items(), ("LOCAL-FIRST", "local_first"), (" speed ", "speed")])
def test_names_of_strategies(name: str, strategy: str) -> None:
    assert read_strategy(name) == strategy


def test_an_unknown_strategy_lists_what_there_is() -> None:
    with pytest.raises(ValueError, match="must be one of local_first, cost_optimized"):
        read_strategy("fastest")


def test_the_strategy_of_a_route_goes_before_that_of_the_settings() -> None:
    route = Entry(name="chat", candidates=ALL.candidates, strategy="quality")
    plan = made(entry=route, wish=Wish(model="chat"), settings=RoutingSettings(strategy="speed"))
    assert (plan.strategy, plan.because) == ("quality", "the route chat")


def test_fallbacks_stay_behind_whatever_the_strategy() -> None:
    plan = made("cost_optimized", entry=entry_of(ANTHROPIC, OPENAI, fallbacks=(UNPRICED, OLLAMA)))
    assert providers(plan) == ["openai", "anthropic", "other", "ollama"]
    assert [choice.group for choice in plan.order] == [0, 0, 1, 2]


def test_weights_share_the_traffic() -> None:
    weights = (1.0, 2.0, 5.0)
    route = entry_of(*(deployment(f"p{n}/m", weight=weight) for n, weight in enumerate(weights)))
    lots = random.Random(3)
    firsts = [providers(made("weighted", entry=route, draw=lots.random()))[0] for _ in range(4000)]
    for n, weight in enumerate(weights):
        assert firsts.count(f"p{n}") / 4000 == pytest.approx(weight / 8, abs=0.03)


@given(st.integers(2, 8), st.data())
def test_a_lot_is_a_permutation(count: int, data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0.01, 100), min_size=count, max_size=count))
    those = [deployment(f"p{n}/m", weight=weight) for n, weight in enumerate(weights)]
    fresh = [Standing()] * count
    draw = data.draw(st.floats(0, 1, exclude_max=True))
    assert sorted(order("weighted", None, those, fresh, Wish(), [0.0] * count, draw, 0)) == list(range(count))


@given(st.data())
def test_a_duel_says_what_the_order_says(data: st.DataObject) -> None:
    strategy = data.draw(st.sampled_from(sorted(DUELS)))
    pair = [
        deployment(
            f"p{n}/m",
            traits=data.draw(st.sets(st.sampled_from(["local", "fast", "slow"]))),
            price=data.draw(st.none() | st.tuples(st.integers(0, 3), st.integers(0, 3))),
            quality=data.draw(st.integers(0, 2)),
            weight=data.draw(st.sampled_from([0.5, 1.0, 3.0])),
        )
        for n in range(2)
    ]

    class Stands:
        """A live deployment, as far as duels look at it."""

        def __init__(self, n: int) -> None:
            self.deployment = pair[n]
            self.in_flight = data.draw(st.integers(0, 3))
            self.first_byte = self.p95 = data.draw(st.none() | st.floats(0.1, 9))
            self.tokens_per_second = data.draw(st.none() | st.floats(1, 100))
            self.error_rate = data.draw(st.floats(0, 1))
            self.samples, self.ramp = 9, 1.0

    lives = [Stands(0), Stands(1)]
    wish = Wish(input_tokens=data.draw(st.integers(0, 9)), max_output=data.draw(st.integers(1, 9)))
    draw, turn = data.draw(st.floats(0, 1, exclude_max=True)), data.draw(st.integers(0, 9))
    places = order(strategy, None, pair, lives, wish, scores(strategy, pair, lives, wish), draw, turn)
    assert DUELS[strategy](lives[0], lives[1], wish, draw, turn) == (places == [1, 0])  # type: ignore[arg-type]


def test_every_strategy_has_a_score() -> None:
    assert set(SCORES) | {"balanced"} == {*get_args(Strategy), "cloud_first"}


# Stickiness


def stuck(those: list[str], key: str, strategy: Strategy = "round_robin", draw: float = 0.3, turn: int = 2) -> str:
    route = Entry(name="chat", candidates=entry_of(*(deployment(name) for name in those)).candidates, strategy=strategy, sticky="session")
    return made(entry=route, wish=Wish(model="chat", session=key), draw=draw, turn=turn).order[0].deployment.id


@pytest.mark.parametrize("strategy", ["round_robin", "weighted", "least_busy", "quality"])
@given(key=st.text(min_size=1, max_size=20), draw=st.floats(0, 1, exclude_max=True), turn=st.integers(0, 99))
def test_a_session_stays_where_it_is(strategy: Strategy, key: str, draw: float, turn: int) -> None:
    those = ["a/m", "b/m", "c/m"]
    assert stuck(those, key, strategy, draw, turn) == stuck(those, key, strategy)


def test_one_more_deployment_moves_its_share_alone() -> None:
    before, after = ["a/m", "b/m", "c/m"], ["a/m", "b/m", "c/m", "d/m"]
    keys = [f"session-{n}" for n in range(2000)]
    moved = [(stuck(before, key), now) for key in keys if (now := stuck(after, key)) != stuck(before, key)]
    assert {now for _, now in moved} == {"d/m"}
    assert len(moved) / len(keys) == pytest.approx(1 / 4, abs=0.04)


def test_rendezvous_follows_the_weights() -> None:
    those = [deployment("a/m", weight=1.0), deployment("b/m", weight=3.0)]
    firsts = [rendezvous(str(n), those) for n in range(3000)]
    assert sum(b < a for a, b in firsts) / 3000 == pytest.approx(0.75, abs=0.03)


def test_stickiness_is_a_modifier_and_not_a_strategy() -> None:
    route = Entry(name="chat", candidates=entry_of(OPENAI, ANTHROPIC, GROQ).candidates, strategy="cost_optimized", sticky="session")
    assert {made(entry=route, wish=Wish(model="chat", session=str(n))).order[0].deployment.provider for n in range(50)} == {"groq"}


def test_without_a_key_nothing_sticks() -> None:
    route = Entry(name="chat", candidates=entry_of(OPENAI, ANTHROPIC).candidates, strategy="round_robin", sticky="prefix")
    plans = [made(entry=route, wish=Wish(model="chat", session="here"), turn=turn) for turn in range(2)]
    assert [providers(plan)[0] for plan in plans] == ["openai", "anthropic"]
    assert plans[0].sticky is None
