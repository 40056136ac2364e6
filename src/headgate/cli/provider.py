"""``headgate provider``: which providers there are, whether they answer, and the beginnings of a new one."""

from __future__ import annotations

import click

from headgate.cli.lazy import call


@click.group()
def provider() -> None:
    """List providers, try one, or begin a new one."""


@provider.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def ls(**options: object) -> int:
    """List every provider: built in, declared in headgate.yaml, and brought by other packages."""
    return call("headgate.cli.actions.provider:ls", options)


@provider.command("check")
@click.argument("name")
@click.option("-m", "--model", help="Ask this model; else the provider's default.")
@click.option("--account", metavar="NAME", help="Which of the provider's accounts in headgate.yaml to use.")
def check(**options: object) -> int:
    """Ask provider NAME for one word, and show where the call went, with which key, and what came back. Costs a few tokens."""
    return call("headgate.cli.actions.provider:check", options)


@provider.command("new")
@click.argument("name")
@click.option("--dialect", default="openai_chat", show_default=True, help="The wire it speaks.")
@click.option("--base-url", help="What dialect paths are appended to.  [default: https://api.NAME.example/v1]")
@click.option("--key-env", help="The variable its key is looked for in.  [default: NAME_API_KEY]")
@click.option("--label", help="Its name for people.")
@click.option(
    "--folder", type=click.Path(file_okay=False), default=".", help="A checkout of Headgate, or where to make a package.  [default: .]"
)
def new(**options: object) -> int:
    """Write a new provider: record, models, documentation and test.

    In a checkout of Headgate they become part of it; anywhere else a package of its own is made, which Headgate finds once it is installed.
    """
    return call("headgate.cli.actions.provider:new", options)
