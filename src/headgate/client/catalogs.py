"""The catalog in force: what is shipped, under what `headgate models update` found, under the user's own file."""

from __future__ import annotations

from pathlib import Path

from headgate.catalog.cards import Catalog
from headgate.catalog.load import load_catalog
from headgate.catalog.source import with_overrides
from headgate.config import Settings


def updates_file(settings: Settings) -> Path:
    """Where `headgate models update` writes."""
    return settings.data_dir / "catalog.yaml"


def updated_catalog(settings: Settings) -> Catalog:
    """What is shipped, with the updates over it. Raises `ConfigError`."""
    path = updates_file(settings)
    return with_overrides(load_catalog(), path) if path.exists() else load_catalog()


def full_catalog(settings: Settings) -> Catalog:
    """The catalog to work with; the user's own file wins. Raises `ConfigError`."""
    catalog = updated_catalog(settings)
    return catalog if settings.catalog_file is None else with_overrides(catalog, settings.catalog_file)
