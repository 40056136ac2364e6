"""The documentation says what is: links, generated parts, commands, variables, examples."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import msgspec
import pytest
import yaml

import headgate
from headgate import errors
from headgate.batch.pipeline_load import load_pipeline
from headgate.batch.reasons import Reason
from headgate.cli import cli
from headgate.config import Environment, load_settings
from headgate.config.grade_models import GRADES, PREFIXES, grade_variable
from headgate.config.provider_settings import AccountSettings, ProviderSettings
from headgate.config.settings import NAMES, SPECS
from headgate.config.spine import VARIABLES
from headgate.domain.capabilities import Capabilities
from headgate.providers import PROVIDERS, Provider
from headgate.providers.openai_compatible import BATCHES, DIALECTS, EMBEDDINGS
from headgate.providers.quirks import QUIRKS
from headgate.sim import faults

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "docs" / "reference" / "settings.md"
TEMPLATE = ROOT / ".env.template"
LITERAL = re.compile(r"[\"'](HEADGATE_[A-Z][A-Z_]*[A-Z])[\"']")
DEVELOPMENT = {"HEADGATE_CORPUS", "HEADGATE_REQUIRE_SERVICES", "HEADGATE_PROOFS", "HEADGATE_TEST_POSTGRESQL", "HEADGATE_TEST_REDIS"}


def tool(name: str) -> ModuleType:
    """A script of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


check_docs = tool("check_docs")
PAGES: list[Path] = check_docs.pages()


def blocks(*languages: str) -> list[tuple[str, str]]:
    """Place and text of each code block in one of the languages."""
    return [
        (f"{page.relative_to(ROOT)}:{block.number}", block.text)
        for page in PAGES
        for block in check_docs.split(page.read_text(encoding="utf-8"))[1]
        if block.language in languages
    ]


def sources() -> str:
    """The product's source text."""
    return "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))


def variables() -> set[str]:
    """Every environment variable the product reads: those of settings and providers, and the one that names the settings file."""
    aliases = {alias for spec in SPECS.values() for alias in spec.aliases}
    names = {f"HEADGATE_{name.upper()}" for name in NAMES} | aliases | set(VARIABLES)
    keys = {name for provider in PROVIDERS.values() for name in (*provider.auth.env, *required(provider), *optional(provider))}
    places = {name for provider in PROVIDERS.values() for name in provider.url_env}
    parts = {name for provider in PROVIDERS.values() for variable in provider.variables for name in variable.env}
    grades = {grade_variable(provider, grade) for provider in PREFIXES for grade in GRADES}
    read = names | keys | places | parts | grades | {"HEADGATE_CONFIG"}
    assert set(LITERAL.findall(sources())) <= read
    return read


def required(provider: Provider) -> list[str]:
    """The variables that make up a key together and must all be set."""
    return [name for name in provider.auth.parts if not name.endswith("?")]


def optional(provider: Provider) -> list[str]:
    """Those that may be left out."""
    return [name.removesuffix("?") for name in provider.auth.parts if name.endswith("?")]


def command_lines() -> list[tuple[str, str]]:
    """Every `headgate …` in the documentation's shell blocks."""
    found = []
    for where, text in blocks("sh"):
        joined = text.replace("\\\n", " ")
        found += [(where, line.partition(" #")[0]) for line in joined.splitlines() if line.startswith("headgate ")]
    return found


def test_links_lead_somewhere_and_pages_can_be_reached() -> None:
    assert check_docs.problems() == []


@pytest.mark.parametrize("tool", ["generate_reference.py", "openapi.py"])
def test_generated_parts_are_up_to_date(tool: str) -> None:
    command = [sys.executable, str(ROOT / "tools" / tool), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("where", "line"), command_lines())
def test_commands_in_the_documentation_exist(where: str, line: str) -> None:
    words = shlex.split(line)[1:]
    context = click.Context(cli, info_name="headgate")
    if words[0].startswith("-") or words[0] == "COMMAND":
        return
    command = cli.get_command(context, words[0])
    assert command is not None, f"{where}: {line}"
    while isinstance(command, click.Group) and words[1:] and (inner := command.get_command(context, words[1])) is not None:
        command, words = inner, words[1:]
    parser = command.make_parser(click.Context(command, info_name=words[0], parent=context))
    parser.parse_args(words[1:])


@pytest.mark.parametrize(("where", "text"), blocks("python"))
def test_python_in_the_documentation_parses_and_imports_what_exists(where: str, text: str) -> None:
    for node in ast.walk(ast.parse(text, filename=where)):
        if isinstance(node, ast.ImportFrom) and node.module == "headgate":
            for alias in node.names:
                assert hasattr(headgate, alias.name), f"{where}: headgate has no {alias.name}"


@pytest.mark.parametrize(("where", "text"), blocks("yaml", "json"))
def test_data_in_the_documentation_can_be_read(where: str, text: str) -> None:
    assert yaml.safe_load(text) is not None, where


def test_make_targets_in_the_documentation_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set()
    for _, text in blocks("sh"):
        for line in text.splitlines():
            if line.startswith("make "):
                words = shlex.split(line.partition("#")[0])[1:]
                named.update(word for word in words if "=" not in word)
    assert named
    assert named <= targets


def test_settings_are_documented_and_what_is_documented_is_a_setting() -> None:
    documented = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", SETTINGS.read_text(encoding="utf-8")))
    assert documented == variables() | DEVELOPMENT


def table_rows(heading: str) -> dict[str, list[str]]:
    """The variables of each row below a heading of the page of settings, in their order, by what the second cell names first."""
    part = SETTINGS.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("| `")]
    return {re.findall(r"`([^`]+)`", row[1])[0]: re.findall(r"`([^`]+)`", row[0]) for row in cells}


@pytest.mark.parametrize("name", sorted(name for name, provider in PROVIDERS.items() if not provider.simulated))
def test_where_a_providers_key_is_looked_for_is_documented_in_that_order(name: str) -> None:
    provider = PROVIDERS[name]
    assert table_rows("Provider keys")[name] == [*provider.auth.env, *required(provider), *optional(provider)]


def test_where_addresses_come_from_is_documented_in_that_order() -> None:
    wanted = {f"providers.{p.name}.variables.{v.name}": list(v.env) for p in PROVIDERS.values() for v in p.variables if v.env}
    wanted |= {f"providers.{p.name}.base_url": list(p.url_env) for p in PROVIDERS.values() if p.url_env}
    assert table_rows("Where providers are") == wanted


def test_every_key_of_a_providers_settings_is_explained() -> None:
    part = SETTINGS.read_text(encoding="utf-8").partition("## Providers of your own")[2].partition("\n## ")[0]
    tables = [
        {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
        for table in re.findall(r"(?:^\|.*\n)+", part, re.MULTILINE)
    ]
    keys = {*ProviderSettings.__struct_fields__, *AccountSettings.__struct_fields__}
    assert tables == [keys, set(QUIRKS), set(Capabilities.__struct_fields__)]
    assert {*DIALECTS, *EMBEDDINGS, *BATCHES} <= {word for row in re.findall(r"^\|.*", part, re.MULTILINE) for word in row.split("`")[1::2]}


def test_the_template_lists_what_is_in_use() -> None:
    listed = set(re.findall(r"^([A-Z_]+)=$", TEMPLATE.read_text(encoding="utf-8"), re.MULTILINE))
    reserved = SETTINGS.read_text(encoding="utf-8").partition("## Reserved")[2].partition("## Development")[0]
    assert listed == variables() - set(re.findall(r"`([A-Z_]+)`", reserved))


def test_reserved_settings_are_used_by_nothing() -> None:
    reserved = SETTINGS.read_text(encoding="utf-8").partition("## Reserved")[2].partition("## Development")[0]
    elsewhere = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py") if path.name != "settings.py")
    names = [name.lower() for name in re.findall(r"`HEADGATE_([A-Z_]+)`", reserved)]
    assert names
    assert [name for name in names if re.search(rf"\b{name}\b", elsewhere)] == []


def test_ports_and_defaults_are_those_of_the_code() -> None:
    text = SETTINGS.read_text(encoding="utf-8")
    values = load_settings(Environment({"HOME": "/home/someone"}), Path("/work")).explain()
    for name, value, _ in values:
        if name.endswith(("_port", "_timeout", "_host")):
            rows = [line for line in text.replace("),", ")\n").splitlines() if f"`HEADGATE_{name.upper()}`" in line]
            assert len(rows) == 1
            assert value.removesuffix(".0") in rows[0], name


def test_the_template_holds_no_value() -> None:
    lines = [line for line in TEMPLATE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Z_]+=", line) for line in lines)


def test_every_error_and_every_reason_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.HeadgateError)}
    words = set(re.findall(r"\w+", text))
    assert classes <= words
    assert {kind.value for kind in errors.ErrorKind} <= words
    assert {reason.value for reason in Reason} <= words


def test_the_example_pipeline_of_the_documentation_loads(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "how-to" / "run-a-pipeline.md").read_text(encoding="utf-8")
    for name, body in re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body, encoding="utf-8")
    pipeline = load_pipeline(tmp_path)
    assert [step.name for step in pipeline.steps] == ["judge"]
    assert pipeline.unit_count() == 2


def test_the_fault_script_of_the_documentation_is_valid() -> None:
    text = (ROOT / "docs" / "how-to" / "use-the-simulator.md").read_text(encoding="utf-8")
    scripts = re.findall(r"-d '(\[.*?\])'", text, re.DOTALL)
    assert scripts
    for script in scripts:
        assert faults.parse(msgspec.json.decode(script))
