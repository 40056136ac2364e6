"""``headgate verify``, ``repair``, ``retry`` and ``revalidate``: counting a run, and mending it."""

from __future__ import annotations

import click

from headgate.cli.lazy import call


@click.command()
@click.argument("run")
@click.option("--deep", is_flag=True, help="Read and decode every stored row.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, with the ids of all units.")
def verify(**options: object) -> int:
    """Count RUN unit by unit: what each step should have, has, and misses; whether files, costs and results agree.

    Reads only, also while a process drives the run. Exit codes: 0 all is well, 4 something is wrong.
    """
    return call("headgate.cli.actions.mending:verify", options)
