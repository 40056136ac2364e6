"""A pytest plugin: fixtures on the simulator, and ``--headgate-sim``. Installing Headgate installs it.

* `headgate_sim`: a simulator to ask, to make fail and to read the bill of.
* `headgate_sim_settings`, `headgate_sim_clock`: override them to shape the simulators of `headgate_sim`.
* `headgate_environment`: an empty working folder and data folder, no keys, and `HEADGATE_SIM_URL` set.

With ``--headgate-sim`` one simulator serves the whole session, `HEADGATE_SIM_URL` leads there, and `headgate_sim` is that one, emptied for
each test. Without it every test that asks for `headgate_sim` has one of its own, whose clock stands still until it is advanced.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from headgate.providers import PROVIDERS
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.testing.clock import START, Clock, ManualClock
from headgate.testing.simulators import running_simulator

OPTION = "--headgate-sim"
VARIABLE = "HEADGATE_SIM_URL"
SPEED = 60.0
"""Simulated seconds per real one in a session's simulator: a batch takes a second or two."""

_session = pytest.StashKey[Simulator]()
_stack = pytest.StashKey[ExitStack]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option."""
    text = f"run the tests against one simulator of the LLM providers, at {VARIABLE}"
    parser.getgroup("headgate").addoption(OPTION, action="store_true", default=False, help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Start the session's simulator, if it is wanted."""
    if not config.getoption(OPTION, default=False) or _session in config.stash:
        return
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator(SimSettings(seed=7, time_scale=SPEED)).run_in_thread())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv(VARIABLE, simulator.url)
        config.stash[_session] = simulator
        config.stash[_stack] = stack.pop_all()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the session's simulator."""
    stack = config.stash.get(_stack, None)
    if stack is not None:
        stack.close()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say where the session's simulator listens."""
    simulator = config.stash.get(_session, None)
    return [] if simulator is None else [f"headgate simulator: {simulator.url}"]


@pytest.fixture
def headgate_sim_settings() -> SimSettings:
    """How a test's own simulator is set up."""
    return SimSettings(seed=7)


@pytest.fixture
def headgate_sim_clock() -> Clock:
    """The clock of a test's own simulator: one that stands still until it is advanced."""
    return ManualClock(START)


@pytest.fixture
def headgate_sim(pytestconfig: pytest.Config, headgate_sim_settings: SimSettings, headgate_sim_clock: Clock) -> Iterator[Simulator]:
    """A running simulator: `url_of(wire)`, `fail(…)`, `bill`, `requests`, `advance(seconds)`."""
    shared = pytestconfig.stash.get(_session, None)
    if shared is not None:
        shared.reset()
        yield shared
        shared.reset()
        return
    with running_simulator(headgate_sim_settings, headgate_sim_clock) as simulator:
        yield simulator


def variables_of_providers() -> set[str]:
    """Every variable in which a provider looks for a key, a part of one, an address or a part of one."""
    return {
        name.removesuffix("?")
        for provider in PROVIDERS.values()
        for names in (provider.auth.env, provider.auth.parts, provider.url_env, *(variable.env for variable in provider.variables))
        for name in names
    }


@pytest.fixture
def headgate_environment(headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The working folder of a user without keys or settings, whose simulated providers lie at `headgate_sim`."""
    kept = {*variables_of_providers(), "DATABASE_URL"}
    for name in [name for name in os.environ if name.startswith(("HEADGATE_", "GENAI_")) or name in kept]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(VARIABLE, headgate_sim.url)
    monkeypatch.setenv("HEADGATE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path
