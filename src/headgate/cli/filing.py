"""``headgate archive``, ``unarchive``, ``rename`` and ``delete``: where runs lie, and how they are called."""

from __future__ import annotations

import click

from headgate.cli.lazy import call


@click.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def archive(**options: object) -> int:
    """Move RUN, paused or over, into the archive of the run folder, where ls does not look."""
    return call("headgate.cli.actions.filing:archive", options)


@click.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def unarchive(**options: object) -> int:
    """Move RUN (a name, or the beginning of one) from the archive back into the run folder."""
    return call("headgate.cli.actions.filing:unarchive", options)


@click.command()
@click.argument("run")
@click.argument("new")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def rename(**options: object) -> int:
    """Give RUN the name NEW. What was booked for it stays in the ledger, under the old name."""
    return call("headgate.cli.actions.filing:rename", options)


@click.command()
@click.argument("run")
@click.option("--provider", is_flag=True, help="Also cancel open batches at providers, and delete what they keep of the run.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def delete(**options: object) -> int:
    """Delete RUN with its results. What was booked for it stays in the ledger.

    Exit codes: 0 done, 1 something of it is left (it is said what, and why).
    """
    return call("headgate.cli.actions.filing:delete", options)
