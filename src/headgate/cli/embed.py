"""``headgate embed``: texts in, vectors out, one receipt."""

from __future__ import annotations

import click

from headgate.cli.lazy import call
from headgate.cli.params import in_whose_name


@click.command()
@click.argument("words", metavar="[TEXT]...", nargs=-1)
@click.option("-m", "--model", required=True, help="provider/model, a name that one provider alone has, or an alias of headgate.yaml.")
@click.option("-d", "--dimensions", type=click.IntRange(min=1), help="Length of the vectors, where the model can shorten them.")
@click.option("-t", "--task", help="What they are for: query, document, similarity, classification, clustering, or the provider's word.")
@in_whose_name
@click.option("--api-key", help="The provider's key, for once; others on this machine may see it: prefer the environment or .env.")
@click.option("--json", "as_json", is_flag=True, help="Print vectors, usage, cost and receipt as one JSON object.")
def embed(**options: object) -> int:
    """Turn each TEXT into a vector; without TEXT, or with -, each line of standard input. Prints one JSON line per text."""
    return call("headgate.cli.actions.embed:embed", options)
