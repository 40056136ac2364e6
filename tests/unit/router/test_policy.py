"""The policy: filters, health, panic, and the laws that hold for every plan."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from headgate.config.route_settings import STRATEGIES, RoutingSettings
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.errors import ConfigError, HeadgateError, MissingKey, ProviderError, Unsupported, UsageError
from headgate.router.explain import explain_plan
from headgate.router.filters import ABLE, FIXED, MOMENTARY
from headgate.router.policy import decide, overtaken
from headgate.router.refusal import PRECEDENCE, refusal_of
from headgate.router.router import Router
from headgate.router.table import RoutingTable
from headgate.router.values import HEALTH, Entry, Need, Plan, Reason, Standing, Wants, Wish
from headgate.testing.routes import deployment, entry_of
from headgate.wire.json import encode

NOW = 1000.0
ABLE_MODEL = Capabilities(context=1000, max_output=100)
PLAIN = deployment("a/plain", capabilities=ABLE_MODEL)
UNABLE = deployment(
    "b/unable",
    capabilities=Capabilities(
        context=1000,
        max_output=100,
        tools=False,
        vision=False,
        documents=False,
        structured_output="none",
        logprobs=False,
        choices=False,
        streaming=False,
        prefill=False,
    ),
)


def plan_for(wish: Wish, *candidates: object, standings: dict[str, Standing] | None = None, panic: bool = True, **changes: object) -> Plan:
    """A plan over deployments, or over an entry."""
    entry = candidates[0] if isinstance(candidates[0], Entry) else entry_of(*candidates)  # type: ignore[arg-type]
    return decide(wish, replace(entry, **changes), standings or {}, RoutingSettings(), 0.0, NOW, 0, panic)


def reasons(plan: Plan) -> dict[str, str]:
    return {one.deployment.id: one.reason for one in plan.rejected}


@pytest.mark.parametrize("need", sorted(ABLE))
def test_what_a_model_cannot_do_it_is_not_asked(need: Need) -> None:
    plan = plan_for(Wish(needs=frozenset({need})), UNABLE)
    assert reasons(plan) == {"b/unable": "capability"}
    assert need in plan.rejected[0].detail
    able = replace(UNABLE, capabilities=Capabilities(audio=True, reasoning="effort"))
    assert not plan_for(Wish(needs=frozenset({need})), able).rejected


FILTERS: list[tuple[Wish, object, Reason]] = [
    (Wish(operation="embed"), deployment("a/m", capabilities=ABLE_MODEL), "operation"),
    (Wish(allowed=("openai/*", "chat")), PLAIN, "not_allowed"),
    (Wish(bound=("a", "eu")), PLAIN, "bound"),
    (Wish(wants=Wants(private=True)), PLAIN, "private"),
    (Wish(wants=Wants(region="eu")), PLAIN, "region"),
    (Wish(wants=Wants(region="eu")), replace(PLAIN, region="us"), "region"),
    (Wish(input_tokens=950, max_output=51), PLAIN, "context"),
    (Wish(max_output=101), PLAIN, "context"),
    (Wish(), replace(PLAIN, missing="no key for A: A_KEY is not set"), "no_key"),
    (Wish(budget=199_999, max_output=100), PLAIN, "budget"),
    (Wish(budget=10**15), replace(PLAIN, prices=()), "budget"),
    (Wish(wants=Wants(max_cost=1)), PLAIN, "max_cost"),
]


@pytest.mark.parametrize(("wish", "one", "reason"), FILTERS)
def test_hard_filters(wish: Wish, one: object, reason: Reason) -> None:
    kinded = replace(one, kind="chat")  # type: ignore[type-var]
    plan = plan_for(wish, kinded)
    assert reasons(plan) == {kinded.id: reason}  # type: ignore[attr-defined]
    assert isinstance(refusal_of(plan, "chat"), HeadgateError)


KEPT = [
    (Wish(allowed=("a/*",)), PLAIN),
    (Wish(model="chat", allowed=("chat",)), PLAIN),
    (Wish(bound=("a", None)), PLAIN),
    (Wish(wants=Wants(private=True)), deployment("x/m", traits=("local",))),
    (Wish(wants=Wants(region="eu")), replace(PLAIN, region="eu")),
    (Wish(input_tokens=900, max_output=100), PLAIN),
    (Wish(input_tokens=None, max_output=100), PLAIN),
    (Wish(budget=200_000, max_output=100), PLAIN),
    (Wish(budget=0, max_output=100), deployment("x/m", price=(0, 0))),
]


@pytest.mark.parametrize(("wish", "one"), KEPT)
def test_what_passes_the_filters(wish: Wish, one: object) -> None:
    assert not plan_for(wish, one).rejected


def test_a_model_that_was_named_is_asked_whatever_it_lacks() -> None:
    wish = Wish(needs=frozenset({"tools"}), max_output=5000)
    assert not plan_for(wish, UNABLE, explicit=True).rejected
    assert reasons(plan_for(replace(wish, wants=Wants(private=True)), UNABLE, explicit=True)) == {"b/unable": "private"}


def test_vectors_never_come_from_another_model() -> None:
    small, twin, large = (
        replace(deployment(id, family=f), kind="embedding") for id, f in (("a/small", "s"), ("b/small", "s"), ("a/large", "l"))
    )
    plan = plan_for(Wish(operation="embed"), small, large, twin)
    assert [choice.deployment.id for choice in plan.order] == ["a/small", "b/small"]
    assert reasons(plan) == {"a/large": "other_embedding"}
    ill = {"a/small": Standing(blocked="circuit_open", available_at=NOW + 5)}
    assert [c.deployment.id for c in plan_for(Wish(operation="embed"), small, large, twin, standings=ill).order] == ["b/small"]
    keyless = replace(small, missing="no key")
    assert reasons(plan_for(Wish(operation="embed"), keyless, large)) == {"a/small": "no_key", "a/large": "other_embedding"}


def test_a_long_text_gets_no_other_model_s_vector() -> None:
    short = deployment("a/short", family="short", capabilities=replace(ANY_MODEL, context=100))
    wide = deployment("a/wide", family="wide")
    long = Wish(operation="embed", input_tokens=1000)
    assert reasons(plan_for(long, short, wide)) == {"a/short": "context", "a/wide": "other_embedding"}
    chat = replace(short, kind="chat")
    assert [one.deployment.id for one in plan_for(long, chat, wide).order] == ["a/wide"]
    plan = plan_for(replace(long, allowed=("a/wide",)), short, wide)
    assert [one.deployment.id for one in plan.order] == ["a/wide"]


# Health


def ill(at: float, blocked: str = "circuit_open", **more: object) -> Standing:
    return Standing(blocked=blocked, available_at=at, **more)  # type: ignore[arg-type]


A, B, C, D = (deployment(f"{name}/m") for name in "abcd")


def test_when_all_are_ill_the_best_one_is_tried() -> None:
    plan = plan_for(Wish(), A, B, standings={"a/m": ill(NOW + 9), "b/m": ill(NOW + 3)})
    assert ([c.deployment.id for c in plan.order], plan.panic, plan.retry_after) == (["b/m"], True, None)
    assert reasons(plan) == {"a/m": "circuit_open"}


def test_or_the_earliest_time_is_said() -> None:
    plan = plan_for(Wish(), A, B, standings={"a/m": ill(NOW + 9), "b/m": ill(NOW + 3)}, panic=False)
    assert (plan.order, plan.panic, plan.retry_after) == ((), False, 3.0)
    error = refusal_of(plan, "chat")
    assert isinstance(error, ProviderError)
    assert (error.status, error.retry_after, error.code) == (503, 3.0, "no_healthy_deployment")


def test_panic_respects_a_refused_key_a_wish_to_wait_and_a_probe_under_way() -> None:
    standings = {"a/m": ill(NOW + 9, "quarantined"), "b/m": ill(NOW + 5, "cooling_down"), "c/m": ill(NOW + 30, probing=True)}
    plan = plan_for(Wish(), A, B, C, standings=standings)
    assert (plan.order, plan.retry_after) == ((), 5.0)


def test_not_more_than_half_a_group_is_left_out_for_partial_failure() -> None:
    rates = {"a": 0.5, "b": 0.9, "c": 0.6, "d": 0.7}
    standings = {f"{name}/m": ill(NOW + 3, "ejected", error_rate=rate) for name, rate in rates.items()}
    plan = plan_for(Wish(), A, B, C, D, standings=standings)
    assert [choice.deployment.id for choice in plan.order] == ["a/m", "c/m"]
    assert reasons(plan) == {"b/m": "ejected", "d/m": "ejected"}
    assert not plan_for(Wish(), A, standings={"a/m": ill(NOW + 3, "ejected")}).rejected


# Laws


@st.composite
def standings(draw: st.DrawFn) -> Standing:
    blocked = draw(st.sampled_from(["", "", "", "circuit_open", "cooling_down", "quarantined", "ejected"]))
    return Standing(
        blocked=blocked,
        available_at=draw(st.sampled_from([0.0, NOW - 1, NOW + 1, NOW + 60])) if blocked else 0.0,
        probing=blocked != "" and draw(st.booleans()),
        in_flight=draw(st.integers(0, 5)),
        limit=draw(st.none() | st.integers(1, 5)),
        first_byte=draw(st.none() | st.floats(0.001, 100)),
        p95=draw(st.none() | st.floats(0.001, 100)),
        tokens_per_second=draw(st.none() | st.floats(0.1, 1000)),
        error_rate=draw(st.floats(0, 1)),
        samples=draw(st.integers(0, 100)),
        ramp=draw(st.floats(0.1, 1)),
        rate_headroom=draw(st.none() | st.floats(-1, 1)),
        budget=draw(st.none() | st.integers(0, 10**7)),
    )


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Wish, Entry, dict[str, Standing]]:
    count = draw(st.integers(0, 6))
    those = [
        deployment(
            f"p{n}/m{n % 2}",
            traits=draw(st.sets(st.sampled_from(["local", "fast", "ultra_fast"]))),
            price=draw(st.none() | st.tuples(st.integers(0, 9000), st.integers(0, 9000))),
            quality=draw(st.integers(0, 3)),
            weight=draw(st.floats(0.1, 10)),
            missing=draw(st.sampled_from([None, None, None, "no key"])),
            capabilities=draw(st.sampled_from([ABLE_MODEL, UNABLE.capabilities, Capabilities()])),
        )
        for n in range(count)
    ]
    cut = draw(st.integers(0, count))
    entry = replace(entry_of(*those[:cut], fallbacks=those[cut:]), sticky=draw(st.sampled_from([None, "session", "prefix"])))
    wants = Wants(
        strategy=draw(st.none() | st.sampled_from(STRATEGIES)),  # type: ignore[arg-type]
        hint=draw(st.none() | st.sampled_from(["cheapest", "cloud_preferred"])),  # type: ignore[arg-type]
        preferred=tuple(draw(st.lists(st.sampled_from(["p0", "p1", "p9"]), max_size=2))),
        max_cost=draw(st.none() | st.integers(0, 10**7)),
    )
    wish = Wish(
        model="chat",
        operation=draw(st.sampled_from(["chat", "chat", "embed"])),
        input_tokens=draw(st.none() | st.integers(0, 1200)),
        max_output=draw(st.none() | st.integers(1, 200)),
        needs=draw(st.frozensets(st.sampled_from(["tools", "vision"]))),
        session=draw(st.none() | st.text(max_size=5)),
        prefix=draw(st.none() | st.text(max_size=5)),
        wants=draw(st.none() | st.just(wants)),
    )
    return wish, entry, {one.id: draw(standings()) for one in those if draw(st.booleans())}


@given(worlds(), st.floats(0, 1, exclude_max=True), st.integers(0, 20), st.booleans())
def test_every_candidate_is_in_the_order_or_rejected(
    world: tuple[Wish, Entry, dict[str, Standing]], draw: float, turn: int, panic: bool
) -> None:
    wish, entry, stand = world
    plan = decide(wish, entry, stand, RoutingSettings(), draw, NOW, turn, panic)
    asked, left = [c.deployment.id for c in plan.order], [r.deployment.id for r in plan.rejected]
    assert sorted([*asked, *left]) == sorted(candidate.deployment.id for candidate in entry.candidates)
    assert len(set(asked)) == len(asked)
    assert decide(wish, entry, stand, RoutingSettings(), draw, NOW, turn, panic) == plan
    groups = [choice.group for choice in plan.order]
    assert groups == sorted(groups)
    assert encode(explain_plan(plan, wish))
    if not plan.order:
        assert isinstance(refusal_of(plan, wish.model), HeadgateError)
    if plan.panic:
        assert len(plan.order) == 1
    if wish.operation == "embed":
        assert len({choice.deployment.family for choice in plan.order}) <= 1


@given(worlds(), st.integers(0, 2**32), st.integers(1, 4))
def test_what_was_worked_out_ahead_is_what_the_policy_says(world: tuple[Wish, Entry, dict[str, Standing]], seed: int, times: int) -> None:
    wish, entry, _ = world

    class Table(RoutingTable):
        """A table of one entry."""

        def __init__(self) -> None:
            self.deployments = {}

        @property
        def routing(self) -> RoutingSettings:
            return RoutingSettings()

        def find(self, name: str, provider: str | None = None) -> Entry:
            return entry

    router = Router(Table(), random.Random(seed).random)
    lots = random.Random(seed)
    for turn in range(1, times + 1):
        plan = router.plan(wish, NOW)
        said = decide(wish, entry, {}, RoutingSettings(), lots.random(), NOW, turn)
        assert [c.deployment.id for c in plan.order] == [c.deployment.id for c in said.order]
        assert {(r.deployment.id, r.reason) for r in plan.rejected} == {(r.deployment.id, r.reason) for r in said.rejected}
        assert plan.explanation == said.explanation


# Refusals

ERRORS: dict[Reason, type[HeadgateError]] = {
    "no_key": MissingKey,
    "not_allowed": ConfigError,
    "capability": Unsupported,
    "budget": Unsupported,
    "latency": UsageError,
    "rate_limit": ProviderError,
    "cooling_down": ProviderError,
    "overloaded": ProviderError,
}


def test_every_reason_has_a_place_and_an_error() -> None:
    named = {reason for reason, _ in FIXED} | {reason for reason, _ in MOMENTARY} | HEALTH | {"other_embedding"}
    assert set(PRECEDENCE) == named
    assert len(PRECEDENCE) == len(named)


@pytest.mark.parametrize(
    ("blocked", "status", "code"),
    [
        (("cooling_down",), 429, "deployments_busy"),
        (("cooling_down", "cooling_down"), 429, "deployments_busy"),
        (("quarantined", "cooling_down"), 429, "deployments_busy"),
        (("overloaded",), 503, "no_healthy_deployment"),
        (("circuit_open",), 503, "no_healthy_deployment"),
        (("quarantined",), 503, "no_healthy_deployment"),
        (("cooling_down", "circuit_open"), 503, "no_healthy_deployment"),
        (("cooling_down", "overloaded"), 503, "no_healthy_deployment"),
    ],
)
def test_only_where_limits_alone_are_in_the_way_the_client_is_told_to_slow_down(blocked: tuple[str, ...], status: int, code: str) -> None:
    """Translation case 85."""
    standings = {one.id: ill(NOW + 3 + place, word) for place, (one, word) in enumerate(zip((A, B), blocked, strict=False))}
    plan = plan_for(Wish(), *(A, B)[: len(blocked)], standings=standings, panic=False)
    error = refusal_of(plan, "chat")
    assert isinstance(error, ProviderError)
    assert (error.status, error.code, error.retry_after) == (status, code, 3.0)


def test_a_plan_that_was_overtaken_says_what_has_happened_since() -> None:
    plan = plan_for(Wish(), A, B, C)
    busy = Standing(in_flight=2, limit=2.0)
    later = overtaken(plan, {"a/m": ill(NOW + 4, "cooling_down"), "b/m": busy, "c/m": ill(NOW - 1)}, NOW)
    assert reasons(later) == {"a/m": "cooling_down", "b/m": "concurrency"}
    error = refusal_of(later, "chat")
    assert isinstance(error, ProviderError)
    assert (error.status, error.retry_after, later.order) == (429, 4.0, ())


@pytest.mark.parametrize("reason", sorted(ERRORS))
def test_the_error_of_a_plan_that_asks_nobody(reason: Reason) -> None:
    plan = plan_for(Wish(), replace(PLAIN, missing="x"))
    told = replace(plan, rejected=(replace(plan.rejected[0], reason=reason, detail="because"),))
    error = refusal_of(told, "chat")
    assert type(error) is ERRORS[reason]
    assert "chat" in error.message
