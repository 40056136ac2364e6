"""``headgate pause``, ``resume``, ``kill``, ``restart`` and ``watch``: the process that drives a run."""

from __future__ import annotations

import click

from headgate.cli.lazy import call
from headgate.cli.params import Dollars, Duration


@click.command()
@click.argument("run")
@click.option("--max-cost", type=Dollars(), help="Stop before more than this is spent, earlier costs included.")
@click.option("--concurrency", type=click.IntRange(1, 4096), help="Calls in flight at once, per provider, account and model.")
@click.option("--timeout", type=Duration(), help="Pause after this long (30m, 2h, 1h30m), with exit code 3.")
@click.option("--api-key", help="The provider's key, for once; others on this machine may see it: prefer the environment or .env.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def resume(**options: object) -> int:
    """Go on with RUN as it was begun, also with one whose first process ended before it had begun.

    Exit codes: those of run.
    """
    return call("headgate.cli.actions.steering:resume", options)
