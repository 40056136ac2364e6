"""``headgate budgets``: what may be spent, and how far it is."""

from __future__ import annotations

import click

from headgate.cli.lazy import call

_JSON = click.option("--json", "as_json", is_flag=True, help="Print everything known, as JSON.")


@click.group()
def budgets() -> None:
    """Show and change what may be spent."""


@budgets.command("ls")
@_JSON
def ls(**options: object) -> int:
    """List the budgets in force, and every balance of their present windows."""
    return call("headgate.cli.actions.budgets:ls", options)


@budgets.command("show")
@click.argument("id")
@_JSON
def show(**options: object) -> int:
    """Show the budget ID, how far each of its balances is, and what was told of it."""
    return call("headgate.cli.actions.budgets:show", options)


@budgets.command("set")
@click.argument("id")
@click.option("--limit", metavar="USD", help="Dollars in each window.")
@click.option("--scope", help="Whom it is for: global, key:*, team:NAME, user:NAME, tag:NAME, provider:NAME, model:PROVIDER/NAME, run:ID.")
@click.option("--window", help="day, week, month, total or rolling:SECONDS.")
@click.option("--action", type=click.Choice(["warn", "block", "clamp", "degrade"]), help="What happens to what does not fit.")
@click.option("--thresholds", metavar="LIST", help="Per cents of the limit that are told, such as 75,90,100.")
@_JSON
def set_(**options: object) -> int:
    """Make the budget ID, or change what is given of it. A scope that ends with * gives every subject a balance of its own.

    Running gateways know it within about a second. A budget of headgate.yaml is what that file says again with the next start.
    The budget of one key is changed with the key: headgate keys limit ID --budget USD.
    """
    return call("headgate.cli.actions.budgets:set_", options)


@budgets.command("end")
@click.argument("id")
def end(**options: object) -> int:
    """Take the budget ID out of force. What was booked stays."""
    return call("headgate.cli.actions.budgets:end", options)


@budgets.command("alerts")
@click.option("--budget", metavar="ID", help="Only those of one budget.")
@click.option("-n", "most", type=click.IntRange(min=1), default=20, show_default=True, help="How many.")
@_JSON
def alerts(**options: object) -> int:
    """Show which thresholds were told, the newest first, and whether the webhook took them."""
    return call("headgate.cli.actions.budgets:alerts", options)
