"""The library's calls stay within budgets, in everybody's name, a user's, a tag's and a run's; names lead to routes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from headgate.catalog.load import load_catalog
from headgate.config.route_settings import DeploymentSettings, RouteSettings, RoutingSettings
from headgate.domain.cost import NANO
from headgate.domain.request import Request, user_message
from headgate.errors import BudgetExceeded, ProviderError, StoreError, UsageError
from headgate.ledger import Filter, Ledger
from headgate.ledger.budget_book import BudgetBook, read_budgets
from headgate.ledger.budgets import Budget
from headgate.library import AsyncClient, Client, LibraryParts, make_terms
from headgate.library.till import AT_ONCE, OWN_HINT
from headgate.router import Router
from headgate.sim.faults import Match, Rule, Status
from headgate.sim.server import Simulator
from headgate.testing.gateway import sim_table

MakeParts = Callable[[], LibraryParts]
MODEL, OTHER = "sim-openai/sim-small", "sim-anthropic/sim-small"
NOW = 1_800_000_000.0
CHAT = RouteSettings(name="chat", deployments=(DeploymentSettings(model=MODEL),), fallback=(OTHER,))


def put(ledger: Ledger, scope: str, nanos: int, action: str = "block") -> None:
    budget = msgspec.convert({"id": scope, "scope": scope, "limit_nanos": nanos, "window": "total", "action": action}, Budget)
    asyncio.run(BudgetBook(ledger.database).set_budget(budget))


def routed(parts: LibraryParts, draw: float = 0.0) -> LibraryParts:
    """The same with the route "chat" and retries that come at once."""
    table = sim_table(load_catalog(), RoutingSettings(attempts=3), (CHAT,))
    return msgspec.structs.replace(parts, router=Router(table, lambda: draw))


@pytest.fixture
def route(make_parts: MakeParts) -> Iterator[Client]:
    with Client(make_parts=lambda: routed(make_parts())) as client:
        yield client


@pytest.mark.parametrize("scope", ["global", "user:ann", "tag:nightly", "provider:sim-openai", f"model:{MODEL}", "run:r1", "user:*"])
def test_what_does_not_fit_is_not_sent(make_parts: MakeParts, ledger: Ledger, sim: Simulator, scope: str) -> None:
    put(ledger, scope, 10)
    asked = len(sim.requests)
    with Client(make_parts=make_parts, terms=make_terms("ann", ["nightly"], "r1", None)) as client:
        for call in (lambda: client.complete(MODEL, "Where?"), lambda: client.stream(MODEL, "Where?").__enter__()):
            with pytest.raises(BudgetExceeded, match="has no room") as caught:
                call()
            assert caught.value.budget == scope and caught.value.hint == f"headgate budgets set {scope} --limit USD"
            assert (caught.value.left_nanos, caught.value.resets_at) == (10, None)
    assert len(sim.requests) == asked and ledger.list() == ()
    with Client(make_parts=make_parts) as client:
        if scope.startswith(("user", "tag", "run")):
            client.complete(MODEL, "Where?")


def test_what_fits_is_settled_in_whose_name_it_was_asked(make_parts: MakeParts, ledger: Ledger) -> None:
    put(ledger, "user:ann", NANO)
    with Client(make_parts=make_parts, terms=make_terms("ann", ["nightly", "team-a"], "r1", None)) as client:
        answers = [client.complete(MODEL, "Where?"), client.complete(MODEL, "And then?")]
        with client.stream(MODEL, "Where?") as stream:
            assert "".join(stream)
        answers.append(stream.completion)
        vectors = client.embed(MODEL, ["one", "two"])
    spent = sum(answer.cost.nanos or 0 for answer in answers) + (vectors.cost.nanos or 0)
    (standing,) = BudgetBook(ledger.database).standings_now(("user:ann",), NOW)
    assert (standing.spent_nanos, standing.reserved_nanos) == (spent, 0)
    for receipt in ledger.list():
        assert (receipt.user, receipt.tags, receipt.run) == ("ann", ("nightly", "team-a"), "r1")
        assert receipt.bound_nanos is not None and receipt.cost_nanos is not None and receipt.cost_nanos <= receipt.bound_nanos
        assert receipt.explanation.startswith("local_first")


def test_a_client_has_a_budget_of_its_own(make_parts: MakeParts, ledger: Ledger) -> None:
    terms = make_terms(None, (), None, "0.000001")
    with Client(make_parts=make_parts, terms=terms) as client, pytest.raises(BudgetExceeded, match=r"\(\$0.000001 per total\)") as caught:
        client.complete(MODEL, "Where?")
    assert caught.value.hint == OWN_HINT
    assert asyncio.run(BudgetBook(ledger.database).budgets()) == ()
    with Client(make_parts=make_parts, terms=make_terms(None, (), "r1", "0.01")) as client:
        client.complete(MODEL, "Where?")
    (kept,) = asyncio.run(BudgetBook(ledger.database).in_force(NOW))
    assert (kept.budget.id, kept.budget.limit_nanos) == ("run:r1", 10_000_000)
    assert 0 < kept.balances[0].spent_nanos <= 10_000_000


def test_many_at_once_never_pass_the_limit(make_parts: MakeParts, ledger: Ledger) -> None:
    async def main() -> int:
        async with AsyncClient(make_parts=make_parts) as client:
            one = await client.complete(MODEL, "Where?", max_tokens=20)
            receipt = ledger.get(one.receipt_id)
            assert receipt is not None and receipt.bound_nanos is not None and receipt.cost_nanos is not None
            limit = receipt.cost_nanos + 5 * receipt.bound_nanos
            await BudgetBook(ledger.database).set_budget(Budget(id="global", scope="global", limit_nanos=limit, window="total"))
        async with AsyncClient(make_parts=make_parts) as client:
            ends = await asyncio.gather(*(client.complete(MODEL, "Where?", max_tokens=20) for _ in range(40)), return_exceptions=True)
        refused = [end for end in ends if isinstance(end, BaseException)]
        assert refused and all(isinstance(end, BudgetExceeded) for end in refused) and len(refused) < 40
        (standing,) = await BudgetBook(ledger.database).standings(("global",), NOW)
        assert standing.reserved_nanos == 0 and standing.spent_nanos <= limit
        return standing.spent_nanos

    assert asyncio.run(main()) > 0


def test_a_budget_that_clamps_shortens_the_answer(make_parts: MakeParts, ledger: Ledger) -> None:
    with Client(make_parts=make_parts) as client:
        bounds = []
        for most in (40, 400):
            receipt = ledger.get(client.complete(MODEL, "Tell me of the sea.", max_tokens=most).receipt_id)
            assert receipt is not None and receipt.bound_nanos is not None
            bounds.append(receipt.bound_nanos)
    put(ledger, "user:ann", bounds[0], "clamp")
    with Client(make_parts=make_parts, terms=make_terms("ann", (), None, None)) as client:
        answer = client.complete(MODEL, "Tell me of the sea.", max_tokens=400)
    (note,) = (note for note in answer.notes if note.field == "max_tokens")
    assert note.reason.startswith("a budget allows no more than ") and answer.usage.output_total <= 41


def test_what_has_no_bound_is_refused_under_a_hard_budget(make_parts: MakeParts, ledger: Ledger) -> None:
    put(ledger, "user:ann", NANO)
    request = Request(model=MODEL, messages=(user_message("Search."),), extra={"web_search_options": {}}, dialect="openai_chat")
    with Client(make_parts=make_parts, terms=make_terms("ann", (), None, None)) as client, pytest.raises(BudgetExceeded) as caught:
        client.complete(request)
    assert "no upper bound" in caught.value.message and caught.value.needed_nanos is None


def test_settings_of_another_folder_end_no_budgets(make_parts: MakeParts, ledger: Ledger) -> None:
    budget = Budget(id="global/day", scope="global", limit_nanos=NANO, window="day")
    for budgets in ((budget,), ()):
        with Client(msgspec.structs.replace(make_parts(), budgets=budgets)) as client:
            client.complete(MODEL, "Where?")
        assert ledger.database.read(read_budgets)[1] == (budget,)


def test_a_route_falls_back_and_is_one_receipt(route: Client, ledger: Ledger, sim: Simulator) -> None:
    sim.set_faults((Rule(Status("overloaded"), Match(provider="openai")),))
    answer = route.complete("chat", "Where?")
    with route.stream("chat", "Where?") as stream:
        assert "".join(stream)
    first, second = ledger.list()
    assert {first.id, second.id} == {answer.receipt_id, stream.completion.receipt_id}
    assert first.provider == second.provider == "sim-anthropic"
    assert [attempt.deployment for attempt in second.attempts][-1] == OTHER
    assert {attempt.kind for attempt in second.attempts[:-1]} == {"overloaded"}


def test_a_name_alone_is_asked_again(route: Client, ledger: Ledger, sim: Simulator) -> None:
    sim.set_faults((Rule(Status("server"), Match(nth=1)),))
    assert route.complete(MODEL, "Where?").text
    (receipt,) = ledger.list()
    assert [attempt.kind for attempt in receipt.attempts] == ["server", None]
    sim.set_faults((Rule(Status("server")),))
    with pytest.raises(ProviderError):
        route.complete(MODEL, "Where?")
    assert len(ledger.list()) == 2


def test_who_is_too_dear_is_passed_over(route: Client, ledger: Ledger) -> None:
    put(ledger, "provider:sim-openai", 10)
    assert route.complete("chat", "Where?").text
    (receipt,) = ledger.list()
    assert receipt.provider == "sim-anthropic" and len(receipt.attempts) == 1


def test_nothing_is_asked_while_the_ledger_cannot_be_written(make_parts: MakeParts, ledger: Ledger, sim: Simulator) -> None:
    asked = len(sim.requests)
    with Client(make_parts=make_parts) as client:
        ledger.close()
        with pytest.raises(StoreError):
            client.complete(MODEL, "Where?")
    assert len(sim.requests) == asked


@pytest.mark.parametrize(
    ("user", "tags", "run", "usd"),
    [("a b", (), None, None), (None, [""], None, None), (None, (), "/", None), (None, (), None, "x"), (None, (), None, -1)],
)
def test_terms_that_cannot_be(user: str | None, tags: tuple[str, ...], run: str | None, usd: str | None) -> None:
    with pytest.raises(UsageError):
        make_terms(user, tags, run, usd)


def test_the_journal_is_gone_when_the_client_is(make_parts: MakeParts, tmp_path: Path) -> None:
    with Client(make_parts=make_parts) as client:
        client.complete(MODEL, "Where?")
        assert list((tmp_path / "journal").iterdir())
    assert not [path for path in (tmp_path / "journal").iterdir() if path.suffix == ".journal"]


def test_more_calls_than_there_is_room_for_wait(make_parts: MakeParts, ledger: Ledger) -> None:
    async def main() -> None:
        async with AsyncClient(make_parts=make_parts) as client:
            asked = (client.complete(MODEL, "Where?", max_tokens=5) for _ in range(AT_ONCE + 40))
            answers = await asyncio.gather(*asked)
            assert all(answer.text for answer in answers)

    asyncio.run(main())
    assert len(ledger.list(Filter(limit=1000))) == AT_ONCE + 40
