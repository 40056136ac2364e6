"""``headgate import``: configurations of other gateways."""

from __future__ import annotations

import click

from headgate.cli.lazy import call


@click.group()
def imports() -> None:
    """Take over the configuration of another gateway."""


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
