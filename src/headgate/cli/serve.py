"""``headgate serve``: the gateway."""

from __future__ import annotations

import click

from headgate.cli.lazy import call


@click.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port (0: any free one).  [default: 6120]")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that serve.  [default: gateway.workers, else 1]")
@click.option("--access-log", is_flag=True, help="Log a line for each request, without content.")
@click.option("--no-auth", is_flag=True, help="Serve without a key; loopback only.")
def serve(**options: object) -> int:
    """Start the gateway: OpenAI, Anthropic and Google clients work against it with only their base URL changed.

    The key clients must send is HEADGATE_KEY, without it one that is made and printed once, or one of headgate keys create.
    Routes, budgets and limits come from headgate.yaml, which is read anew when it changes: headgate config init begins one.
    """
    return call("headgate.cli.actions.serve:serve", options)
