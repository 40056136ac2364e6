"""``headgate models``: what can be called, and for how much."""

from __future__ import annotations

import click

from headgate.cli.lazy import call


class ListingGroup(click.Group):
    """A group that does something itself when what follows is none of its commands."""

    allow_interspersed_args = True

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object) -> click.Context:
        """The context of the command that is named first, else of the group itself."""
        if args and args[0] in self.commands:
            return click.Group(self.name, commands=self.commands).make_context(info_name, args, parent)
        return super().make_context(info_name, args, parent, **extra)


@click.group(cls=ListingGroup, invoke_without_command=True)
@click.argument("words", nargs=-1)
@click.option("-p", "--provider", help="Only this provider.")
@click.option("--all", "everything", is_flag=True, help="Retired models too.")
@click.option("--kind", help="Only models for this: chat, embedding, image, speech, transcription …")
@click.option("--json", "as_json", is_flag=True, help="Print everything known, as JSON.")
def models(**options: object) -> int:
    """List models whose name contains all WORDS, with list prices in dollars per million tokens."""
    return call("headgate.cli.actions.models:models", options)


@models.command("update")
@click.option("-p", "--provider", help="Only this provider.")
@click.option("--from", "source", type=click.Path(), metavar="FILE", help="Take genai-prices data (JSON) or an Octobatch models.yaml.")
@click.option("--llm", metavar="MODEL", help="Let this model read the prices of one provider from a saved page.")
@click.option("--page", type=click.Path(), metavar="FILE", help="The page's text, for --llm.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and write nothing.")
@click.option("--accept", is_flag=True, help="Believe changes by more than a factor of two, and prices of zero.")
@click.option("--verbose", is_flag=True, help="Name the models that left a provider's list.")
def update(**options: object) -> int:
    """Bring models and prices up to date, from the providers' own lists, a FILE, or a page.

    What changed is written to catalog.yaml in the data folder; a file of your own (setting catalog_file) goes before it. Models are added
    and completed, never removed. Lists say what there is, few say what it costs: a model without a known price is unpriced. Exit code 1:
    something was not believed.
    """
    return call("headgate.cli.actions.models:update", options)
