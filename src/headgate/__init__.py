"""Headgate: every LLM call through one gate.

::

    from headgate import Client

    with Client() as client:
        print(client.complete("openai/gpt-4o-mini", "Name three rivers."))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headgate.assembly.faces import AsyncClient, Client
    from headgate.assembly.run_view import Run
    from headgate.errors import BudgetExceeded, ConfigError, ErrorKind, HeadgateError, ProviderError, Unsupported, UsageError
    from headgate.library import Completion, Embeddings, TokenCount

__version__ = "0.1.0"

_PUBLIC: dict[str, str] = {
    "AsyncClient": "headgate.assembly.faces",
    "BudgetExceeded": "headgate.errors",
    "Client": "headgate.assembly.faces",
    "Completion": "headgate.library",
    "ConfigError": "headgate.errors",
    "Embeddings": "headgate.library",
    "ErrorKind": "headgate.errors",
    "HeadgateError": "headgate.errors",
    "ProviderError": "headgate.errors",
    "Run": "headgate.assembly.run_view",
    "TokenCount": "headgate.library",
    "Unsupported": "headgate.errors",
    "UsageError": "headgate.errors",
}
"""Public names, imported when they are first used (PEP 562)."""

__all__ = [
    "AsyncClient",
    "BudgetExceeded",
    "Client",
    "Completion",
    "ConfigError",
    "Embeddings",
    "ErrorKind",
    "HeadgateError",
    "ProviderError",
    "Run",
    "TokenCount",
    "Unsupported",
    "UsageError",
    "__version__",
]


def __getattr__(name: str) -> object:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module 'headgate' has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)
