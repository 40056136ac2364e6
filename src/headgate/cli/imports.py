"""``headgate import``: configurations of other gateways, and runs of Octobatch."""

from __future__ import annotations

import click

from headgate.cli.lazy import call


@click.group()
def imports() -> None:
    """Take over the configuration of another gateway, or a run of Octobatch."""


@imports.command("litellm")
@click.argument("file", type=click.Path())
@click.option("-o", "--output", type=click.Path(), metavar="FILE", help="Write the settings here, with prices beside it; else print them.")
@click.option("--report", type=click.Path(), metavar="FILE", help="Write the report here, as Markdown; else print it.")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
def litellm(**options: object) -> int:
    """Turn a LiteLLM proxy configuration into headgate.yaml, and say what became of each of its keys.

    Keys are mapped, approximated or dropped, the latter two with the reason. Nothing of it is run, fetched or included, and keys that
    stand in the file are not copied. Exit code 7 when something was dropped.
    """
    return call("headgate.cli.actions.imports:litellm", options)


@imports.command("octobatch")
@click.argument("run_dir", type=click.Path())
@click.option("--as", "name", metavar="NAME", help="The new run's name or folder (else as the old one is called).")
@click.option("--pipeline", metavar="NAME", help="A pipeline with the same steps, in place of the run's own copy of its configuration.")
@click.option("-p", "--provider", help="Send every call from now on to this provider.")
@click.option("-m", "--model", help="Send every call from now on to this model; provider/model works too.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, with the places of all that is odd.")
def octobatch(**options: object) -> int:
    """Make a run of what the Octobatch run in RUN_DIR has done, to look at, mend, and go on with. RUN_DIR itself is only read.

    Records, failures with their raw answers, tries and tokens are taken over; calls are booked without a price. What is missing, twice or
    unreadable is named with its file and line. Exit code 7 when there is any of that.
    """
    return call("headgate.cli.actions.octobatch:octobatch", options)
