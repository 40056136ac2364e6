"""``headgate provider``: lists, tries and begins providers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import uvloop

from headgate.assembly.faces import library_parts
from headgate.assembly.parts import Parts, load_parts
from headgate.assembly.scaffold import described, is_checkout, write
from headgate.cli import sanitize
from headgate.cli.actions.output import table
from headgate.errors import ConfigError, UsageError
from headgate.library import AsyncClient
from headgate.providers import PROVIDERS, Provider
from headgate.wire.json import JsonObject, encode_text


def ls(as_json: bool) -> int:
    """See `headgate provider ls --help`."""
    parts = load_parts()
    ready = frozenset(parts.with_keys())
    rows = [(name, parts.usable(name)) for name in parts.providers]
    if as_json:
        click.echo(encode_text([_described(parts, name, provider, name in ready) for name, provider in rows]))
        return 0
    lines = [_line(parts, name, provider, name in ready) for name, provider in rows]
    click.echo(table(lines, ("provider", "wires", "batch", "default model", "from", "key")))
    return 0


def _line(parts: Parts, name: str, provider: Provider | None, ready: bool) -> tuple[str, ...]:
    if provider is None:
        return (name, "cannot be loaded: headgate doctor", "", "", "package", "")
    wires = ", ".join(dialect.name for dialect in provider.dialects)
    batch = provider.batch.name.removeprefix("batch_") if provider.batch is not None else "—"
    needed = "ready" if ready else (provider.auth.env or provider.auth.parts or ("not set up",))[0]
    return (name, wires, batch, parts.default_models[name] or "—", _origin(parts, name), needed)


def _origin(parts: Parts, name: str) -> str:
    if name in PROVIDERS:
        return "built in, changed" if name in parts.settings.providers else "built in"
    return "headgate.yaml" if name in parts.settings.providers else "package"


def _described(parts: Parts, name: str, provider: Provider | None, ready: bool) -> JsonObject:
    if provider is None:
        return {"name": name, "usable": False, "from": "package"}
    own = parts.settings.providers.get(name)
    return {
        "name": name,
        "label": provider.label,
        "usable": True,
        "ready": ready,
        "from": _origin(parts, name),
        "wires": [dialect.name for dialect in provider.dialects],
        "embeddings": provider.embed.name if provider.embed is not None else None,
        "batch": provider.batch.name if provider.batch is not None else None,
        "base_url": provider.base_url,
        "key_env": [*provider.auth.env, *provider.auth.parts],
        "variables": {variable.name: list(variable.env) for variable in provider.variables},
        "accounts": [] if own is None else list(own.accounts),
        "default_model": parts.default_models[name],
    }


def check(name: str, model: str | None, account: str | None) -> int:
    """See `headgate provider check --help`."""
    parts = load_parts(account=account)
    wanted = model or parts.default_models.get(name)
    if name not in parts.providers:
        raise ConfigError(f"unknown provider {name!r}; known are {', '.join(parts.providers)}", hint="headgate provider ls")
    if wanted is None:
        raise UsageError(f"{name} has no default model", hint=f"headgate provider check {name} -m MODEL")
    target = parts.resolve(wanted, name)
    click.echo(f"{target.name} at {target.origin.url}, {target.chat.name}, account {target.credential.account}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        click.echo(sanitize(runner.run(_one_word(parts, target.name))))
    return 0


async def _one_word(parts: Parts, model: str) -> str:
    async with AsyncClient(library_parts(parts, "cli")) as client:
        answer = await client.complete(model, "Answer with the single word: ready", max_tokens=512)
        usage = answer.usage
        return f"answered {answer.text.strip()!r}: {usage.input_total} tokens in, {usage.output_total} out, {answer.cost}"


def new(name: str, dialect: str, base_url: str | None, key_env: str | None, label: str | None, folder: str) -> int:
    """See `headgate provider new --help`."""
    wanted = described(name, label, dialect, base_url, key_env)
    here = Path(folder)
    for path in write(wanted, here):
        click.echo(f"wrote {path}")
    if is_checkout(here):
        click.echo("next: fill in models and prices, then: make prices reference test")
    else:
        click.echo(f"next: pip install -e {here / f'headgate-{name}'}, then: headgate provider check {name}")
    return 0
