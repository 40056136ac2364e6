"""``headgate tokens``: how many tokens a question has, and who counted."""

from __future__ import annotations

import click

from headgate.cli.lazy import call


@click.command()
@click.argument("words", nargs=-1)
@click.option("-m", "--model", required=True, help="provider/model, or a name that one provider alone has.")
@click.option("-s", "--system", help="System prompt.")
@click.option("--json", "as_json", is_flag=True, help="Print the count as JSON.")
def tokens(**options: object) -> int:
    """Count the tokens of WORDS, of standard input, or of both, as MODEL would read them.

    OpenAI, Anthropic, Gemini and Vertex are asked, which costs nothing; for others the number is an estimate and says so.
    """
    return call("headgate.cli.actions.tokens:tokens", options)
