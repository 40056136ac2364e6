"""``headgate receipt``, ``why``, ``receipts`` and ``usage``: what was spent, on what, and whether that is so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from headgate.cli.lazy import call
from headgate.cli.params import When

C = TypeVar("C", bound=Callable[..., int])
DIMENSIONS = ("provider", "model", "account", "lane", "face", "key", "team", "user", "run", "day", "total")


def filters(command: C) -> C:
    """The options that say which receipts."""
    for option in reversed(
        (
            click.option("--since", type=When(), help="Only from this day or moment on; 7d: the last seven days."),
            click.option("--until", type=When(), help="Only before this day or moment."),
            click.option("-p", "--provider", help="Only this provider."),
            click.option("-m", "--model", help="Only this model, as the provider calls it."),
            click.option("--run", help="Only this run."),
            click.option("--key", metavar="ID", help="Only what this key asked."),
            click.option("--team", help="Only this team."),
            click.option("--user", help="Only this user."),
            click.option("--status", type=click.Choice(["ok", "error", "cancelled"]), help="Only what ended like this."),
            click.option("--lane", type=click.Choice(["realtime", "batch"]), help="Only this lane."),
        )
    ):
        command = option(command)
    return command


@click.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def receipt(**options: object) -> int:
    """Show the receipt ID (its beginning will do, or `last`): every bucket and price, every attempt, who pays, what was saved."""
    return call("headgate.cli.actions.receipts:receipt", options)


@click.command()
@click.argument("id")
def why(**options: object) -> int:
    """Tell what happened to the request of receipt ID (its beginning will do, or `last`), in one paragraph."""
    return call("headgate.cli.actions.receipts:why", options)


@click.group()
def receipts() -> None:
    """List, export, prove and prune receipts."""


@receipts.command("ls")
@filters
@click.option("-n", "--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def ls(**options: object) -> int:
    """List receipts, newest first."""
    return call("headgate.cli.actions.receipts:ls", options)


@receipts.command("export")
@filters
@click.option("-o", "--output", type=click.Path(), metavar="FILE", help="Write to FILE, which appears whole or not at all.")
@click.option("--format", "kind", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True, help="How to write them.")
@click.option("--excel-safe", is_flag=True, help="In CSV, put ' before texts that a spreadsheet would take for a formula.")
def export(**options: object) -> int:
    """Write out receipts, newest first. They hold no prompts and no answers."""
    return call("headgate.cli.actions.receipts:export", options)


@receipts.command("verify")
@click.option("--head", metavar="SEQ:HASH", help="A head noted earlier (an earlier run prints it) that must still be there.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def verify(**options: object) -> int:
    """Prove that no receipt was altered, removed or added since it was written. Exit code 1: something was."""
    return call("headgate.cli.actions.proofs:verify", options)


@receipts.command("recompute")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def recompute(**options: object) -> int:
    """Work out every receipt anew from its usage and unit prices, to the last nano-dollar. Exit code 1: one differs."""
    return call("headgate.cli.actions.proofs:recompute", options)


@receipts.command("reconcile")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("-p", "--provider", help="Whose invoice it is; known for the exports of OpenAI and Anthropic.")
@click.option("--account", metavar="NAME", help="Only what was spent with this account.")
@click.option(
    "--column", "columns", multiple=True, metavar="ROLE=COLUMN", help="Which column is day, model, input, output, cost, requests."
)
@click.option("--tolerance", type=click.FloatRange(0, 100), default=0.5, show_default=True, metavar="PERCENT", help="What may differ.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def reconcile(**options: object) -> int:
    """Compare a provider's usage or cost export FILE (CSV) with the ledger, by day and model. Exit code 7: they differ."""
    return call("headgate.cli.actions.proofs:reconcile", options)


@receipts.command("true-up")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("-p", "--provider", help="Whose invoice it is. Without it: that of all providers together.")
@click.option("--column", "columns", multiple=True, required=True, metavar="ROLE=COLUMN", help="Which column is id, and which cost.")
@click.option("--since", type=When(), help="With --until: the invoice is complete from this day or moment on.")
@click.option("--until", type=When(), help="... and before this one. Estimates of that time that it does not bill then cost nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def true_up(**options: object) -> int:
    """Bring receipts to what an invoice FILE (CSV) bills for each request, named by our id. Budgets follow; receipts stay as written."""
    return call("headgate.cli.actions.true_up:true_up", options)


@receipts.command("prune")
@click.option("--before", type=When(), required=True, help="Delete what is older than this day or moment.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def prune(**options: object) -> int:
    """Delete old receipts. What remains can still be verified; budgets keep what was spent, usage reports do not."""
    return call("headgate.cli.actions.proofs:prune", options)


@click.command()
@click.option("--since", type=When(), help="Only from this day or moment on; 7d: the last seven days.")
@click.option("--until", type=When(), help="Only before this day or moment.")
@click.option("--by", type=click.Choice(DIMENSIONS), default="model", show_default=True, help="What to add up by.")
@click.option("-p", "--provider", help="Only this provider.")
@click.option("-m", "--model", help="Only this model, as the provider calls it.")
@click.option("--run", help="Only this run.")
@click.option("--key", metavar="ID", help="Only what this key asked.")
@click.option("--team", help="Only this team.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def usage(**options: object) -> int:
    """Show what was used and what it cost."""
    return call("headgate.cli.actions.receipts:usage", options)
