"""``headgate route``: whom a request would go to, and what another policy would have done."""

from __future__ import annotations

import click

from headgate.cli.lazy import call
from headgate.cli.params import Dollars

HINTS = ("local_preferred", "cloud_preferred", "best_quality", "cheapest")
NEEDS = ("tools", "vision", "documents", "audio", "json_schema", "json_object", "reasoning", "logprobs", "choices", "stream", "prefill")


@click.group()
def route() -> None:
    """Explain where requests go, or try another policy on logged ones."""


@route.command("explain")
@click.option("-m", "--model", default="", help="A route, an alias, a model, or nothing: what a client would write.")
@click.option("--provider", help="Only this provider.")
@click.option("--hint", type=click.Choice(HINTS), help="As a request's provider_hint.")
@click.option("--strategy", help="As a request's routing block.")
@click.option("--need", "needs", multiple=True, type=click.Choice(NEEDS), help="What the model must be able to do; repeatable.")
@click.option("--input-tokens", type=click.IntRange(0), help="Tokens of the request.")
@click.option("--max-output", type=click.IntRange(1), help="Tokens of the answer at most.")
@click.option("--max-cost", type=Dollars(), help="Dollars the request may be expected to cost.")
@click.option("--prefer", multiple=True, metavar="PROVIDER", help="A provider to go first; repeatable, in this order.")
@click.option("--private", is_flag=True, help="Only where nothing leaves the house.")
@click.option("--region", help="Only deployments of this region.")
@click.option("--embed", is_flag=True, help="For vectors, not for a chat.")
@click.option("--session", help="The conversation, for routes that are sticky.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def explain(**options: object) -> int:
    """Show whom a request would be sent to, in which order, and why not to others. No call is made.

    What a running gateway has measured is not known here: POST /v1/route/explain asks it.
    """
    return call("headgate.cli.actions.route:explain", options)


@route.command("simulate")
@click.argument("log", type=click.Path(exists=True, dir_okay=False))
@click.option("--strategy", required=True, help="The policy to try.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def simulate(**options: object) -> int:
    """Decide the requests of LOG (see the setting routing_log) anew, and compare shares, cost and time."""
    return call("headgate.cli.actions.route:simulate", options)
