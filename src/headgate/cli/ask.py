"""``headgate ask``: one question, one answer, one receipt."""

from __future__ import annotations

import click

from headgate.cli.lazy import call
from headgate.cli.params import in_whose_name


@click.command()
@click.argument("words", nargs=-1)
@click.option("-m", "--model", help="provider/model, a name that one provider alone has, or a route or alias of headgate.yaml.")
@click.option("-p", "--provider", help="The provider, when the model is left out or ambiguous.")
@click.option("-s", "--system", help="System prompt.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Most tokens of the answer.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="Sampling temperature.")
@click.option("--account", metavar="NAME", help="Which of the provider's accounts in headgate.yaml to use.")
@in_whose_name
@click.option("--api-key", help="The provider's key, for once; others on this machine may see it: prefer the environment or .env.")
@click.option("--strict", is_flag=True, help="Refuse what would not arrive as asked, instead of a note.")
@click.option("--stream", is_flag=True, help="Print the answer as it comes.")
@click.option("--json", "as_json", is_flag=True, help="Print answer, usage, cost and receipt as JSON (a line per piece with --stream).")
def ask(**options: object) -> int:
    """Ask a model one question: WORDS, what comes on standard input, or both."""
    return call("headgate.cli.actions.ask:ask", options)
