"""Tables of the documentation against the code, in both directions."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import msgspec
import pytest

from headgate.batch import config_reader
from headgate.batch.pipeline import Coercion, StepKind
from headgate.batch.pipeline_load import load_pipeline
from headgate.catalog.load import load_catalog
from headgate.cli import cli, exit_code
from headgate.dialects import batch_anthropic, batch_gemini, batch_openai_files
from headgate.errors import (
    BudgetExceeded,
    ConfigError,
    ErrorKind,
    HeadgateError,
    MissingKey,
    ProviderError,
    RunError,
    StoreError,
    Truncated,
    Unsupported,
    UsageError,
    WireError,
)
from headgate.gateway.endpoints.key_bodies import KeyBody
from headgate.gateway.endpoints.unserved import Unserved
from headgate.gateway.money_parts import MoneyParts
from headgate.gateway.money_routes import money_routes
from headgate.gateway.refusals import denied
from headgate.gateway.repeated import REPLAYED
from headgate.ledger import Ledger, receipt_json
from headgate.ledger.budget_book import BudgetBook
from headgate.ledger.budgets import Budget, Denied, Reason
from headgate.ledger.cost_line import cost_line
from headgate.ledger.keys import SCOPES
from headgate.ledger.limits import Full, What
from headgate.library.options import Options
from headgate.providers import PROVIDERS
from headgate.serving.app import REQUEST_ID
from headgate.sim import faults
from headgate.sim.server import Simulator
from headgate.testing.gateway import Rig, running_gateway
from headgate.testing.receipts import priced_receipt
from headgate.wire.json import encode_text

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CODE = re.compile(r"`([^`]+)`")


def page(name: str) -> str:
    """The text of a page of the documentation."""
    return (DOCS / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next."""
    return re.split(r"^#+ ", text.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row but the headers."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = {i - 1 for i, line in enumerate(lines) if re.fullmatch(r"[|\-: ]+", line)}
    kept = (line for i, line in enumerate(lines) if i not in heads and i - 1 not in heads)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in kept]


def words(text: str) -> set[str]:
    """Everything in backquotes."""
    return set(CODE.findall(text))


# Exit codes


EXITS: dict[int, tuple[HeadgateError, ...]] = {
    1: (StoreError(""), RunError(""), HeadgateError(""), WireError("", fault="local")),
    2: (UsageError(""), Unsupported(""), RunError("", exit_code=2)),
    3: (ConfigError(""), MissingKey("")),
    4: (ProviderError(ErrorKind.AUTH, ""), ProviderError(ErrorKind.PERMISSION, "")),
    6: (BudgetExceeded("", budget="day"),),
    7: (),
    5: (ProviderError(ErrorKind.CONNECTION, ""), ProviderError(ErrorKind.RATE_LIMIT, ""), Truncated(""), WireError("")),
}


def test_exit_codes() -> None:
    documented = {int(cells[0]) for cells in rows(page("reference/exit-codes.md"))}
    assert documented == {0, 7, 130, *EXITS}
    for code, errors in EXITS.items():
        assert [exit_code(error) for error in errors] == [code] * len(errors)


def test_the_options_of_run_and_validate_that_are_explained_exist() -> None:
    commands = [cli.get_command(click.Context(cli), name) for name in ("run", "validate")]
    real = {
        name
        for command in commands
        if command is not None
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    named = set(re.findall(r"--[a-z][a-z-]+", page("how-to/run-a-pipeline.md")))
    assert named <= real


# The pipeline's keys


EVERY_KIND = """
pipeline:
  name: All
  steps:
    - {name: ask, params: {temperature: 0}}
    - {name: compute, scope: expression, expressions: {a: "1"}}
    - {name: fan, scope: fan_out, field: a}
    - {name: in, scope: fan_in}
    - {name: groups, scope: aggregate, group_by: a}
    - {name: firsts, scope: dedupe, by: a}
    - {name: some, scope: sample, count: 1}
    - {name: last, scope: run, script: x.py}
post_process: [{name: pack, type: gzip, files: [results.jsonl]}, {name: own, command: x.py}]
api: {retry: {}, realtime: {}}
processing:
  strategy: permutation
  positions: [{name: card}]
  items: {source: items.yaml}
  validation_retry: {}
prompts: {templates: {ask: ask.jinja2}}
schemas: {files: {ask: ask.json}}
validation: {ask: {rules: [{expr: "1 > 0"}]}}
"""


@pytest.fixture
def pipeline_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every key that reading a pipeline asks for."""
    asked: set[str] = set()
    looking, having, ignoring = config_reader.Section.raw, config_reader.Section.has, config_reader.Section.ignore

    def raw(self: config_reader.Section, key: str) -> object:
        asked.add(key)
        return looking(self, key)

    def has(self: config_reader.Section, key: str) -> bool:
        asked.add(key)
        return having(self, key)

    def ignore(self: config_reader.Section, *keys: str) -> None:
        asked.update(keys)
        ignoring(self, *keys)

    monkeypatch.setattr(config_reader.Section, "raw", raw)
    monkeypatch.setattr(config_reader.Section, "has", has)
    monkeypatch.setattr(config_reader.Section, "ignore", ignore)
    for name, text in {
        "config.yaml": EVERY_KIND,
        "items.yaml": "[{id: a}]",
        "templates/ask.jinja2": "Say something.",
        "schemas/ask.json": '{"type": "object"}',
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert {step.kind for step in load_pipeline(tmp_path).steps} == set(StepKind)
    return asked - {"ask"}


def test_every_key_of_a_pipeline_is_explained(pipeline_keys: set[str]) -> None:
    text = page("reference/pipeline-format.md")
    named = {part for word in words(text) for part in re.split(r"[.:, ]+", word)} | set(re.findall(r"^## (\w+)$", text, re.MULTILINE))
    assert pipeline_keys - named == set()


def test_every_key_that_is_explained_is_read(pipeline_keys: set[str]) -> None:
    text = page("reference/pipeline-format.md").partition("## Expressions")[0]
    firsts = {word for cells in rows(text) for word in words(cells[0])}
    coercions = {coercion.value for coercion in Coercion}
    assert coercions <= firsts
    assert firsts - coercions - {kind.value for kind in StepKind} - pipeline_keys == set()


# The simulator


def tags(union: object) -> Iterator[tuple[str, set[str]]]:
    """The `kind` and the fields of every action."""
    for kind in get_args(union):
        yield str(kind.__struct_config__.tag), set(kind.__struct_fields__)


def test_fault_rules() -> None:
    text = page("how-to/use-the-simulator.md")
    documented = {next(iter(words(cells[0]))): cells for cells in rows(section(text, "Faults"))}
    actions = dict(tags(faults.Action))
    assert set(documented) == set(actions)
    for kind, fields in actions.items():
        assert words(documented[kind][1]) == fields, kind
    assert words(documented["answer"][2]) == set(get_args(faults.AnswerName))
    assert words(documented["rows"][2]) | set(get_args(faults.AnswerName)) == set(get_args(faults.RowName)) | {"answer"}
    assert words(documented["batch_end"][2]) == set(get_args(faults.EndName))
    after = section(text, "Faults").partition("\n`error` is one of")[2]
    known = set(get_args(faults.ErrorName)) | faults.OPERATIONS | set(faults.Match.__struct_fields__) | {"match"}
    assert words(after) - {"openai", "anthropic", "gemini"} == known


def test_the_control_api(headgate_simulator: Simulator) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", headgate_simulator.port)
    connection.request("GET", "/_sim/")
    known = set(re.findall(r"/_sim/(\w+)", msgspec.json.decode(connection.getresponse().read())["error"]))
    connection.close()
    assert set(re.findall(r"/_sim/(\w+)", page("how-to/use-the-simulator.md"))) == known


@pytest.fixture
def headgate_simulator() -> Iterator[Simulator]:
    """A simulator on a free port."""
    with Simulator().run_in_thread() as simulator:
        yield simulator


# The library and the gateway


def test_the_options_of_a_call() -> None:
    listed = {word for cells in rows(section(page("how-to/use-from-python.md"), "What can be asked")) for word in words(cells[0])}
    assert listed == set(Options.__annotations__)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A gateway over a simulator."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def is_route(cells: list[str]) -> bool:
    """Whether a row is about an endpoint."""
    return cells[0].startswith(("`POST ", "`GET "))


def test_the_endpoints_of_the_gateway(rig: Rig) -> None:
    assert rig.app is not None
    text = section(page("how-to/use-as-gateway.md"), "Endpoints")
    refused = {route.path for route in rig.app.routes.all if isinstance(route.endpoint, Unserved)}
    elsewhere = {route.path for route in rig.app.routes.all if route.path.startswith("/v1/key")} | {path for _, path in money_places(rig)}
    served = [route for route in rig.app.routes.all if route.path not in refused | elsewhere]
    listed = {word for cells in rows(text) if is_route(cells) for word in words(cells[0])}
    assert listed == {f"{route.method} {route.path.replace('/*', '/{model}')}" for route in served}
    said = words(text.partition("is refused with 501")[2].partition("\n\n")[0])
    assert {word.rstrip("/") for word in said} == {path.removesuffix("/*") for path in refused}


def money_places(rig: Rig) -> set[tuple[str, str]]:
    """Method and path of the endpoints about money."""
    assert rig.parts is not None
    parts = MoneyParts(
        store=rig.ledger.database,
        models=rig.parts.models,
        resolve=rig.parts.resolve,
        clock=rig.parts.clock,
        budgets=BudgetBook(rig.ledger.database),
    )
    return {(route.method, route.path) for route in money_routes(parts)}


def test_the_endpoints_about_money(rig: Rig) -> None:
    assert rig.app is not None
    listed = {cells[0].strip("`").partition("?")[0] for cells in rows(section(page("reference/receipts.md"), "Over HTTP"))}
    places = {(method, re.sub(r"\{\w+\}", "*", path)) for method, _, path in (name.partition(" ") for name in listed)}
    assert places == money_places(rig)
    assert places <= {(route.method, route.path) for route in rig.app.routes.all}


def test_the_endpoints_for_keys(rig: Rig) -> None:
    assert rig.app is not None
    listed = {cells[0].strip("`").removesuffix("/rotate") for cells in rows(section(page("how-to/keys-and-budgets.md"), "Over HTTP"))}
    served = {f"{route.method} {route.path}" for route in rig.app.routes.all if route.path.startswith("/v1/key")}
    assert {name.replace("{id}", "*") for name in listed} == served


def test_what_a_key_can_be_given() -> None:
    given, scopes = (rows(text) for text in section(page("how-to/keys-and-budgets.md"), "What a key can be given").split("| Scope |"))
    fields = {word for cells in given for word in words(cells[1])}
    assert fields - {"usd", "window", "action"} == set(KeyBody.__struct_fields__) - {"disabled"}
    command = cli.get_command(click.Context(cli), "keys")
    assert isinstance(command, click.Group)
    options = {name for parameter in command.commands["create"].params for name in parameter.opts}
    assert {word for cells in given for word in words(cells[0])} == options - {"--json", "--quiet", "--import"}
    assert [words(cells[0]) for cells in scopes if len(cells) == 2] == [{scope} for scope in SCOPES]


def test_the_headers_of_the_gateway(rig: Rig) -> None:
    text = section(page("how-to/use-as-gateway.md"), "Endpoints")
    listed = {word for cells in rows(text) if not is_route(cells) for word in words(cells[0])}
    body = b'{"model": "sim-anthropic/sim-small", "seed": 7, "messages": [{"role": "user", "content": "Hello"}]}'
    status, headers, _ = ask(rig, body)
    ours = {name for name in headers if name.startswith("x-headgate-")}
    assert status == 200
    assert {name for name in listed if name.startswith("x-headgate-")} == ours
    assert listed - ours == {"x-cache", "age", REPLAYED[0], REQUEST_ID, "x-ratelimit-…", "anthropic-ratelimit-…", "x-upstream-"}
    assert headers["x-headgate-fidelity"] in text
    status, _, reply = ask(rig, body, **{"x-headgate-strict": "true"})
    assert (status, msgspec.json.decode(reply)["error"]["param"]) == (400, "max_tokens")


def ask(rig: Rig, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to a chat request."""
    connection = http.client.HTTPConnection(rig.url.removeprefix("http://"))
    connection.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {rig.key}", **headers})
    reply = connection.getresponse()
    found = reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    connection.close()
    return found


def test_the_codes_the_gateway_refuses_with() -> None:
    text = section(page("reference/errors.md"), "At the gateway")
    table = text.partition("What the gateway refuses by itself:")[2]
    sources = "\n".join(
        path.read_text(encoding="utf-8") for name in ("serving", "gateway") for path in (ROOT / "src/headgate" / name).rglob("*.py")
    )
    routing = (ROOT / "src/headgate/router/refusal.py").read_text(encoding="utf-8")
    limits = [Full(subject="key:k", what=what, limit=1, used=1) for what in get_args(What)]
    hard = Budget(id="b", scope="global", window="day", limit_nanos=0)
    budgets = {denied(Denied(budget=hard, subject="global", reason=reason)).code for reason in get_args(Reason)}
    codes = set(re.findall(r'\bcode="([a-z_]+)"', sources + routing))
    assert words(table) - {"Host"} == codes | budgets | {full.code for full in limits}
    statuses = set(re.findall(r"\b(?:Refused|_refuse)\(\s*(\d{3})", sources)) | set(
        re.findall(r"^_PHRASES = .*?(431)", sources, re.MULTILINE)
    )
    statuses |= set(re.findall(r"\bstatus=(\d{3})", routing)) | {str(full.status) for full in limits}
    assert {status for cells in rows(table) for status in re.findall(r"\d{3}", cells[0])} == statuses


# Wires, words, layers


def test_the_limits_of_the_batch_wires() -> None:
    cells = {row[0]: row[1:] for row in rows(section(page("reference/wire-support.md"), "What each batch wire can do"))}
    providers = [PROVIDERS[name] for name in ("openai", "anthropic", "gemini")]
    for place, (envelope, provider) in enumerate(zip((batch_openai_files, batch_anthropic, batch_gemini), providers, strict=True)):
        limits = envelope.DIALECT.limits
        megabytes = limits.max_bytes // 10**6
        size = f"{megabytes} MB" if megabytes < 1000 else f"{megabytes // 1000} GB"
        assert cells["most rows"][place].startswith(f"{limits.max_rows:,}")
        assert cells["most bytes"][place] == size
        assert cells["cancelled by us after"][place] == f"{provider.max_age / 3600:g} hours"


def test_no_card_lets_system_messages_stay_on_anthropics_wire() -> None:
    assert "no card does yet" in page("reference/wire-support.md")
    assert not any(card.capabilities.system_anywhere for card in load_catalog().cards if card.provider == "anthropic")


def test_the_glossary_knows_only_words_in_use() -> None:
    terms = re.findall(r"^\*\*([^*]+)\*\*", page("glossary.md"), re.MULTILINE)
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")).lower()
    assert terms == sorted(terms, key=str.lower)
    assert [term for term in terms if not re.search(re.sub(r"[- ]", "[-_ ]?", term.lower()), sources)] == []


def test_the_layers_of_the_architecture_page() -> None:
    drawn = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
    layers = " \n".join(re.split(r"\s{2,}", line.strip())[0] for line in drawn.splitlines()).replace("| \n", "| ").split(" \n")
    contract = (ROOT / ".importlinter").read_text(encoding="utf-8").partition("layers =\n")[2].partition("\n\n")[0]
    there = [" | ".join(name for name in line.strip().split(" | ") if not name.startswith("(")) for line in contract.splitlines()]
    assert layers == [line for line in there if line]


# Receipts


def test_every_field_of_a_receipt_is_explained() -> None:
    text = page("reference/receipts.md")
    table = text.partition("<!-- schema -->")[2].partition("<!-- end -->")[0]
    explained = {word for cells in rows(table) for word in words(cells[0])}
    assert explained == set(receipt_json(priced_receipt(1)))
    attempt = text.partition("An attempt has ")[2].partition(".")[0]
    assert set(receipt_json(priced_receipt(1))["attempts"][0]) == words(attempt)


def test_the_line_of_a_run_that_is_shown_is_one() -> None:
    shown = re.search(r"```json\n(.*)\n```", page("reference/receipts.md"))
    assert shown is not None
    line = cost_line(priced_receipt(0, id="01KB5J", run="nightly", tags=("agent:planner",)))
    assert shown[1] == encode_text(line)


def test_statements_about_the_database_run(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.db")
    ledger.record_now(priced_receipt(1))
    sql = re.search(r"```sql\n(.*?);\n```", page("reference/receipts.md"), re.DOTALL)
    assert sql is not None
    assert ledger.database.read(lambda connection: connection.execute(sql[1], {}).fetchall()) == [("openai", "gpt-5", 1, 0.0046, 0)]
    named = {word for cells in rows(section(page("reference/receipts.md"), "The database")) for word in words(cells[0])}
    found = ledger.database.read(lambda connection: connection.execute("SELECT name FROM sqlite_master", {}).fetchall())
    assert named <= {row[0] for row in found}
    ledger.close()
