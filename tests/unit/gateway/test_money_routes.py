"""Receipts, usage, budgets and prices over HTTP: exact, paged, and of the asking tenant alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec
import pytest

from headgate.catalog.load import load_catalog
from headgate.errors import HeadgateError
from headgate.gateway.money_parts import MoneyParts
from headgate.gateway.money_routes import money_routes
from headgate.ledger import Ledger, Receipt
from headgate.ledger.budget_book import BudgetBook
from headgate.ledger.budgets import Budget
from headgate.ledger.principal import CALLER, Principal
from headgate.serving.envelopes import PLAIN, error_response
from headgate.serving.request import BytesBody, Request
from headgate.serving.response import Response
from headgate.serving.routes import Routes
from headgate.testing.gateway import sim_resolver
from headgate.testing.receipts import START, priced_receipt
from headgate.wire.json import Json, decode, encode

NOW = START + 3600.0
SCOPES = frozenset({"usage:read", "completions:read"})
WHO = {
    "red": Principal(key_id="k1", team="red", scopes=SCOPES, subjects=("global", "key:k1", "team:red")),
    "blue": Principal(key_id="k2", team="blue", scopes=SCOPES, models=("sim-*",), subjects=("global", "key:k2", "team:blue")),
    "alone": Principal(key_id="k3", scopes=SCOPES, subjects=("global", "key:k3")),
    "settings": CALLER,
    "admin": Principal(name="admin", scopes=frozenset({"admin"})),
}
OWNED = {"red": {"tenant": "team:red", "team": "red", "key": "k1"}, "blue": {"tenant": "team:blue", "team": "blue", "key": "k2"}}


class Told(NamedTuple):
    """What was answered."""

    status: int
    body: Json


Ask = Callable[..., Told]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.db")
    yield opened
    opened.close()


@pytest.fixture
def ask(ledger: Ledger) -> Ask:
    parts = MoneyParts(
        store=ledger.database,
        models=load_catalog().cards,
        resolve=sim_resolver("http://127.0.0.1:1"),
        clock=lambda: NOW,
        budgets=BudgetBook(ledger.database),
    )
    routes = Routes(money_routes(parts))

    def send(who: str, path: str, method: str = "GET", body: Json = None, **query: object) -> Told:
        data = b"" if body is None else body if isinstance(body, bytes) else encode(body)
        request = Request(method=method, path=path, query=urlencode(query), principal=WHO[who], reader=BytesBody(data))
        try:
            match = routes.find(method, path)
            inner = msgspec.structs.replace(request, params=match.params, body_limit=match.route.body_limit)
            answer = asyncio.run(match.route.endpoint(inner))
        except HeadgateError as error:
            answer = error_response(error, PLAIN)
        assert isinstance(answer, Response)
        return Told(answer.status, decode(answer.body))

    return send


@pytest.fixture
def made(ledger: Ledger) -> list[Receipt]:
    """Of red, of blue and of nobody in turn."""
    whose = (OWNED["red"], OWNED["blue"], {})
    receipts = [priced_receipt(number, **whose[number % 3]) for number in range(9)]
    for receipt in receipts:
        ledger.record_now(receipt)
    return receipts


SEEN = {"red": {0, 3, 6}, "blue": {1, 4, 7}, "alone": set(), "settings": {2, 5, 8}, "admin": set(range(9))}


@pytest.mark.parametrize("who", SEEN)
def test_everybody_sees_their_own(who: str, ask: Ask, made: list[Receipt]) -> None:
    listed = ask(who, "/v1/receipts")
    assert listed.status == 200
    assert [entry["id"] for entry in listed.body["data"]] == [made[number].id for number in sorted(SEEN[who], reverse=True)]
    for number, receipt in enumerate(made):
        told = ask(who, f"/v1/receipts/{receipt.id}")
        assert told.status == (200 if number in SEEN[who] else 404)
        if told.status == 404:
            assert told.body["error"]["code"] == "receipt_not_found"
            assert told.body["error"]["message"].replace(receipt.id, "ID") == ask(who, "/v1/receipts/no").body["error"]["message"].replace(
                "no'", "ID'"
            )
    assert ask(who, "/v1/usage").body["total"]["requests"] == len(SEEN[who])
    assert ask(who, "/v1/metrics", window="hour").body["total_requests"] == len(SEEN[who])


def test_filters_do_not_reach_over_the_wall(ask: Ask, made: list[Receipt]) -> None:
    assert ask("blue", "/v1/receipts", team="red").body["data"] == []
    assert ask("blue", "/v1/receipts", key="k1").body["data"] == []
    assert len(ask("admin", "/v1/receipts", team="red").body["data"]) == 3


def test_a_receipt_has_its_bill_and_its_story(ask: Ask, made: list[Receipt]) -> None:
    document = ask("red", f"/v1/receipts/{made[0].id}").body
    assert (document["object"], document["version"], document["usd"]) == ("receipt", 1, "0.0046")
    assert document["bill"]["charged_usd"] == document["bill"]["exact_usd"] == "0.0046"
    assert document["why"].startswith("At 2026-11-30T12:00:00.000Z key k1, team red asked for openai/gpt-5")


def test_pages(ask: Ask, made: list[Receipt]) -> None:
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = ask("admin", "/v1/receipts", limit=4, **after).body
        found += [entry["id"] for entry in page["data"]]
        if not page["has_more"]:
            assert page["next"] is None
            break
        after = {"after": page["next"]}
    assert found == [receipt.id for receipt in reversed(made)]


@pytest.mark.parametrize(
    ("path", "query", "param"),
    [
        ("/v1/receipts", {"limit": 0}, "limit"),
        ("/v1/receipts", {"limit": "1e3"}, "limit"),
        ("/v1/receipts", {"limit": "٣"}, "limit"),
        ("/v1/receipts", {"after": "x"}, "after"),
        ("/v1/receipts", {"after": "AAAA"}, "after"),
        ("/v1/receipts", {"status": "good"}, "status"),
        ("/v1/receipts", {"tenant": "team:red"}, "tenant"),
        ("/v1/receipts", {"start_date": "yesterday"}, "start_date"),
        ("/v1/receipts/x", {"a": 1}, "a"),
        ("/v1/usage", {"group_by": "model"}, "group_by"),
        ("/v1/usage", {"start_date": "2026-11-31"}, "start_date"),
        ("/v1/usage", {"start_date": "2026-12-01", "end_date": "2026-11-30"}, "start_date"),
        ("/v1/usage", {"start_date": "1971-01-01"}, "start_date"),
        ("/v1/metrics", {"window": "week"}, "window"),
        ("/v1/pricing", {"provider": "openai"}, "provider"),
    ],
)
def test_what_is_asked_wrongly_is_named(path: str, query: dict[str, object], param: str, ask: Ask) -> None:
    told = ask("red", path, **query)
    assert (told.status, told.body["error"]["code"], told.body["error"]["param"]) == (400, "invalid_parameter", param)


def test_usage(ask: Ask, ledger: Ledger) -> None:
    for number, cost in ((1, 1), (2, None), (1440 + 3, 10**9)):
        ledger.record_now(priced_receipt(number, cost_nanos=cost, status="ok" if cost else "error", **OWNED["red"]))
    told = ask("red", "/v1/usage", start_date="2026-11-30", end_date="2026-12-01", group_by="by_model").body
    sums = {"input_tokens": 6000, "cached_tokens": 2400, "output_tokens": 900, "reasoning_tokens": 0, "total_tokens": 6900}
    assert told["total"] == {"requests": 3, "errors": 1, **sums, "cost_usd": "1.000000001", "unpriced": 1}
    assert told["groups"] == [{"model": "openai/gpt-5", **told["total"]}]
    assert [(day["date"], day["cost_usd"]) for day in told["daily_costs"]] == [("2026-11-30", "0.000000001"), ("2026-12-01", "1.00")]
    first = ask("red", "/v1/usage", end_date="2026-11-30", group_by="by_key").body
    assert (first["start_date"], first["end_date"], first["total"]["cost_usd"]) == ("2026-11-01", "2026-11-30", "0.000000001")
    assert [entry["key"] for entry in first["groups"]] == ["k1"]


@pytest.mark.parametrize("group", ["total", "by_provider", "by_model", "by_key", "by_team", "by_user", "by_run", "by_day"])
def test_every_grouping_adds_up(group: str, ask: Ask, made: list[Receipt]) -> None:
    told = ask("admin", "/v1/usage", group_by=group).body
    assert sum(entry["requests"] for entry in told["groups"]) == (0 if group == "total" else 9)
    assert told["total"]["requests"] == 9


@pytest.mark.parametrize(("window", "count"), [("minute", 2), ("hour", 3), ("day", 4)])
def test_metrics(window: str, count: int, ask: Ask, ledger: Ledger) -> None:
    for number, age in enumerate((10, 3500, 80_000, 6 * 86400, 8 * 86400)):
        ledger.record_now(priced_receipt(number, at=NOW - age, cost_nanos=3))
    told = ask("settings", "/v1/metrics", window=window).body
    assert (told["total_requests"], told["total_cost_usd"]) == (count, f"0.{3 * count:09d}")
    assert (told["cost_per_request"], told["providers"]["openai"]["requests"]) == ("0.000000003", count)
    assert sum(bucket["requests"] for bucket in told["buckets"]) == count
    assert ask("alone", "/v1/metrics", window=window).body["cost_per_request"] is None


def test_budgets(ask: Ask, ledger: Ledger) -> None:
    assert ask("red", "/v1/budget").body["budgets"] == []
    for budget in (
        Budget(id="all", scope="global", limit_nanos=10**9, window="day"),
        Budget(id="red", scope="team:red", limit_nanos=0, window="month"),
        Budget(id="blue", scope="team:blue", limit_nanos=5, window="day"),
    ):
        asyncio.run(BudgetBook(ledger.database).set_budget(budget))
    told = ask("red", "/v1/budget").body
    assert {entry["budget"] for entry in told["budgets"]} == {"all", "red"}
    assert (told["daily"]["limit"], told["daily"]["alert_level"], told["daily"]["percentage"]) == ("1.00", "ok", 0.0)
    assert (told["monthly"]["alert_level"], told["monthly"]["can_proceed"], told["can_proceed"]) == ("critical", False, False)
    assert told["daily"]["starts"] == "2026-11-30T00:00:00.000Z" and told["daily"]["ends"] == "2026-12-01T00:00:00.000Z"
    assert told["thresholds"] == {"critical": 100, "warning": 90, "caution": 75}


def test_the_budget_of_a_run(ask: Ask, ledger: Ledger) -> None:
    ledger.record_now(priced_receipt(1, run="r", cost_nanos=5, **OWNED["red"]))
    assert ask("red", "/v1/budget/r").body == {
        "run_id": "r",
        "budget_set": False,
        "budget": None,
        "spent": "0.000000005",
        "remaining": None,
        "percent_used": None,
        "alert_level": "ok",
        "can_proceed": True,
    }
    told = ask("red", "/v1/budget", "POST", run_id="r", budget_usd="2.5")
    assert told == (200, ask("red", "/v1/budget/r").body)
    assert (told.body["budget_set"], told.body["budget"], told.body["remaining"], told.body["can_proceed"]) == (True, "2.50", "2.50", True)
    assert ask("red", "/v1/budget", "POST", run_id="r", budget_usd=3).body["budget"] == "3.00"
    assert not ask("blue", "/v1/budget/r").body["budget_set"]
    assert ask("blue", "/v1/budget/r").body["spent"] == "0.00"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"budget_usd": 1}, "run_id"),
        ({"run_id": "r"}, "budget_usd"),
        *(({"run_id": "r", "budget_usd": text}, "budget_usd") for text in ("0", "-1", "x", "nan", "inf", "1e-10", "1e99")),
    ],
)
def test_budgets_that_are_none(query: dict[str, object], param: str, ask: Ask) -> None:
    told = ask("red", "/v1/budget", "POST", **query)
    assert (told.status, told.body["error"]["param"]) == (400, param)
    assert ask("red", "/v1/budget", "POST", run_id="../x", budget_usd=1).status == 400
    assert ask("red", "/v1/budget/a/b").status == 400


def test_prices(ask: Ask) -> None:
    told = ask("red", "/v1/pricing", model="sim-openai/sim-small").body
    assert (told["rates"]["input"], told["rates"]["output"], told["priced"]) == ("0.15", "0.60", True)
    assert told["price_rule"].startswith("sim-openai/sim-small@") and told["price_digest"]
    everything = ask("red", "/v1/pricing").body["data"]
    assert {entry["model"] for entry in everything} == {card.name for card in load_catalog().cards if card.status != "retired"}
    assert any(not entry["priced"] and "rates" not in entry for entry in everything)
    assert {entry["provider"][:4] for entry in ask("blue", "/v1/pricing").body["data"]} == {"sim-"}


def test_what_is_hidden_is_not_there(ask: Ask) -> None:
    hidden, unknown = (ask("blue", "/v1/pricing", model=name) for name in ("openai/gpt-5", "openai/gpt-x"))
    assert (hidden.status, unknown.status) == (404, 404)
    assert hidden.body["error"]["message"].replace("gpt-5", "gpt-x") == unknown.body["error"]["message"]
    assert ask("blue", "/v1/estimate-cost", "POST", {"model": "openai/gpt-5", "tokens": 1}).status == 404


def test_an_estimate(ask: Ask) -> None:
    told = ask(
        "red",
        "/v1/estimate-cost",
        "POST",
        {"model": "sim-openai/sim-small", "input_tokens": 1_000_000, "output_tokens": 1000, "max_tokens": 2000},
    )
    assert told.status == 200
    assert (told.body["input_tokens"], told.body["output_tokens"]) == (
        {"value": 1_000_000, "basis": "given"},
        {"value": 1000, "basis": "given", "most": 2000},
    )
    realtime, batch = told.body["realtime"], told.body["batch"]
    assert (realtime["likely_usd"], batch["likely_usd"]) == ("0.1506", "0.0753")
    assert float(realtime["cached_usd"]) <= float(realtime["likely_usd"]) <= float(realtime["upper_bound_usd"])
    by_text = ask(
        "red", "/v1/estimate-cost", "POST", {"model": "sim-openai/sim-small", "messages": [{"role": "user", "content": "Hi"}]}
    ).body
    assert (by_text["input_tokens"]["basis"], by_text["output_tokens"]["basis"]) == ("estimated", "assumed")


def test_an_estimate_of_what_has_no_price(ask: Ask) -> None:
    unpriced = next(card for card in load_catalog().cards if not card.prices and card.status != "retired")
    told = ask("red", "/v1/estimate-cost", "POST", {"model": unpriced.name, "tokens": 10}).body
    assert told["realtime"].pop("priced") is False
    assert set(told["realtime"].values()) == {None}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tokens": 1}, "model"),
        ({"model": "sim-openai/sim-small"}, "input_tokens"),
        ({"model": "sim-openai/sim-small", "tokens": 1, "input_tokens": 1}, "input_tokens"),
        ({"model": "sim-openai/sim-small", "tokens": -1}, "tokens"),
        ({"model": "sim-openai/sim-small", "tokens": True}, "tokens"),
        ({"model": "sim-openai/sim-small", "tokens": 1.5}, "tokens"),
        ({"model": "sim-openai/sim-small", "tokens": 10**10}, "tokens"),
        ({"model": "sim-openai/sim-small", "tokens": 1, "prompt": ""}, "prompt"),
    ],
)
def test_estimates_that_cannot_be_made(body: Json, param: str, ask: Ask) -> None:
    told = ask("red", "/v1/estimate-cost", "POST", body)
    assert (told.status, told.body["error"]["param"]) == (400, param)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model": "x", "messages": 5}'])
def test_bodies_that_are_none(body: bytes, ask: Ask) -> None:
    assert ask("red", "/v1/estimate-cost", "POST", body).status in (400, 404)


SEARCH = {"limit": "12.50", "scope": "team:search", "window": "month", "action": "clamp"}


def test_an_administrator_makes_changes_and_ends_budgets(ask: Ask, ledger: Ledger) -> None:
    assert ask("admin", "/v1/budgets").body == {"object": "list", "data": []}
    made = ask("admin", "/v1/budgets/search/month", "PUT", SEARCH)
    expected = {"id": "search/month", **SEARCH, "thresholds": [75, 90, 100], "origin": "api", "balances": []}
    assert (made.status, made.body) == (200, expected)
    changed = ask("admin", "/v1/budgets/search/month", "PUT", {**SEARCH, "limit": "0", "thresholds": [50]})
    assert (changed.body["limit"], changed.body["thresholds"]) == ("0.00", [50])
    assert ask("admin", "/v1/budgets").body["data"] == [changed.body] == [ask("admin", "/v1/budgets/search/month").body]
    assert ask("admin", "/v1/budgets/search/month/alerts").body == {"object": "list", "data": []}
    assert ask("admin", "/v1/budgets/search/month", "DELETE").body == {"id": "search/month", "object": "budget", "ended": True}
    for method in ("GET", "DELETE"):
        assert ask("admin", "/v1/budgets/search/month", method).body["error"]["code"] == "budget_not_found"


@pytest.mark.parametrize(
    ("id", "body", "status"),
    [
        ("b", b"{", 400),
        ("b", {**SEARCH, "limit": "-1"}, 400),
        ("b", {**SEARCH, "limit": 3}, 400),
        ("b", {**SEARCH, "scope": "planet"}, 400),
        ("b", {**SEARCH, "window": "year"}, 400),
        ("b", {**SEARCH, "thresholds": [90, 50]}, 400),
        ("b", {**SEARCH, "more": 1}, 400),
        ("x" * 201, SEARCH, 400),
        ("b/alerts", SEARCH, 400),
        ("key:k1", {**SEARCH, "scope": "key:k1"}, 409),
    ],
)
def test_what_is_no_budget_is_refused(ask: Ask, id: str, body: Json, status: int) -> None:
    assert ask("admin", f"/v1/budgets/{id}", "PUT", body).status == status
    assert ask("admin", "/v1/budgets").body["data"] == []
