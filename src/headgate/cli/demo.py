"""``headgate demo``: install, one command, a result."""

from __future__ import annotations

import click

from headgate.cli.lazy import call

PIPELINES = ("DrunkenSailor", "Blackjack", "NPCDialog")


@click.command()
@click.argument("pipeline", type=click.Choice(PIPELINES), default=PIPELINES[0])
@click.option("--units", type=click.IntRange(min=1), help="Units of each run.  [default: all]")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def demo(**options: object) -> int:
    """Run a pipeline that comes with Headgate on the built-in simulator, and show the results beside the theory. No keys, no network.

    DrunkenSailor, the default, runs twice: realtime and as a batch. Blackjack has 900 hands of three strategies, and gates that play
    every hand again; NPCDialog has 60 dialogs that are scored, as a batch.
    """
    return call("headgate.cli.actions.demo:demo", options)
