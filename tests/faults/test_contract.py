"""The gateway against its own description: requests made up from it, by the book and against it, to every route (faults D14, D18, H5, H7).

The law: no answer of 5xx that the description does not declare, every error in the envelope of its surface, and nothing held afterwards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings

from headgate.gateway.money_parts import MoneyParts
from headgate.gateway.money_routes import money_routes
from headgate.ledger.budget_book import BudgetBook
from headgate.serving.routes import Route
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import Gate, Rig, running_gateway
from headgate.testing.raw_http import KEY
from headgate.testing.ways import NOTHING, settled

DESCRIPTION = Path(__file__).resolve().parents[2] / "docs" / "reference" / "openapi.json"
ADMIN = "hg-admin-0123456789abcdef01234567"
DECLARED = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
schema = schemathesis.openapi.from_dict(DECLARED)
BY_SCOPE = {"completions:read": KEY, "models:read": KEY, "usage:read": KEY, "any": KEY, "keys:write": ADMIN, "metrics:read": ADMIN}
QUICK = settings(max_examples=4, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=400, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory, once: Gate) -> Iterator[Rig]:
    """A gateway with all of its routes."""
    folder = tmp_path_factory.mktemp("described")
    with running_gateway(folder, settings=SimSettings(seed=7), admin_key=ADMIN, gate=once, further=about_money) as rig:
        yield rig


def about_money(rig: Rig) -> tuple[Route, ...]:
    assert rig.parts is not None
    store, parts = rig.ledger.database, rig.parts
    return money_routes(MoneyParts(store=store, models=parts.models, resolve=parts.resolve, clock=parts.clock, budgets=BudgetBook(store)))


def keeps_the_contract(case: schemathesis.Case, rig: Rig) -> None:
    operation = case.operation.definition.raw
    key = BY_SCOPE.get(operation["x-headgate-scope"])
    sent = {} if key is None else {"authorization": f"Bearer {key}"}
    try:
        answer = case.call(base_url=rig.url, headers=sent, timeout=20)
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader, UnicodeEncodeError):
        return  # what no client can send
    said = f"{case.method} {answer.request.url}: {answer.status_code} {answer.text[:300]}"
    assert str(answer.status_code) in operation["responses"] or (answer.status_code < 500 and "default" in operation["responses"]), said
    if answer.status_code >= 400 and case.method != "HEAD" and operation["x-headgate-scope"] != "open":
        assert "message" in answer.json()["error"], said


@schema.parametrize()
@QUICK
def test_no_answer_is_undeclared(case: schemathesis.Case, described: Rig) -> None:
    described.calm()
    keeps_the_contract(case, described)


def test_nothing_is_held_after_all_that(described: Rig) -> None:
    assert settled(described) == NOTHING


@pytest.mark.proofs
@schema.parametrize()
@LONG
def test_no_answer_is_undeclared_at_length(case: schemathesis.Case, described: Rig) -> None:
    described.calm()
    keeps_the_contract(case, described)


def test_the_description_names_every_route(described: Rig) -> None:
    assert described.app is not None
    served = {f"{route.method} {route.path}" for route in described.app.routes.all}
    named = {f"{method.upper()} {path}".replace("/rotate", "") for path, methods in DECLARED["paths"].items() for method in methods}
    assert {re.sub(r"\{\w+\}", "*", name) for name in named} == served
