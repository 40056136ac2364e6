"""Calls from Python: `AsyncClient`, and `Client` for code without an event loop."""

from headgate.library.async_client import AsyncClient, AsyncStream
from headgate.library.completion import Completion
from headgate.library.options import Options
from headgate.library.parts import LibraryParts
from headgate.library.sync_client import Client, Stream

__all__ = ["AsyncClient", "AsyncStream", "Client", "Completion", "LibraryParts", "Options", "Stream"]
