"""``headgate budgets``: what may be spent, and how far it is."""

from __future__ import annotations

import click

from headgate.cli.lazy import call


@click.group()
def budgets() -> None:
    """Show and change what may be spent."""


@budgets.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print everything known, as JSON.")
def ls(**options: object) -> int:
    """List the budgets in force, and every balance of their present windows."""
    return call("headgate.cli.actions.budgets:ls", options)


@budgets.command("set")
@click.argument("id")
@click.option("--limit", metavar="USD", help="Dollars in each window.")
@click.option("--scope", help="Whom it is for: global, key:ID, team:NAME, user:NAME, tag:NAME, provider:NAME, model:PROVIDER/NAME, run:ID.")
@click.option("--window", help="day, week, month, total or rolling:SECONDS.")
@click.option("--action", type=click.Choice(["warn", "block", "clamp", "degrade"]), help="What happens to what does not fit.")
@click.option("--thresholds", metavar="LIST", help="Per cents of the limit that are told, such as 75,90,100.")
def set_(**options: object) -> int:
    """Make the budget ID, or change what is given of it. A scope that ends with * gives every subject a balance of its own.

    Running gateways know it within about a second. A budget of headgate.yaml is what that file says again with the next start.
    """
    return call("headgate.cli.actions.budgets:set_", options)


@budgets.command("rm")
@click.argument("id")
def rm(**options: object) -> int:
    """Take a budget out of force. What was booked stays."""
    return call("headgate.cli.actions.budgets:rm", options)
