"""``headgate ask``: one question, one answer, one receipt."""

from __future__ import annotations

import asyncio
import sys
from typing import TypedDict, Unpack

import click
import msgspec
import uvloop

from headgate.assembly.faces import library_parts
from headgate.assembly.parts import Parts, load_parts
from headgate.catalog.resolve import Target as Resolved
from headgate.catalog.resolve import resolve_step
from headgate.cli import sanitize
from headgate.cli.actions.output import money
from headgate.errors import UsageError
from headgate.library import AsyncClient, Completion, Options, Terms, make_terms
from headgate.wire.json import JsonObject, encode_text

STDIN_LIMIT = 32 << 20


def ask(
    words: tuple[str, ...],
    model: str | None,
    provider: str | None,
    system: str | None,
    max_tokens: int | None,
    temperature: float | None,
    account: str | None,
    api_key: str | None,
    strict: bool,
    stream: bool,
    as_json: bool,
    **whose: Unpack[Whose],
) -> None:
    """See `headgate ask --help`."""
    prompt = "\n\n".join(part for part in (" ".join(words), piped()) if part)
    if not prompt:
        raise UsageError("there is no question", hint='headgate ask "Name three rivers." -m openai/gpt-4o-mini')
    options: Options = {}
    if system is not None:
        options["system"] = system
    if max_tokens is not None:
        options["max_tokens"] = max_tokens
    if temperature is not None:
        options["temperature"] = temperature
    if strict:
        options["strict"] = True
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_ask(load_parts(key=api_key, account=account), prompt, (model, provider), options, stream, as_json, terms_of(whose)))


def piped() -> str:
    """Standard input, when something is piped in. Raises `UsageError` for more than 32 MiB or what is no UTF-8."""
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    data = sys.stdin.buffer.read(STDIN_LIMIT + 1)
    if len(data) > STDIN_LIMIT:
        raise UsageError(f"standard input is longer than {STDIN_LIMIT >> 20} MiB")
    try:
        return data.decode().strip()
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input is not UTF-8 text: {error}") from error


class Whose(TypedDict):
    """In whose name a command calls; `budget` is in nano-dollars."""

    budget: int | None
    user: str | None
    tags: tuple[str, ...]
    run: str | None


def terms_of(whose: Whose) -> Terms:
    """The same for a client. Raises `UsageError` for names that cannot be."""
    named = make_terms(whose["user"], whose["tags"], whose["run"], None)
    return msgspec.structs.replace(named, budget_nanos=whose["budget"])


def _named(parts: Parts, model: str | None, provider: str | None) -> str:
    """What to ask: a route or an alias of the settings, else the model that the names and defaults stand for. Raises `ConfigError`."""
    if model is not None and provider is None and (model in parts.settings.routes or model in parts.settings.aliases):
        return model
    found: Resolved = resolve_step(
        cli_provider=provider,
        cli_model=model,
        default_provider=parts.settings.default_provider,
        catalog=parts.catalog,
        default_models=parts.default_models,
        with_keys=parts.with_keys(),
    )
    for note in found.notes:
        click.echo(f"note: {sanitize(note)}", err=True)
    return found.name


async def _ask(
    parts: Parts, prompt: str, named: tuple[str | None, str | None], options: Options, stream: bool, as_json: bool, terms: Terms
) -> None:
    name = _named(parts, *named)
    async with AsyncClient(library_parts(parts, "cli"), terms=terms) as client:
        if stream:
            completion = await _stream(client, name, prompt, options, as_json)
        else:
            completion = await client.complete(name, prompt, **options)
    _conclude(completion, name, stream, as_json)


async def _stream(client: AsyncClient, model: str, prompt: str, options: Options, as_json: bool) -> Completion:
    async with client.stream(model, prompt, **options) as pieces:
        async for piece in pieces:
            click.echo(encode_text({"text": piece}) if as_json else sanitize(piece), nl=as_json)
            sys.stdout.flush()
        return pieces.completion


def _conclude(completion: Completion, model: str, stream: bool, as_json: bool) -> None:
    usage = completion.usage
    if as_json:
        click.echo(encode_text(completion_json(completion, model)))
        return
    click.echo("" if stream else sanitize(completion.text))
    for call in completion.tool_calls:
        click.echo(f"tool call {sanitize(call.name)}({sanitize(call.arguments)})")
    for note in completion.notes:
        click.echo(f"note: {note.field} {note.action}: {sanitize(note.reason)}", err=True)
    estimated = " (estimated)" if usage.source == "estimated" else ""
    tokens = f"[TOKENS] {usage.input_total} in, {usage.output_total} out{estimated}"
    click.echo(f"{tokens}, {money(completion.cost.nanos)}, {completion.receipt_id}", err=True)


def completion_json(completion: Completion, model: str) -> JsonObject:
    """An answer as JSON for other programs; the amount is a decimal string of dollars, null when unpriced."""
    return {
        "model": model,
        "model_answered": completion.response.model,
        "text": completion.text,
        "tool_calls": [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in completion.tool_calls],
        "finish": completion.finish,
        "usage": {"input": completion.usage.input_total, "output": completion.usage.output_total, "source": completion.usage.source},
        "cost_usd": None if completion.cost.usd is None else f"{completion.cost.usd:f}",
        "receipt": completion.receipt_id,
        "notes": [{"field": note.field, "action": note.action, "reason": note.reason} for note in completion.notes],
    }
