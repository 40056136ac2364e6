"""``headgate new`` and ``headgate schema``: the beginnings of a pipeline, and what its configuration may say."""

from __future__ import annotations

import click

from headgate.cli.lazy import call


@click.group()
def new() -> None:
    """Begin a pipeline of your own."""


@new.command("pipeline")
@click.argument("name")
@click.option("--from", "template", default="classify", show_default=True, metavar="TEMPLATE", help="One of the templates above.")
@click.option("--folder", type=click.Path(file_okay=False), default="pipelines", show_default=True, help="Where its folder is made.")
@click.option("--schema", "with_schema", is_flag=True, help="Write the schema beside it, so that an editor completes and checks the keys.")
@click.option("--force", is_flag=True, help="Write over what is there.")
def pipeline(**options: object) -> int:
    """Write a pipeline NAME that can be checked and run at once.

    Templates: classify (put texts into classes), extract (take fields out of texts), expression (compute, without a model),
    fan_out (several units of each answer).
    """
    return call("headgate.cli.actions.new:pipeline", options)


@click.group()
def schema() -> None:
    """Print the schema of a file, for editors."""


@schema.command("pipeline")
def schema_pipeline(**options: object) -> int:
    """Print the JSON Schema of a pipeline's config.yaml.

    With the line `# yaml-language-server: $schema=pipeline.schema.json` at its top and this output in that file beside it, an editor
    completes and checks the keys.
    """
    return call("headgate.cli.actions.new:schema_pipeline", options)
