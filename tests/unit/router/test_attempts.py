"""What follows a failure: every kind, sent or not, with content or without."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from headgate.config.route_settings import RoutingSettings
from headgate.domain.capabilities import Capabilities
from headgate.errors import ConfigError, ErrorKind, ProviderError, Truncated, WireError
from headgate.router.attempts import (
    PATIENCE,
    RULES,
    Decision,
    Failure,
    Fallback,
    GiveUp,
    Progress,
    Retry,
    decide_hedge,
    decide_next,
    failure_of,
)
from headgate.router.values import Choice, Plan
from headgate.testing.routes import deployment

K = ErrorKind
ONE = deployment("a/m#one", capabilities=Capabilities(context=1000))
TWIN = deployment("a/m#two", capabilities=Capabilities(context=1000))
OTHER = deployment("b/large", capabilities=Capabilities(context=9000))
SAME_KEY = replace(deployment("a/n#one"), capabilities=Capabilities(context=500))
SETTINGS = RoutingSettings()
FIRST = Progress(tried=("a/m#one",))


def plan_of(*deployments: object, **changes: object) -> Plan:
    return Plan(name="chat", order=tuple(Choice(one) for one in deployments), **changes)  # type: ignore[arg-type]


ALONE, WITH_OTHER, WITH_TWIN = plan_of(ONE), plan_of(ONE, OTHER), plan_of(ONE, OTHER, TWIN)


def after(
    failure: Failure,
    plan: Plan = WITH_OTHER,
    progress: Progress = FIRST,
    settings: RoutingSettings = SETTINGS,
    deadline: float = 600.0,
    draw: float = 0.5,
) -> Decision:
    return decide_next(plan, progress, failure, settings, 0.0, deadline, draw)


def word(decision: Decision) -> str:
    if isinstance(decision, Fallback):
        return decision.choice.deployment.id
    return "again" if isinstance(decision, Retry) else "stop"


TABLE: dict[ErrorKind, tuple[str, str, str, str]] = {
    # alone: sent, not sent;      with another model: sent, not sent
    K.AUTH: ("stop", "stop", "b/large", "b/large"),
    K.PERMISSION: ("stop", "stop", "b/large", "b/large"),
    K.QUOTA: ("stop", "stop", "b/large", "b/large"),
    K.RATE_LIMIT: ("again", "again", "again", "again"),
    K.TIMEOUT: ("stop", "again", "b/large", "again"),
    K.CONNECTION: ("again", "again", "again", "again"),
    K.SERVER: ("again", "again", "again", "again"),
    K.OVERLOADED: ("again", "again", "again", "again"),
    K.BAD_REQUEST: ("stop", "stop", "stop", "stop"),
    K.CONTEXT_LENGTH: ("stop", "stop", "stop", "stop"),
    K.CONTENT_FILTER: ("stop", "stop", "stop", "stop"),
    K.NOT_FOUND: ("stop", "stop", "b/large", "b/large"),
    K.UNSUPPORTED: ("stop", "stop", "b/large", "b/large"),
    K.CANCELLED: ("stop", "stop", "stop", "stop"),
    K.UNKNOWN: ("stop", "stop", "b/large", "b/large"),
}


def test_the_table_has_every_kind() -> None:
    assert set(TABLE) == set(RULES) == set(ErrorKind)


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_kind_sent_and_not_sent(kind: ErrorKind) -> None:
    found = tuple(word(after(Failure(kind=kind, sent=sent), plan)) for plan in (ALONE, WITH_OTHER) for sent in (True, False))
    assert found == TABLE[kind]


@pytest.mark.parametrize("kind", list(ErrorKind))
@pytest.mark.parametrize("sent", [True, False])
def test_nothing_is_tried_again_once_the_client_has_content(kind: ErrorKind, sent: bool) -> None:
    decision = after(Failure(kind=kind, sent=sent), WITH_TWIN, replace(FIRST, content=True))
    assert isinstance(decision, GiveUp)
    assert "content" in decision.reason


@pytest.mark.parametrize("kind", [kind for kind, rule in RULES.items() if rule.other])
def test_another_deployment_of_the_same_model_goes_first(kind: ErrorKind) -> None:
    assert word(after(Failure(kind=kind), WITH_TWIN)) == "a/m#two"


@pytest.mark.parametrize(("kind", "wanted"), [(K.AUTH, "stop"), (K.QUOTA, "stop"), (K.PERMISSION, "a/n#one"), (K.NOT_FOUND, "a/n#one")])
def test_a_refused_key_is_not_used_for_another_model(kind: ErrorKind, wanted: str) -> None:
    assert word(after(Failure(kind=kind), plan_of(ONE, SAME_KEY))) == wanted


def test_a_deployment_is_asked_twice_and_then_left() -> None:
    twice = Progress(tried=("a/m#one", "a/m#one"))
    assert word(after(Failure(kind=K.SERVER), WITH_OTHER, twice)) == "b/large"
    assert word(after(Failure(kind=K.SERVER), ALONE, twice)) == "again"


def test_three_attempts_are_enough_and_the_client_is_told_not_to_add_its_own() -> None:
    decision = after(Failure(kind=K.SERVER), WITH_TWIN, Progress(tried=("a/m#one", "a/m#two", "b/large")))
    assert decision == GiveUp("3 attempts were made", None, should_retry=False)


def test_what_is_blocked_or_tried_is_not_asked() -> None:
    assert word(after(Failure(kind=K.AUTH), WITH_TWIN, replace(FIRST, blocked=frozenset({"a/m#two"})))) == "b/large"
    assert word(after(Failure(kind=K.AUTH), WITH_TWIN, Progress(tried=("a/m#two", "a/m#one")))) == "b/large"


def test_no_retry_without_budget() -> None:
    poor = replace(FIRST, retries=0.9)
    assert word(after(Failure(kind=K.SERVER), ALONE, poor)) == "stop"
    assert word(after(Failure(kind=K.SERVER), WITH_OTHER, poor)) == "b/large"


def test_a_short_wait_is_kept() -> None:
    assert after(Failure(kind=K.RATE_LIMIT, retry_after=1.0), draw=0.5) == Retry(1.5)


def test_a_long_wait_is_spent_elsewhere() -> None:
    assert word(after(Failure(kind=K.RATE_LIMIT, retry_after=PATIENCE + 1))) == "b/large"
    assert after(Failure(kind=K.RATE_LIMIT, retry_after=7.0), ALONE, draw=0.0) == Retry(7.0)


def test_a_wait_longer_than_the_deadline_goes_to_the_client_as_it_came() -> None:
    decision = after(Failure(kind=K.RATE_LIMIT, retry_after=90.0), ALONE, deadline=60.0)
    assert decision == GiveUp("nothing else can be tried in time", 90.0, None)
    assert word(after(Failure(kind=K.RATE_LIMIT, retry_after=90.0), deadline=60.0)) == "b/large"


def test_after_the_deadline_nothing_is_tried() -> None:
    assert word(after(Failure(kind=K.SERVER), WITH_TWIN, deadline=0.0)) == "stop"


def test_an_open_breaker_is_waited_for() -> None:
    assert after(Failure(kind=K.SERVER), ALONE, replace(FIRST, ready_at=3.0), draw=0.0) == Retry(3.0)
    assert word(after(Failure(kind=K.SERVER), WITH_OTHER, replace(FIRST, ready_at=3.0))) == "b/large"


def test_a_bad_certificate_is_not_asked_again() -> None:
    failure = Failure(kind=K.CONNECTION, code="tls_certificate", sent=False)
    assert word(after(failure, ALONE)) == "stop"
    assert word(after(failure)) == "b/large"


def test_a_long_prompt_goes_on_only_where_that_is_wanted_and_only_to_a_larger_model() -> None:
    larger = replace(SETTINGS, on_context_length="larger")
    assert word(after(Failure(kind=K.CONTEXT_LENGTH), WITH_TWIN, settings=larger)) == "b/large"
    assert word(after(Failure(kind=K.CONTEXT_LENGTH), plan_of(ONE, TWIN), settings=larger)) == "stop"


def test_filtered_content_goes_on_only_where_that_is_wanted() -> None:
    assert word(after(Failure(kind=K.CONTENT_FILTER), settings=replace(SETTINGS, on_content_filter="fallback"))) == "b/large"


def test_vectors_come_from_the_same_model() -> None:
    plan = plan_of(ONE, OTHER, TWIN, operation="embed")
    assert word(after(Failure(kind=K.AUTH), plan)) == "a/m#two"
    assert word(after(Failure(kind=K.AUTH), plan, replace(FIRST, blocked=frozenset({"a/m#two"})))) == "stop"


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (ProviderError(K.OVERLOADED, "x", retry_after=3.0, code="c"), Failure(kind=K.OVERLOADED, retry_after=3.0, code="c")),
        (ProviderError(K.TIMEOUT, "x", sent=False), Failure(kind=K.TIMEOUT, sent=False)),
        (Truncated("cut"), Failure(kind=K.SERVER)),
        (WireError("html"), Failure(kind=K.SERVER)),
        (WireError("ours", fault="local"), Failure(kind=K.BAD_REQUEST, sent=False)),
        (ConfigError("x"), Failure(kind=K.BAD_REQUEST, sent=False)),
    ],
)
def test_errors_as_failures(error: Exception, wanted: Failure) -> None:
    assert failure_of(error) == wanted  # type: ignore[arg-type]


GARBAGE = st.none() | st.floats() | st.sampled_from([-1.0, 0.0, 1e9, math.inf, -math.inf, math.nan])


@given(
    kind=st.sampled_from(list(ErrorKind)),
    hint=GARBAGE,
    sent=st.booleans(),
    tried=st.lists(st.sampled_from(["a/m#one", "a/m#two", "b/large"]), min_size=1, max_size=4),
    retries=st.floats(0, 10),
    deadline=st.floats(0, 1000),
    draw=st.floats(0, 1, exclude_max=True),
    attempts=st.integers(1, 5),
)
def test_whatever_a_provider_says(
    kind: ErrorKind, hint: float | None, sent: bool, tried: list[str], retries: float, deadline: float, draw: float, attempts: int
) -> None:
    failure = failure_of(ProviderError(kind, "x", retry_after=hint, sent=sent))
    progress = Progress(tried=tuple(tried), retries=retries)
    decision = after(failure, WITH_TWIN, progress, replace(SETTINGS, attempts=attempts), deadline, draw)
    if isinstance(decision, Retry):
        assert 0 <= decision.after < deadline
        assert retries >= 1
    if isinstance(decision, Fallback):
        assert decision.choice.deployment.id not in tried
    if isinstance(decision, GiveUp) and decision.retry_after is not None:
        assert math.isfinite(decision.retry_after)
        assert decision.retry_after >= 0
    if len(tried) >= attempts:
        assert isinstance(decision, GiveUp)


def test_hedging() -> None:
    plan = replace(WITH_TWIN, hedge=2.5)
    found = decide_hedge(plan, FIRST, 2.5)
    assert found is not None
    assert found.deployment.id == "a/m#two"
    assert decide_hedge(plan, FIRST, 2.4) is None
    assert decide_hedge(WITH_TWIN, FIRST, 99.0) is None
    assert decide_hedge(plan, replace(FIRST, retries=0.5), 2.5) is None
    assert decide_hedge(plan, replace(FIRST, content=True), 2.5) is None
    assert decide_hedge(plan, Progress(tried=("a/m#one", "a/m#two")), 9.0) is None
    assert decide_hedge(replace(WITH_OTHER, hedge=1.0), FIRST, 2.0) is None
