"""Taking over the configuration of LiteLLM's proxy: settings and prices of ours, and what became of every key.

What the keys mean is read from LiteLLM's public documentation of its proxy's config.yaml; nothing of it is run, fetched or included.
"""

from __future__ import annotations

from pathlib import Path

from headgate.catalog.cards import Catalog
from headgate.compat.litellm.convert import Imported, convert
from headgate.config.tree import read_tree
from headgate.errors import ConfigError

__all__ = ["Imported", "read_litellm"]


def read_litellm(path: Path, catalog: Catalog, catalog_file: str) -> Imported:
    """What a configuration file comes to; `catalog_file` is what its prices will be called. Raises `ConfigError`."""
    root = read_tree(path)
    if root is None:
        raise ConfigError("is empty", where=str(path))
    return convert(root, catalog, catalog_file)
