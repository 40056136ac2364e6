"""Calls from Python: `AsyncClient`, and `Client` for code without an event loop."""

from headgate.client.counting import TokenCount
from headgate.library.async_client import AsyncClient, AsyncStream
from headgate.library.completion import Completion
from headgate.library.embeddings import Embeddings, EmbedOptions
from headgate.library.options import Options
from headgate.library.parts import LibraryParts
from headgate.library.sync_client import Client, Stream
from headgate.library.terms import Terms, make_terms

__all__ = [
    "AsyncClient",
    "AsyncStream",
    "Client",
    "Completion",
    "EmbedOptions",
    "Embeddings",
    "LibraryParts",
    "Options",
    "Stream",
    "Terms",
    "TokenCount",
    "make_terms",
]
