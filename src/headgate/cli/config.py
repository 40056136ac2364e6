"""``headgate config`` and ``headgate reload``: the settings file, and the process that uses it."""

from __future__ import annotations

import click

from headgate.cli.lazy import call


@click.group()
def config() -> None:
    """Show, check and begin the settings file, headgate.yaml."""


@config.command("show")
@click.option("--origin", "origins", is_flag=True, help="Say where each value comes from.")
@click.option("--changed", is_flag=True, help="Only values that are not the default.")
@click.option("--json", "as_json", is_flag=True, help="Print the values, with their origins, as JSON.")
def show(**options: object) -> int:
    """Print the settings in force. Secrets are masked."""
    return call("headgate.cli.actions.config:show", options)


@config.command("check")
@click.argument("file", required=False, type=click.Path())
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(**options: object) -> int:
    """Check FILE, or the settings file in use: its form, and whether the models, accounts and providers it names exist.

    Nothing is sent anywhere. Exit code 3 when something is wrong.
    """
    return call("headgate.cli.actions.config:check", options)


@config.command("schema")
def schema(**options: object) -> int:
    """Print the JSON Schema of the settings file, for editors.

    With the line `# yaml-language-server: $schema=headgate.schema.json` at the top of headgate.yaml and this output in that file beside
    it, an editor completes and checks the keys.
    """
    return call("headgate.cli.actions.config:schema", options)


@config.command("init")
@click.argument("file", default="headgate.yaml", type=click.Path())
def init(**options: object) -> int:
    """Write a first settings file, and its schema beside it. What is there already stays."""
    return call("headgate.cli.actions.config:init", options)


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the gateway.  [default: 6120]")
@click.option("--wait", type=click.FloatRange(0, 600), default=5.0, show_default=True, help="Seconds to wait for the outcome.")
def reload(**options: object) -> int:
    """Let the running gateway read its settings anew, and say what came of it.

    It looks at the file every second by itself; this asks for a reading at once, and takes an empty file for what it says. Exit code 3
    when the new settings were not taken.
    """
    return call("headgate.cli.actions.config:reload", options)
