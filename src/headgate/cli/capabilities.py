"""``headgate capabilities``: what becomes of each feature on its way to a provider."""

from __future__ import annotations

import click

from headgate.cli.lazy import call


@click.command()
@click.option("-p", "--provider", help="Only this provider, with the reasons.")
@click.option("-s", "--surface", default="openai_chat", show_default=True, help="The wire the client speaks.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole matrix, reasons included, as JSON.")
def capabilities(**options: object) -> int:
    """Show which features of a request each provider gets as asked, approximated or not at all."""
    return call("headgate.cli.actions.capabilities:capabilities", options)
