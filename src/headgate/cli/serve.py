"""``headgate serve``: the gateway."""

from __future__ import annotations

import asyncio
import secrets

import click
import uvloop

from headgate.assembly.faces import callable_models, gateway_app
from headgate.assembly.parts import Parts, load_parts
from headgate.config import Secret
from headgate.serving.auth import generate_key
from headgate.serving.server import Server
from headgate.serving.server import serve as run_server


@click.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port (0: any free one).  [default: 6120]")
@click.option("--no-auth", is_flag=True, help="Serve without a key; loopback only.")
def serve(host: str | None, port: int | None, no_auth: bool) -> None:
    """Start the gateway: OpenAI and Anthropic clients work against it with only their base URL changed.

    The key clients must send is HEADGATE_KEY; without it one is made and printed once.
    """
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
        async with parts.http() as http:
            app = gateway_app(parts, http, ledger, host, key)
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
