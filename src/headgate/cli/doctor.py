"""``headgate doctor``: is everything in place?"""

from __future__ import annotations

import click

from headgate.cli.lazy import call


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.option("--strict", is_flag=True, help="Warnings count as failures.")
def doctor(**options: object) -> int:
    """Check keys, data, folders and ports. Sends nothing anywhere. Exit code 1 when something must be mended."""
    return call("headgate.cli.actions.doctor:doctor", options)
