"""``headgate models``: what can be called, and for how much."""

from __future__ import annotations

import click

from headgate.cli.lazy import call


@click.command()
@click.argument("words", nargs=-1)
@click.option("-p", "--provider", help="Only this provider.")
@click.option("--all", "everything", is_flag=True, help="Retired models too.")
@click.option("--json", "as_json", is_flag=True, help="Print everything known, as JSON.")
def models(**options: object) -> int:
    """List models whose name contains all WORDS, with list prices in dollars per million tokens."""
    return call("headgate.cli.actions.models:models", options)
