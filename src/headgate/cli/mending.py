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


@click.command()
@click.argument("run")
@click.option("--step", metavar="STEP", help="Only units that failed at this step.")
@click.option("--reason", "reasons", multiple=True, metavar="REASON", help="Only units that failed for this; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="Every failed unit, also where another try cannot end differently.")
@click.option("--go", is_flag=True, help="Drive the run at once.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def retry(**options: object) -> int:
    """Give the failed units of RUN new tries: those that failed for a reason that may pass, and no other unit.

    What they cost before stays booked. The run is paused afterwards. Exit codes: 0 done; with --go those of run.
    """
    return call("headgate.cli.actions.mending:retry", options)


@click.command()
@click.argument("run")
@click.option("--step", metavar="STEP", help="Only units that failed at this step.")
@click.option("--use-source-config", "source", flag_value=True, default=True, help="Judge by the pipeline as it is now (the default).")
@click.option("--use-run-config", "source", flag_value=False, help="Judge by the run's own copy of the pipeline.")
@click.option("--dry-run", is_flag=True, help="Say what would become of them, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def revalidate(**options: object) -> int:
    """Judge the stored answers of RUN's failed units again, without a call; those that hold now go on to the next step.

    The run is paused when there is work for them. What cannot be read stays as it is. Exit code: 0.
    """
    return call("headgate.cli.actions.mending:revalidate", options)


@click.command()
@click.argument("run")
@click.option("--again", is_flag=True, help="Ask units whose answers cannot be read again; that costs what it costs.")
@click.option("--deep", is_flag=True, help="Read and decode every stored row.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def repair(**options: object) -> int:
    """Mend what verify finds wrong with RUN: missing units are made anew, counters are computed again. Says first what it will do.

    Exit codes: 0 all is well afterwards, 4 something is still wrong.
    """
    return call("headgate.cli.actions.mending:repair", options)
