"""``headgate sim``: the provider simulator as a server."""

from __future__ import annotations

from pathlib import Path

import click

from headgate.assembly.parts import load_parts
from headgate.errors import ConfigError
from headgate.sim.faults import parse
from headgate.sim.server import Simulator, serve
from headgate.sim.settings import SimSettings
from headgate.wire.json import decode


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port (0: any free one).  [default: 6199]")
@click.option("--seed", default=0, show_default=True, help="Seed of every answer.")
@click.option("--latency", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Seconds before each realtime answer.")
@click.option("--time-scale", type=click.FloatRange(min=0.001), default=1.0, show_default=True, help="Simulated seconds per real second.")
@click.option("--state-dir", type=click.Path(path_type=Path), help="Keep files, batches and the bill here across restarts.")
@click.option("--faults", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A JSON file of fault rules.")
def sim(host: str, port: int | None, seed: int, latency: float, time_scale: float, state_dir: Path | None, faults: Path | None) -> None:
    """Serve the OpenAI, Anthropic and Gemini wires from a simulator. Any key that begins with "sim-" is accepted."""
    number = load_parts().settings.sim_port if port is None else port
    settings = SimSettings(
        host=host,
        port=number,
        seed=seed,
        latency=latency,
        time_scale=time_scale,
        state_dir=str(state_dir) if state_dir is not None else None,
        faults=parse(decode(faults.read_bytes(), what=str(faults), fault="local")) if faults is not None else (),
    )
    try:
        serve(settings, _ready)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{number}: {error.strerror}", hint="choose another port with --port") from error


def _ready(simulator: Simulator) -> None:
    url = simulator.url
    click.echo(f"simulator on {url} (OpenAI {url}/openai/v1, Anthropic {url}/anthropic, Gemini {url}/gemini)")
    click.echo(f"use it with: HEADGATE_SIM_URL={url} headgate ask hello -m sim-openai/sim-small")
