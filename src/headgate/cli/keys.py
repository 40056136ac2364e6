"""``headgate keys``: virtual keys, in the store of the data folder; no server needs to run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from headgate.cli.lazy import call
from headgate.cli.params import Dollars, Duration

F = TypeVar("F", bound=Callable[..., object])
_COUNT = click.IntRange(min=1)


@click.group()
def keys() -> None:
    """Make, list, limit, rotate and revoke the keys of the gateway's clients."""


def _described(function: F) -> F:
    """The options that say what a key may do, how fast and how much."""
    options = (
        click.option("--name", help="What it is for."),
        click.option("--owner", help="Whose it is."),
        click.option("--team", help="The team whose budgets and limits it counts for."),
        click.option("--user", help="The user whose budgets and limits it counts for."),
        click.option("--tag", "tags", multiple=True, help="A tag whose budgets and limits it counts for; may be repeated."),
        click.option("--scope", "scopes", multiple=True, help="What it may do; may be repeated.  [default: call models, see usage]"),
        click.option("--model", "models", multiple=True, metavar="PATTERN", help="A model it may call, such as openai/*; may be repeated."),
        click.option("--expires-in", type=Duration(), help="How long it is good, such as 720h."),
        click.option("--max-output", type=_COUNT, help="Output tokens to assume for a request that sets no maximum."),
        click.option("--rpm", type=_COUNT, help="Requests a minute."),
        click.option("--tpm", type=_COUNT, help="Tokens a minute."),
        click.option("--input-tpm", type=_COUNT, help="Input tokens a minute."),
        click.option("--output-tpm", type=_COUNT, help="Output tokens a minute."),
        click.option("--concurrency", type=_COUNT, help="Requests at once."),
        click.option("--budget", type=Dollars(), help="Dollars it may spend in each window."),
        click.option("--window", help="The budget's window: day, week, month, total or rolling:SECONDS.  [default: month]"),
        click.option(
            "--action",
            type=click.Choice(["warn", "block", "clamp", "degrade"]),
            help="What happens when the budget is used up.  [default: block]",
        ),
        click.option("--recording", type=click.Choice(["off", "record", "replay"]), help="Keep, or replay, what is asked and answered."),
        click.option("--json", "as_json", is_flag=True, help="Print the key as JSON."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@keys.command("create")
@_described
@click.option("--quiet", is_flag=True, help="Print nothing but the key.")
@click.option("--import", "imported", is_flag=True, help="Keep a key of the form gs_live_… or gs_test_… read from standard input.")
def create(**options: object) -> int:
    """Make a key and print it: this once, for only a hash of it is kept."""
    return call("headgate.cli.actions.keys:create", options)


@keys.command("ls")
@click.option("--all", "everything", is_flag=True, help="Also those that are revoked or have expired.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def ls(**options: object) -> int:
    """List the keys."""
    return call("headgate.cli.actions.keys:ls", options)


@keys.command("show")
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="Print the key as JSON.")
def show(**options: object) -> int:
    """Show what the key ID may do, how fast and how much."""
    return call("headgate.cli.actions.keys:show", options)


@keys.command("limit")
@click.argument("id")
@_described
@click.option("--no", "without", multiple=True, metavar="NAME", help="Take off a limit, the budget, expires, a tag …; may be repeated.")
@click.option("--disable/--enable", "disabled", default=None, help="Refuse the key for the time being, or take it again.")
def limit(**options: object) -> int:
    """Change what the key ID may do, how fast or how much; what is not named stays. Servers notice within five seconds."""
    return call("headgate.cli.actions.keys:limit", options)


@keys.command("rotate")
@click.argument("id")
@click.option("--overlap", type=Duration(), help="How long the secret before is still taken, such as 24h.  [default: not at all]")
@click.option("--quiet", is_flag=True, help="Print nothing but the key.")
@click.option("--json", "as_json", is_flag=True, help="Print the key as JSON.")
def rotate(**options: object) -> int:
    """Give the key ID another secret and print it, this once."""
    return call("headgate.cli.actions.keys:rotate", options)


@keys.command("revoke")
@click.argument("id")
@click.option("--made", is_flag=True, help="Also every key that it made.")
@click.option("--json", "as_json", is_flag=True, help="Print what was revoked as JSON.")
def revoke(**options: object) -> int:
    """End the key ID for good. Servers notice within five seconds."""
    return call("headgate.cli.actions.keys:revoke", options)


@keys.command("audit")
@click.option("-n", "limit", type=_COUNT, default=20, show_default=True, help="How many entries.")
@click.option("--json", "as_json", is_flag=True, help="Print the entries as JSON.")
def audit(**options: object) -> int:
    """Show who did what to keys, newest first, and check that no entry was altered or taken out (exit code 1 when one was)."""
    return call("headgate.cli.actions.keys:audit", options)
