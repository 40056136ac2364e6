"""The provider simulator for tests, without pytest: start one, and aim targets and clients at it.

::

    with running_simulator() as simulator:
        target = simulated_target(PROVIDERS["sim-openai"], simulator)
        simulator.set_faults(fault("chat", Status("rate_limit", retry_after=2)))
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import msgspec

from headgate.catalog.cards import ModelCard
from headgate.catalog.load import load_catalog
from headgate.client import BatchClient, ChatClient, Credential, Target, make_origin
from headgate.config import Secret
from headgate.providers import Provider
from headgate.sim.faults import Action, Match, Rule
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.testing.clock import START, Clock, ManualClock
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import TransportSettings

T = TypeVar("T")

KEY = "sim-headgate"
END_OF_BATCH = 3600.0
"""Simulated seconds after which every batch of the simulator's usual timings is over."""
QUICK = TransportSettings(connect_timeout=5.0, total_timeout=20.0, stream_timeout=20.0, download_timeout=20.0)


@contextmanager
def running_simulator(settings: SimSettings | None = None, clock: Clock | None = None) -> Iterator[Simulator]:
    """A simulator on a free port of loopback, served by a thread. Its clock stands still until `simulator.advance(seconds)`."""
    with Simulator(settings or SimSettings(seed=7), clock=clock or ManualClock(START)).run_in_thread() as simulator:
        yield simulator


def fault(operation: str, action: Action, *, first: int | None = None) -> tuple[Rule, ...]:
    """A script of one rule: `action` happens to every request of this operation, or to the `first` few."""
    return (Rule(action, Match(operation=operation, first=first)),)


def wait_for(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether `holds()` becomes true within `seconds`: for what the simulator's thread is about to notice."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not holds():
        if time.monotonic() >= deadline:
            return False
        pause.wait(0.002)
    return True


def default_card(provider: Provider) -> ModelCard | None:
    """What the shipped catalog knows of the provider's default model."""
    return None if provider.default_model is None else load_catalog().find(provider.name, provider.default_model)


def simulated_target(provider: Provider, simulator: Simulator, model: str | None = None, key: str | None = None) -> Target:
    """A model of a simulated provider (its default, if none is named) at `simulator`, with the well-known key unless one is given."""
    name = model or provider.default_model or "sim-small"
    credential = Credential("tests", Secret(key or provider.auth.default or KEY))
    return target_at(provider, simulator.url, name, credential, load_catalog().find(provider.name, name))


def target_at(provider: Provider, url: str, model: str, credential: Credential, card: ModelCard | None = None) -> Target:
    """A model of a simulated provider, all of whose hosts lie at the simulator's `url`."""
    variables = {variable.name: variable.default or "" for variable in provider.variables}
    hosts = {name: make_origin(msgspec.structs.replace(provider, base_path=path), url, None, None) for name, path in provider.hosts}
    return Target(provider, model, credential, make_origin(provider, url, None, None, variables), card, variables, hosts)


def with_chat(work: Callable[[ChatClient], Awaitable[T]]) -> T:
    """Run `work` with a chat client of its own in a fresh event loop; every connection is closed afterwards."""

    async def main() -> T:
        async with HttpClient(QUICK) as http:
            return await work(ChatClient(http))

    return asyncio.run(main())


def with_batches(target: Target, work: Callable[[BatchClient], Awaitable[T]]) -> T:
    """Run `work` with a batch client for `target`; downloads go to a folder that is removed afterwards."""

    async def main(folder: Path) -> T:
        async with HttpClient(QUICK) as http:
            return await work(BatchClient(http, target, folder))

    with TemporaryDirectory(prefix="headgate-") as folder:
        return asyncio.run(main(Path(folder)))
