"""``headgate tokens``: counts and says who counted."""

from __future__ import annotations

import asyncio

import click
import uvloop

from headgate.assembly.faces import library_parts
from headgate.assembly.parts import Parts, load_parts
from headgate.cli.actions.ask import piped
from headgate.errors import UsageError
from headgate.library import AsyncClient, Options, TokenCount
from headgate.wire.json import encode_text


def tokens(words: tuple[str, ...], model: str, system: str | None, as_json: bool) -> None:
    """See `headgate tokens --help`."""
    prompt = "\n\n".join(part for part in (" ".join(words), piped()) if part)
    if not prompt:
        raise UsageError("there is nothing to count", hint='headgate tokens "Name three rivers." -m anthropic/claude-sonnet-4-5')
    options: Options = {} if system is None else {"system": system}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(_count(load_parts(), model, prompt, options))
    if as_json:
        click.echo(encode_text(found))
        return
    bound = "" if found.at_most is None else f", certainly at most {found.at_most:,}"
    click.echo(f"{found.tokens:,} tokens ({_WORDS[found.source]}{bound})")


_WORDS = {"provider": "counted by the provider", "tokenizer": "counted by a tokenizer", "estimated": "estimated at four bytes a token"}


async def _count(parts: Parts, model: str, prompt: str, options: Options) -> TokenCount:
    async with AsyncClient(library_parts(parts, "cli")) as client:
        return await client.count_tokens(model, prompt, **options)
