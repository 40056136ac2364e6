"""The log of decisions, and other policies over it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from headgate.catalog.load import load_catalog
from headgate.errors import UsageError
from headgate.router import Router, Wish
from headgate.router.features import Decided, decided_line, read_decided, simulate
from headgate.testing.routes import sim_router

SMALL, OTHER, LARGE = "sim-openai/sim-small", "sim-anthropic/sim-small", "sim-groq/sim-large"


@pytest.fixture(scope="module")
def router() -> Router:
    return sim_router(load_catalog())


def log(router: Router, count: int = 10, **changes: object) -> list[Decided]:
    """Decisions as they are logged, once read back."""
    wish = Wish(model="chat", input_tokens=1000, max_output=100, session="s")
    lines = [replace(router.decided(wish, router.plan(wish, 0.0), 1e9 + n, 0.0), **changes) for n in range(count)]
    return read_decided(decided_line(line) for line in lines)


def test_the_same_policy_decides_the_same(router: Router) -> None:
    found = simulate(log(router), router.table, "local_first", router.settings)
    assert (found.requests, found.moved, found.unplaced, found.unknown) == (10, 0, 0, 0)
    assert [(share.id, share.was, share.would_be) for share in found.shares] == [(SMALL, 10, 10)]
    assert found.cost_was == found.cost_would_be == 10 * (150 * 1000 + 600 * 100)


def test_another_policy_spreads_and_costs_what_it_costs(router: Router) -> None:
    found = simulate(log(router, chosen=LARGE), router.table, "round_robin", router.settings)
    assert found.moved == 10
    assert {share.id: share.would_be for share in found.shares} == {LARGE: 0, SMALL: 5, OTHER: 5}
    assert found.priced == 10
    assert found.cost_would_be < found.cost_was


def test_times_are_compared_where_the_log_knows_them(router: Router) -> None:
    lines = [*log(router, 4, duration=2.0, chosen=OTHER), *log(router, 4, duration=1.0)]
    found = simulate(lines, router.table, "local_first", router.settings)
    assert (found.timed, found.seconds_was, found.seconds_would_be) == (8, 1.5, 1.0)


def test_names_that_are_gone(router: Router) -> None:
    lines = [replace(line, wish=Wish(model="gone")) for line in log(router, 3)]
    found = simulate(lines, router.table, "speed", router.settings)
    assert (found.requests, found.unknown, found.shares) == (3, 3, ())


def test_a_line_that_is_none_is_named() -> None:
    with pytest.raises(UsageError, match="line 2 is no routing decision"):
        read_decided([b"\n", b"{}\n"])
