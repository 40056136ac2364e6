"""``headgate embed``: texts in, vectors out, one receipt."""

from __future__ import annotations

import asyncio
from typing import Unpack

import click
import uvloop

from headgate.assembly.faces import library_parts
from headgate.assembly.parts import Parts, load_parts
from headgate.cli import sanitize
from headgate.cli.actions.ask import Whose, piped, terms_of
from headgate.cli.actions.output import money
from headgate.errors import UsageError
from headgate.library import AsyncClient, Embeddings, EmbedOptions, Terms
from headgate.wire.json import JsonObject, encode_text

STDIN = "-"


def embed(
    words: tuple[str, ...], model: str, dimensions: int | None, task: str | None, api_key: str | None, as_json: bool, **whose: Unpack[Whose]
) -> None:
    """See `headgate embed --help`."""
    inputs = texts(words)
    options: EmbedOptions = {"dimensions": dimensions, "task": task}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(_embed(load_parts(key=api_key), model, inputs, options, terms_of(whose)))
    if as_json:
        click.echo(encode_text(embeddings_json(found, model)))
        return
    for index, vector in enumerate(found.vectors):
        click.echo(encode_text({"index": index, "dimensions": len(vector), "embedding": vector}))
    for note in found.notes:
        click.echo(f"note: {note.field} {note.action}: {sanitize(note.reason)}", err=True)
    estimated = " (estimated)" if found.usage.source == "estimated" else ""
    vectors = f"[VECTORS] {len(found.vectors)} of {found.dimensions} dimensions"
    click.echo(f"{vectors}, {found.usage.input_total} tokens{estimated}, {money(found.cost.nanos)}, {found.receipt_id}", err=True)


def texts(words: tuple[str, ...]) -> list[str]:
    """The texts on the command line, with the lines of standard input in the place of ``-``; only those when nothing is given."""
    found: list[str] = []
    for word in words or (STDIN,):
        found += [line for line in piped().splitlines() if line.strip()] if word == STDIN else [word]
    if not found:
        raise UsageError("there is no text", hint='headgate embed "a first text" "a second one" -m openai/text-embedding-3-small')
    return found


async def _embed(parts: Parts, model: str, inputs: list[str], options: EmbedOptions, terms: Terms) -> Embeddings:
    async with AsyncClient(library_parts(parts, "cli"), terms=terms) as client:
        return await client.embed(model, inputs, **options)


def embeddings_json(found: Embeddings, model: str) -> JsonObject:
    """Vectors as JSON for other programs; the amount is a decimal string of dollars, null when unpriced."""
    return {
        "model": model,
        "model_answered": found.response.model,
        "dimensions": found.dimensions,
        "embeddings": found.vectors,
        "usage": {"input": found.usage.input_total, "source": found.usage.source},
        "cost_usd": None if found.cost.usd is None else f"{found.cost.usd:f}",
        "receipt": found.receipt_id,
        "notes": [{"field": note.field, "action": note.action, "reason": note.reason} for note in found.notes],
    }
