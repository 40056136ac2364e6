"""``headgate pause``, ``resume``, ``kill``, ``restart`` and ``watch``: the process that drives a run."""

from __future__ import annotations

import click

from headgate.cli.lazy import call
from headgate.cli.params import going_on


@click.command()
@click.argument("run")
@going_on
def resume(**options: object) -> int:
    """Go on with RUN as it was begun, also with one whose first process ended before it had begun.

    Exit codes: those of run.
    """
    return call("headgate.cli.actions.steering:resume", options)


@click.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def pause(**options: object) -> int:
    """Interrupt the process that drives RUN, and wait until the run is paused. Batches at a provider go on there.

    Exit codes: 0 the run is paused or over, 1 it did not pause within ten seconds, or its process cannot be reached.
    """
    return call("headgate.cli.actions.steering:pause", options)


@click.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def kill(**options: object) -> int:
    """End the process that drives RUN: at once if it can, by force after five seconds. Finished work is kept; the run is paused.

    A run that says it is running, though no process drives it, is marked paused. Exit codes: 0 done, 1 the process is still there.
    """
    return call("headgate.cli.actions.steering:kill", options)


@click.command()
@click.argument("run")
@going_on
def restart(**options: object) -> int:
    """End the process that drives RUN, then go on with the run here. Finished work is kept, and nothing is paid twice.

    Exit codes: those of run.
    """
    return call("headgate.cli.actions.steering:restart", options)


@click.command()
@click.argument("run")
@click.option("--interval", type=click.FloatRange(0.05, 3600), default=1.0, show_default=True, help="Seconds between looks.")
@click.option("--resume", "go", is_flag=True, help="Drive the run when nobody does.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each change.")
def watch(**options: object) -> int:
    """Show the progress of RUN while another process drives it. Reads only; Ctrl-C ends the watching, not the run.

    Exit codes: 0 complete, 1 failed or driven by nobody, 2 cost limit, 3 timeout, 130 interrupted.
    """
    return call("headgate.cli.actions.steering:watch", options)
