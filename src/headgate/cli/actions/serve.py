"""``headgate serve``: the gateway."""

from __future__ import annotations

import asyncio
import secrets

import click
import uvloop

from headgate.assembly.gateway import callable_models, gateway_app
from headgate.assembly.keys import key_ring, key_store
from headgate.assembly.parts import Parts, load_parts
from headgate.config import Secret
from headgate.serving.auth import generate_key
from headgate.serving.server import Server
from headgate.serving.server import serve as run_server


def serve(host: str | None, port: int | None, no_auth: bool) -> None:
    """See `headgate serve --help`."""
    parts = load_parts({"gateway_host": host})
    number = parts.settings.gateway_port if port is None else port
    made = None if no_auth or parts.settings.key is not None else generate_key(secrets.token_bytes(24))
    key = None if no_auth else parts.settings.key or made
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(parts, number, key, made))


async def _serve(parts: Parts, port: int, key: Secret | None, made: Secret | None) -> None:
    host = parts.settings.gateway_host
    ledger = parts.ledger()
    try:
        store = key_store(parts, ledger)
        async with parts.http() as http, key_ring(parts, store, key) as ring:
            app = gateway_app(parts, http, ledger, host, store, ring, auth=key is not None)
            await run_server(app, host, port, ready=lambda server: _ready(parts, server, key, made))
    finally:
        ledger.close()


def _ready(parts: Parts, server: Server, key: Secret | None, made: Secret | None) -> None:
    click.echo(f"gateway on {server.url}")
    click.echo(f"  OpenAI clients     base_url={server.url}/v1")
    click.echo(f"  Anthropic clients  base_url={server.url}")
    if made is not None:
        click.echo(f"  key                {made.reveal()}   (made for this start, shown once; set HEADGATE_KEY to keep one)")
    elif key is not None:
        click.echo(f"  key                {key} from HEADGATE_KEY")
    else:
        click.echo("  no key is asked for; only this machine can connect")
    providers = sorted({card.provider for card in callable_models(parts)})
    click.echo(f"  providers          {', '.join(providers)}")
    for warning in parts.key_warnings():
        click.echo(f"warning: {warning}", err=True)
