"""`headgate models update --llm`: let a model read a pricing page that somebody saved (OCT-18)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from headgate.assembly.faces import library_parts
from headgate.assembly.models_update import Outcome
from headgate.assembly.parts import Parts
from headgate.catalog.extraction import SCHEMA, believed, question
from headgate.catalog.update import update
from headgate.client.catalogs import updated_catalog
from headgate.errors import ConfigError
from headgate.library import AsyncClient

PAGE_LIMIT = 2 << 20


async def from_page(parts: Parts, model: str, path: Path, provider: str, day: str, accept: bool) -> list[Outcome]:
    """Ask `model` for the prices on the page saved as `path`, and merge those that can be believed. The call has its receipt."""
    page = _read(path)
    async with AsyncClient(library_parts(parts, "cli")) as client:
        asked = question(parts.providers[provider].label, page)
        completion = await client.complete(model, asked, schema=SCHEMA)
    offers, refused = believed(completion.text, page, day, f"{path.name}, read by {model}, {day}")
    found = update(updated_catalog(parts.settings), provider, offers, day, complete=False, accept=accept)
    lines = (*(f"{provider}/{line}" for line in refused), *found.refused)
    return [Outcome(provider, msgspec.structs.replace(found, refused=lines))]


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
        if len(data) > PAGE_LIMIT:
            raise ConfigError(f"the page is longer than {PAGE_LIMIT >> 20} MiB", where=str(path), hint="save its text, without scripts")
        return data.decode()
    except OSError as error:
        raise ConfigError(f"cannot read it: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError("not UTF-8 text", where=str(path)) from error
