"""``headgate sim``: the provider simulator as a server."""

from __future__ import annotations

from pathlib import Path

import click

from headgate.cli.lazy import call


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port (0: any free one).  [default: 6199]")
@click.option("--seed", default=0, show_default=True, help="Seed of every answer.")
@click.option("--latency", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Seconds before each realtime answer.")
@click.option("--time-scale", type=click.FloatRange(min=0.001), default=1.0, show_default=True, help="Simulated seconds per real second.")
@click.option("--state-dir", type=click.Path(path_type=Path), help="Keep files, batches and the bill here across restarts.")
@click.option("--faults", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A JSON file of fault rules.")
@click.option("--mistakes", multiple=True, metavar="[NAME=]SHARE", help="Share of wrong answers in the questions of the demos.")
def sim(**options: object) -> int:
    """Serve the OpenAI, Anthropic and Gemini wires from a simulator. Any key that begins with "sim-" is accepted."""
    return call("headgate.cli.actions.sim:sim", options)
