"""The router as a whole: names, bounds, replacement, headroom."""

from __future__ import annotations

import random
import time

import pytest
from msgspec.structs import replace

from headgate.catalog.load import load_catalog
from headgate.config.route_settings import DeploymentSettings, RouteSettings, RoutingSettings
from headgate.errors import ConfigError, ErrorKind, MissingKey, ProviderError
from headgate.router import WELL, Fallback, GiveUp, Report, Router, RoutingTable, Wants, Wish
from headgate.router.router import REMEMBERED
from headgate.testing.routes import sim_router, surroundings

CATALOG = load_catalog()
CHAT = Wish(model="chat")


@pytest.fixture
def router() -> Router:
    return sim_router(CATALOG)


def fail(router: Router, times: int, kind: ErrorKind, now: float = 0.0) -> None:
    """Let the first deployment of the route fail."""
    for _ in range(times):
        flight = router.begin(router.table.entries["chat"].candidates[0].deployment, now)
        if flight is not None:
            flight.ended(Report(kind=kind), now, 0.5)


def test_a_request_from_plan_to_end(router: Router) -> None:
    plan = router.plan(CHAT, 0.0)
    started = router.start(plan, 0.0)
    assert started is not None
    choice, flight = started
    assert choice.deployment.id == "sim-openai/sim-small"
    flight.ended(Report(kind=ErrorKind.SERVER), 0.1, 0.5)
    decision = router.next(plan, [choice.deployment.id], ProviderError(ErrorKind.SERVER, "x"), 0.1, 60.0)
    assert isinstance(decision, Fallback)
    assert decision.choice.deployment.id == "sim-anthropic/sim-small"
    second = router.begin(decision.choice.deployment, 0.1)
    assert second is not None
    second.first_byte(0.4)
    second.ended(WELL, 0.5, 0.5)
    assert router.snapshot(1.0)["sim-anthropic/sim-small"].first_byte == pytest.approx(0.3)


def test_who_has_fallen_ill_since_is_not_fallen_back_to(router: Router) -> None:
    plan = router.plan(CHAT, 0.0)
    fail(router, 5, ErrorKind.SERVER)
    decision = router.next(plan, ["sim-anthropic/sim-small"], ProviderError(ErrorKind.AUTH, "x"), 0.1, 60.0)
    assert isinstance(decision, Fallback)
    assert decision.choice.deployment.id == "sim-groq/sim-large"
    started = router.start(plan, 0.1)
    assert started is not None
    assert started[0].deployment.id == "sim-anthropic/sim-small"


def test_content_ends_it(router: Router) -> None:
    plan = router.plan(CHAT, 0.0)
    decision = router.next(plan, ["sim-openai/sim-small"], ProviderError(ErrorKind.SERVER, "x"), 0.1, 60.0, content=True)
    assert isinstance(decision, GiveUp)


@pytest.mark.parametrize(
    ("kind", "told", "wait"),
    [
        (ErrorKind.RATE_LIMIT, None, 0.65),
        (ErrorKind.RATE_LIMIT, 7.0, 7.0),
        (ErrorKind.SERVER, None, None),
        (ErrorKind.OVERLOADED, None, None),
    ],
)
def test_a_limit_without_a_hint_is_told_with_our_own_wait(router: Router, kind: ErrorKind, told: float | None, wait: float | None) -> None:
    """Translation case 85."""
    plan = router.plan(Wish(model="sim-openai/sim-small"), 0.0)
    started = router.start(plan, 0.0)
    assert started is not None
    started[1].ended(Report(kind=kind, retry_after=told), 0.0, 0.5)
    tried = ["sim-openai/sim-small"] * router.settings.attempts
    decision = router.next(plan, tried, ProviderError(kind, "x", retry_after=told), 0.1, 60.0)
    assert isinstance(decision, GiveUp)
    assert (decision.retry_after, decision.should_retry) == (None if wait is None else pytest.approx(wait), False)


def test_a_hedge_takes_from_the_budget() -> None:
    route = RouteSettings(
        name="chat", deployments=tuple(DeploymentSettings(model=f"{p}/sim-small") for p in ("sim-openai", "sim-groq")), hedge=1.0
    )
    router = Router(RoutingTable(surroundings(CATALOG, routes=(route,))), random.random)
    plan = router.plan(CHAT, 0.0)
    found = [router.hedge(plan, ["sim-openai/sim-small"], 1.5, 2.0) for _ in range(5)]
    assert [choice is not None for choice in found] == [True, True, True, False, False]
    assert router.hedge(plan, ["sim-openai/sim-small"], 0.5, 2.0) is None


def test_explaining_changes_nothing_and_says_the_same(router: Router) -> None:
    said = router.explain(CHAT, 0.0)
    assert [c.deployment.id for c in said.order] == [c.deployment.id for c in router.plan(CHAT, 0.0).order]
    assert all(choice.score is not None for choice in said.order)


def test_headroom(router: Router) -> None:
    router.plan(CHAT, 0.0)
    router.headroom("sim-openai/sim-small", rate=0.0)
    assert router.plan(CHAT, 0.0).first.id == "sim-anthropic/sim-small"  # type: ignore[union-attr]
    router.headroom("sim-openai/sim-small", budget=0)
    assert {one.reason for one in router.plan(CHAT, 0.0).rejected} == {"budget"}
    router.headroom("sim-openai/sim-small")
    assert not router.plan(CHAT, 0.0).rejected
    router.headroom("not/there", rate=0.0)


def test_another_table_keeps_the_health_of_what_stays(router: Router) -> None:
    fail(router, 5, ErrorKind.SERVER)
    fail(router, 1, ErrorKind.AUTH)
    router.begin(router.table.entries["chat"].candidates[1].deployment, 0.0)
    route = RouteSettings(name="chat", deployments=(DeploymentSettings(model="sim-openai/sim-small", concurrency=3),))
    router.replace(RoutingTable(surroundings(CATALOG, routes=(route,))))
    assert router.snapshot(0.1)["sim-openai/sim-small"].blocked == "circuit_open"
    assert router.snapshot(0.1)["sim-openai/sim-small"].limit == 3.0
    assert set(router.snapshot(0.1)) == {"sim-openai/sim-small", "sim-anthropic/sim-small"}


def test_a_new_table_gives_a_refused_key_another_chance(router: Router) -> None:
    fail(router, 1, ErrorKind.AUTH)
    assert router.plan(CHAT, 0.1).first.id == "sim-anthropic/sim-small"  # type: ignore[union-attr]
    router.replace(router.table)
    assert router.plan(CHAT, 0.1).first.id == "sim-openai/sim-small"  # type: ignore[union-attr]


def test_names_of_clients_do_not_fill_the_memory() -> None:
    route = RouteSettings(name="chat", deployments=(DeploymentSettings(model="sim-openai/sim-small"),))
    router = Router(RoutingTable(surroundings(CATALOG, routes=(route,), keys=("ollama",))), random.random)
    for n in range(3 * REMEMBERED):
        wish = Wish(model=f"ollama/made-up-{n}:1b", needs=frozenset({"tools"}))
        plan = router.plan(wish, 0.0)
        assert plan.first is not None
    assert len(router.snapshot(0.0)) <= REMEMBERED + 3
    assert router.plan(CHAT, 0.0).first is not None


def test_a_name_that_stands_for_nothing(router: Router) -> None:
    with pytest.raises(ConfigError, match="unknown model"):
        router.plan(Wish(model="nothing-like-it"), 0.0)


def test_no_key(router: Router) -> None:
    wish = Wish(model="openai/gpt-4o")
    plan = router.plan(wish, 0.0)
    assert plan.order == ()
    assert isinstance(router.refusal(plan, wish), MissingKey)


def test_a_panic_is_one_try_a_second(router: Router) -> None:
    entry = router.table.entries["chat"]
    for candidate in entry.candidates:
        for _ in range(5):
            flight = router.begin(candidate.deployment, 0.0)
            assert flight is not None
            flight.ended(Report(kind=ErrorKind.SERVER), 0.0, 0.5)
    assert router.explain(CHAT, 0.1).panic
    plans = [router.plan(CHAT, 0.1) for _ in range(3)]
    assert [plan.panic for plan in plans] == [True, False, False]
    told = router.explain(CHAT, 0.1)
    assert (told.panic, told.order, told.retry_after) == (False, (), pytest.approx(0.4))
    started = router.start(plans[0], 0.1)
    assert started is not None
    assert plans[1].retry_after == pytest.approx(0.4)
    assert router.start(plans[0], 0.1) is None


def test_a_plan_is_cheap() -> None:
    route = RouteSettings(
        name="chat", deployments=tuple(DeploymentSettings(model=f"{p}/sim-small") for p in ("sim-openai", "sim-groq")), strategy="weighted"
    )
    router = Router(RoutingTable(surroundings(CATALOG, routes=(route,))), random.random)
    wish = Wish(model="chat", input_tokens=100, max_output=100, needs=frozenset({"tools"}))
    best = 1.0
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(1000):
            router.plan(wish, 0.0)
        best = min(best, time.perf_counter() - start)
    assert best / 1000 < 20e-6  # measured: below 1 microsecond; the bound leaves room for a busy machine


def test_wants_take_the_long_way_and_agree(router: Router) -> None:
    plan = router.plan(replace(CHAT, wants=Wants(hint="best_quality")), 0.0)
    assert plan.strategy == "quality"
    assert plan.because == "the request's hint best_quality"


def test_the_line_of_a_decision_names_nobody(router: Router) -> None:
    wish = Wish(model="chat", session="mallory@example.com")
    line = router.decided(wish, router.plan(wish, 0.0), 1e9, 0.0)
    assert line.chosen == "sim-openai/sim-small"
    assert "mallory" not in repr(line)


def test_settings_of_the_router_are_those_of_its_table() -> None:
    router = Router(RoutingTable(surroundings(CATALOG, routing=RoutingSettings(attempts=1))), random.random)
    assert router.settings.attempts == 1
