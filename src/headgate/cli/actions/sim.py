"""``headgate sim``: the provider simulator as a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from headgate.assembly.parts import load_parts
from headgate.errors import ConfigError, UsageError, WireError
from headgate.sim.faults import Rule, parse
from headgate.sim.players.cast import EVERYBODY, PLAYERS
from headgate.sim.server import Simulator, serve
from headgate.sim.settings import SimSettings
from headgate.wire.json import decode


def sim(
    host: str,
    port: int | None,
    seed: int,
    latency: float,
    time_scale: float,
    state_dir: Path | None,
    faults: Path | None,
    mistakes: Sequence[str],
) -> None:
    """See `headgate sim --help`."""
    number = load_parts().settings.sim_port if port is None else port
    settings = SimSettings(
        host=host,
        port=number,
        seed=seed,
        latency=latency,
        time_scale=time_scale,
        state_dir=str(state_dir) if state_dir is not None else None,
        faults=() if faults is None else read_faults(faults),
        mistakes=dict(map(read_mistakes, mistakes)),
    )
    try:
        serve(settings, _ready)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{number}: {error.strerror}", hint="choose another port with --port") from error


def read_faults(path: Path) -> tuple[Rule, ...]:
    """The rules in a file. Raises `ConfigError` saying what is wrong with it."""
    try:
        return parse(decode(path.read_bytes(), what="the fault script", fault="local"))
    except (OSError, ValueError, WireError) as error:
        raise ConfigError(str(error), where=str(path), hint="see docs/how-to/use-the-simulator.md") from error


def read_mistakes(text: str) -> tuple[str, float]:
    """A player's name and its share of wrong answers, from ``NAME=SHARE``, or from ``SHARE`` for all. Raises `UsageError`."""
    name, _, share = text.rpartition("=")
    if name and name not in PLAYERS:
        raise UsageError(f"the simulator has no player {name!r}", hint=f"there are {', '.join(sorted(PLAYERS))}")
    try:
        value = float(share)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"{share!r} is no share of wrong answers", hint="give a number from 0 to 1, like --mistakes 0.1")
    return name or EVERYBODY, value


def _ready(simulator: Simulator) -> None:
    url = simulator.url
    click.echo(f"simulator on {url} (OpenAI {url}/openai/v1, Anthropic {url}/anthropic, Gemini {url}/gemini, and further wires)")
    click.echo(f"use it with: HEADGATE_SIM_URL={url} headgate ask hello -m sim-openai/sim-small")
