"""Classes by name: ours, registered ones, and those other packages announce."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import headgate.batch_providers
from headgate.batch_providers import (
    AnthropicBatchProvider,
    BatchProviderRegistry,
    GeminiBatchProvider,
    OpenAIBatchProvider,
    ProviderNotRegisteredError,
    batch_provider_registry,
)
from headgate.batch_providers.registry import GROUP
from headgate.errors import HeadgateError


class Acme(OpenAIBatchProvider):
    """A third party's class."""

    PROVIDER_NAME = "acme"


class Rival(OpenAIBatchProvider):
    """Another one that claims the same name."""

    PROVIDER_NAME = "acme"


class Nameless(OpenAIBatchProvider):
    """A class without a name."""

    PROVIDER_NAME = ""


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """The global registry as it was."""
    yield
    batch_provider_registry.clear()
    batch_provider_registry.restore()


def test_a_registry_of_ones_own_is_empty() -> None:
    assert BatchProviderRegistry().list() == []


def test_a_registered_class_is_found_until_it_is_unregistered() -> None:
    registry = BatchProviderRegistry()
    registry.register(Acme)
    assert (registry.get("acme"), registry.list(), registry.is_registered("acme")) == (Acme, ["acme"], True)
    assert registry.unregister("acme") is True
    assert registry.unregister("acme") is False
    assert registry.is_registered("acme") is False


def test_an_unknown_name_lists_what_there_is() -> None:
    registry = BatchProviderRegistry()
    with pytest.raises(ProviderNotRegisteredError, match="'acme' is not registered; registered: none"):
        registry.get("acme")
    registry.register(Acme)
    with pytest.raises(ProviderNotRegisteredError, match="registered: acme"):
        registry.get("other")
    assert issubclass(ProviderNotRegisteredError, HeadgateError)


@pytest.mark.parametrize(
    ("cls", "what"), [(dict, "must inherit from BaseBatchProvider"), ("acme", "must inherit"), (Nameless, "PROVIDER_NAME")]
)
def test_what_is_no_provider_is_refused_with_a_value_error(cls: type, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        BatchProviderRegistry().register(cls)


def test_registering_a_name_again_replaces_the_class_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    registry = BatchProviderRegistry()
    registry.register(Acme)
    registry.register(Acme)
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        registry.register(Rival)
    assert "Overriding existing provider registration" in caplog.text
    assert registry.get("acme") is Rival


def test_ours_come_in_at_the_first_look_under_their_names_and_aliases() -> None:
    asked: list[str] = []

    def builtin() -> list[type[OpenAIBatchProvider]]:
        asked.append("once")
        return [Acme]

    registry = BatchProviderRegistry(builtin, {"the-acme": "acme"})
    assert asked == []
    assert registry.get("the-acme") is Acme
    assert registry.list() == ["acme"]
    assert asked == ["once"]


def test_the_global_registry_knows_the_named_classes() -> None:
    assert batch_provider_registry.get("openai") is OpenAIBatchProvider
    assert batch_provider_registry.get("anthropic") is AnthropicBatchProvider
    assert batch_provider_registry.get("claude") is AnthropicBatchProvider
    assert batch_provider_registry.get("gemini") is GeminiBatchProvider


def test_every_class_can_be_imported_by_its_name() -> None:
    for name in batch_provider_registry.list():
        cls = batch_provider_registry.get(name)
        assert getattr(headgate.batch_providers, cls.__name__) is cls
    with pytest.raises(AttributeError, match="NoSuchBatchProvider"):
        _ = headgate.batch_providers.NoSuchBatchProvider


@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini"])
def test_the_old_module_paths_lead_to_the_same_classes(name: str) -> None:
    module = importlib.import_module(f"headgate.batch_providers.providers.{name}_provider")
    assert getattr(module, module.__all__[0]) is batch_provider_registry.get(name)


def test_clearing_empties_and_restoring_brings_ours_back() -> None:
    before = batch_provider_registry.list()
    batch_provider_registry.clear()
    assert batch_provider_registry.list() == []
    batch_provider_registry.restore()
    assert batch_provider_registry.list() == before


def entry(name: str, value: str) -> EntryPoint:
    """An entry point as an installed package announces it."""
    return EntryPoint(name, value, GROUP)


def test_classes_that_packages_announce_are_loaded_at_the_first_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_batches.py").write_text(
        'from headgate.batch_providers import OpenAIBatchProvider\nclass Acme(OpenAIBatchProvider):\n    PROVIDER_NAME = "acme"\n',
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = BatchProviderRegistry(announced=lambda: (entry("acme", "acme_batches:Acme"),))
    assert registry.list() == ["acme"]
    assert registry.problems == ()


def test_what_cannot_be_loaded_is_reported_and_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken_batches.py").write_text("raise RuntimeError('no licence')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    entries = (entry("gone", "no_such_package:X"), entry("odd", "json:loads"), entry("broken", "broken_batches:X"))
    registry = BatchProviderRegistry(lambda: [Acme], announced=lambda: entries)
    assert registry.list() == ["acme"]
    assert [problem.split(" ")[0] for problem in registry.problems] == ["gone", "odd", "broken"]
    assert "no licence" in registry.problems[2]
    assert "could not be loaded" in caplog.text
