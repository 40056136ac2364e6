"""``headgate demo``: install, one command, a result."""

from __future__ import annotations

import click

from headgate.cli.lazy import call


@click.command()
@click.option("--units", type=click.IntRange(1, 100), default=100, show_default=True, help="Units of each run.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def demo(**options: object) -> int:
    """Run the Drunken Sailor pipeline twice on the built-in simulator: realtime and as a batch. No keys, no network."""
    return call("headgate.cli.actions.demo:demo", options)
