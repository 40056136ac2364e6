"""What ``headgate provider new`` writes, within a checkout and as a package of its own."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from headgate.assembly.scaffold import INIT, SETTINGS, TEMPLATE, NewProvider, described, planned, registered, write
from headgate.catalog.source import parse_cards
from headgate.errors import UsageError
from headgate.providers import PROVIDERS, Provider
from headgate.testing.conformance import examine

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for path in (INIT, TEMPLATE, SETTINGS):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def record_in(path: Path) -> Provider:
    spec = importlib.util.spec_from_file_location(f"scaffolded_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.PROVIDER
    assert isinstance(found, Provider)
    return found


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages", "gemini_generate"])
def test_a_new_record_passes_the_suite_as_it_is(checkout: Path, dialect: str) -> None:
    new = described("acme", None, dialect, None, None)
    write(new, checkout)
    record = checkout / "src/headgate/providers/acme.py"
    assert len([line for line in record.read_text().splitlines() if line]) <= 20
    provider = record_in(record)
    assert (provider.name, provider.chat.name, provider.auth.env) == ("acme", dialect, ("ACME_API_KEY",))
    assert provider.headers == (PROVIDERS["anthropic"].headers if dialect == "anthropic_messages" else ())
    assert [str(outcome) for outcome in examine(provider) if outcome.result == "failed"] == []


def test_in_a_checkout_the_table_and_the_documentation_know_it(checkout: Path) -> None:
    write(described("acme-labs", "Acme Labs", "openai_chat", "https://x.example/v1/", "ACME_KEY"), checkout)
    table = (checkout / INIT).read_text()
    assert "        acme_labs.PROVIDER,\n        sim." in table
    assert "import acme_labs, anthropic" in table or "    acme_labs,\n" in table
    compile(table, "providers", "exec")
    assert "\nACME_KEY=\n" in (checkout / TEMPLATE).read_text()
    assert "| `ACME_KEY` | `acme-labs` |\n" in (checkout / SETTINGS).read_text()
    assert parse_cards((checkout / "src/headgate/catalog/data/acme-labs.yaml").read_text(), "acme-labs.yaml").provider == "acme-labs"
    assert "from headgate.providers.acme_labs import PROVIDER" in (checkout / "tests/unit/providers/test_acme_labs.py").read_text()


def test_elsewhere_a_package_is_made(tmp_path: Path) -> None:
    written = write(described("acme", None, "openai_chat", None, None), tmp_path)
    folder = tmp_path / "headgate-acme"
    assert all(path.is_relative_to(folder) for path in written)
    assert 'acme = "headgate_acme:PROVIDER"' in (folder / "pyproject.toml").read_text()
    assert record_in(folder / "src/headgate_acme/__init__.py").name == "acme"
    assert parse_cards((folder / "models.yaml").read_text(), "models.yaml").models == ()
    for path in written:
        assert "<" not in path.read_text().replace("->", ""), path


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    new = described("acme", None, "openai_chat", None, None)
    write(new, tmp_path)
    with pytest.raises(UsageError, match="is there already; nothing was written"):
        planned(new, tmp_path)


@pytest.mark.parametrize(
    ("name", "dialect", "key_env", "message"),
    [
        ("Acme", "openai_chat", None, "no name for a provider"),
        ("../acme", "openai_chat", None, "no name for a provider"),
        ("openai", "openai_chat", None, "there is a provider openai already"),
        ("class", "openai_chat", None, "cannot name a module"),
        ("a" * 300, "openai_chat", None, "cannot name a module"),
        ("acme", "morse", None, "no dialect 'morse'; known are openai_chat"),
        ("acme", "openai_chat", "sk-secret", "no name for a variable"),
    ],
)
def test_what_cannot_be_is_refused(name: str, dialect: str, key_env: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        described(name, None, dialect, None, key_env)


def test_a_table_that_was_changed_by_hand_is_left_alone() -> None:
    new = NewProvider("acme", "Acme", "openai_chat", "https://x.example", "ACME_API_KEY")
    with pytest.raises(UsageError, match=r"add acme\.PROVIDER to its tuple by hand"):
        registered(new, "PROVIDERS = {}\n")


@pytest.mark.parametrize("label", ['Acme"', "A'", "a\nb", "<name>", "a: b", "\\"])
def test_a_label_that_would_end_what_it_is_written_into_is_refused(label: str) -> None:
    with pytest.raises(UsageError, match="is no label"):
        described("acme", label, "openai_chat", None, None)


@pytest.mark.parametrize("url", ['https://x.example/"', "ftp://x.example", "https://u:p@x.example", "x.example"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        described("acme", None, "openai_chat", url, None)


def test_a_folder_that_takes_no_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "headgate-acme").write_text("a file where the folder goes")
    with pytest.raises(UsageError, match="cannot be written"):
        write(described("acme", None, "openai_chat", None, None), tmp_path)


def test_half_a_checkout_is_told_before_anything_is_written(checkout: Path) -> None:
    (checkout / TEMPLATE).unlink()
    with pytest.raises(UsageError, match="no whole checkout"):
        write(described("acme", None, "openai_chat", None, None), checkout)
    assert not (checkout / "src/headgate/providers/acme.py").exists()
