"""Taking new settings while serving: what changed, and that nothing half-done is ever in force (F18)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from headgate.config import Environment, Settings, load_settings
from headgate.config.reload import Change, Reloader, ReloadState, is_live, plan_reload, watched_files
from headgate.config.settings import NAMES
from headgate.errors import ConfigError, StoreError

SECRETS = {"ONE": "first-secret-0123456789", "TWO": "other-secret-0123456789"}


def settings(folder: Path, yaml: str, **real: str) -> Settings:
    (folder / "headgate.yaml").write_text(yaml)
    return load_settings(Environment({"HOME": "/homes/user", **SECRETS, **real}), folder)


OLD = """
aliases: {fast: a/b}
budgets: [{scope: global, limit_usd: 5, window: day}, {scope: "key:*", limit_usd: 1}]
routes: {chat: {deployments: [a/b]}}
alerts: {secret_env: ONE}
gateway_port: 7000
"""
NEW = """
routes: {chat: {deployments: [a/b, {model: c/d, weight: 2}]}}
budgets: [{scope: "key:*", limit_usd: 1}, {scope: global, limit_usd: 6, window: day}]
alerts: {secret_env: TWO}
gateway_port: 7001
routing: {strategy: quality}
"""


def test_what_changed_is_said_value_by_value_and_masked(tmp_path: Path) -> None:
    changes = plan_reload(settings(tmp_path, OLD), settings(tmp_path, NEW))
    assert [str(change) for change in changes] == [
        "~ gateway_port: 7000 → 7001  (takes a restart)",
        "- aliases.fast: a/b",
        "~ routing.strategy: local_first → quality",
        "~ budgets[global day].limit_usd: 5 → 6",
        "~ alerts.secret_env: first-…789 → other-…789  (takes a restart)",
        "+ routes.chat.deployments[1].model: c/d",
        "+ routes.chat.deployments[1].weight: 2.0",
    ]
    assert plan_reload(settings(tmp_path, OLD), settings(tmp_path, OLD)) == ()


def test_another_secret_of_the_same_look_is_a_change(tmp_path: Path) -> None:
    one = settings(tmp_path, "key: ${K}", K="hg-abc-11111111111111-xyz")
    other = settings(tmp_path, "key: ${K}", K="hg-abc-22222222222222-xyz")
    assert [str(change) for change in plan_reload(one, other)] == ["~ key: hg-abc…xyz → hg-abc…xyz (another one)  (takes a restart)"]


def test_what_is_live() -> None:
    assert is_live("routes.chat.strategy")
    assert is_live("budgets[global day].limit_usd")
    assert is_live("gateway.max_in_flight")
    assert not is_live("gateway.workers")
    assert not is_live("gateway_port")
    assert {name for name in NAMES if is_live(name)} >= {"aliases", "routes", "routing", "budgets", "limits", "providers"}
    assert not is_live("alerts.webhook_env")
    assert Change("a", None, "b", True) == Change("a", None, "b", True)


class Rig:
    """A settings file, a reloader over it, and what both did."""

    def __init__(self, folder: Path, yaml: str = "request_timeout: 1\n") -> None:
        self.folder = folder
        self.file = folder / "headgate.yaml"
        self.applied: list[Settings] = []
        self.said: list[str] = []
        self.noted: list[ReloadState] = []
        self.refuse: list[Exception | None] = []
        self.during: Callable[[], None] = lambda: None
        self.reads = 0
        self.write(yaml)
        self.environment = Environment({"HOME": "/homes/user", **SECRETS})
        self.reloader = Reloader(
            self.load(),
            self.load,
            self.apply,
            settings_of=lambda found: found,
            files=lambda found: watched_files(self.environment, folder, found),
            say=self.said.append,
            note=self.noted.append,
        )
        self.look(2)

    def write(self, yaml: str) -> None:
        """Replace the file, as an editor does."""
        new = self.folder / "new"
        new.write_text(yaml)
        os.replace(new, self.file)

    def load(self) -> Settings:
        self.reads += 1
        return load_settings(self.environment, self.folder)

    def apply(self, found: Settings) -> None:
        self.applied.append(found)
        problem = self.refuse.pop(0) if self.refuse else None
        if problem is not None:
            raise problem

    def look(self, times: int = 1) -> None:
        async def offload(load: Callable[[], Settings]) -> Settings:
            found = load()
            self.during()
            return found

        for _ in range(times):
            asyncio.run(self.reloader.look(offload))

    @property
    def timeout(self) -> float:
        return self.reloader.current.request_timeout


def test_a_changed_file_is_taken_once_it_stood_still(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    assert (rig.applied, rig.reloader.state) == ([], ReloadState(attempts=1))
    rig.write("request_timeout: 2\n")
    rig.look()
    assert rig.timeout == 1
    rig.look()
    assert (rig.timeout, [found.request_timeout for found in rig.applied]) == (2, [2])
    assert rig.said == ["settings reloaded, generation 2:", "  ~ request_timeout: 1.0 → 2.0"]
    assert rig.noted[-1] == rig.reloader.state == ReloadState(generation=2, attempts=2)
    reads = rig.reads
    rig.look(5)
    assert rig.reads == reads


def test_a_file_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    reads = rig.reads
    text = "request_timeout: 3\nconnect_timeout: 4\n"
    for length in range(5, len(text) + 1, 5):
        rig.file.write_text(text[:length])
        rig.look()
    assert rig.reads == reads
    rig.file.write_text(text)
    rig.look(2)
    assert rig.timeout == 3


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.write("request_timeout: 2\n")
    later = iter([lambda: rig.write("request_timeout: 30\n")])
    rig.during = lambda: next(later, lambda: None)()
    rig.look(2)
    assert rig.timeout == 1
    rig.look(2)
    assert (rig.timeout, [found.request_timeout for found in rig.applied]) == (30, [30])


@pytest.mark.parametrize("bad", ["request_timeout: [", "reqest_timeout: 2", "budgets: [{scope: global}]", "key: ${NOT_THERE}"])
def test_a_bad_file_changes_nothing_and_is_said_once(tmp_path: Path, bad: str) -> None:
    rig = Rig(tmp_path)
    rig.write(bad)
    rig.look(6)
    assert (rig.timeout, rig.applied, len(rig.said)) == (1, [], 1)
    assert rig.said[0].startswith(f"settings not reloaded, those in force stay: {rig.file}:1:")
    assert rig.reloader.state.error is not None
    assert rig.noted[-1].error == rig.reloader.state.error
    rig.write("request_timeout: 2\n")
    rig.look(2)
    assert (rig.timeout, rig.reloader.state.error) == (2, None)


def test_a_file_that_is_gone_or_empty_takes_nothing_away(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.file.unlink()
    rig.look(4)
    assert (rig.timeout, rig.reloader.state.error) == (1, f"{rig.file}: is gone; what it said stays in force")
    (tmp_path / ".env").write_text("HEADGATE_CONNECT_TIMEOUT=3\n")
    rig.look(4)
    assert rig.timeout == 1
    rig.file.write_text("")
    rig.look(4)
    assert (rig.timeout, rig.reloader.state.error) == (1, f"{rig.file}: is empty; what it said stays in force")
    rig.reloader.ask()
    rig.look()
    assert (rig.timeout, rig.reloader.state.error) == (120, None)


def test_what_cannot_be_applied_is_taken_back(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.refuse = [StoreError("disk full")]
    rig.write("request_timeout: 2\n")
    rig.look(2)
    assert [found.request_timeout for found in rig.applied] == [2, 1]
    assert (rig.timeout, rig.reloader.state.error) == (1, "disk full")
    rig.reloader.ask()
    rig.look()
    assert (rig.timeout, rig.reloader.state) == (2, ReloadState(generation=2, attempts=3))


def test_a_way_back_that_fails_is_said(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.refuse = [StoreError("disk full"), ConfigError("no way")]
    rig.write("request_timeout: 2\n")
    rig.look(2)
    assert rig.reloader.state.error == "disk full; going back failed as well: no way"


def test_a_defect_passes_on_after_the_way_back(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.refuse = [TypeError("a defect")]
    rig.write("request_timeout: 2\n")
    with pytest.raises(TypeError):
        rig.look(2)
    assert ([found.request_timeout for found in rig.applied], rig.timeout) == ([2, 1], 1)


def test_a_question_is_answered_at_the_next_look_and_counts_even_without_a_change(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.reloader.ask()
    rig.look()
    assert rig.reloader.state == ReloadState(generation=1, attempts=2)
    rig.write("gateway_port: 7000\nrequest_timeout: 2\n")
    rig.reloader.ask()
    rig.look()
    assert rig.reloader.state == ReloadState(generation=2, attempts=3, restart=("gateway_port",))


def test_the_dotenv_and_the_catalog_are_watched_too(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    (tmp_path / ".env").write_text("HEADGATE_REQUEST_TIMEOUT=9\n")
    found = watched_files(rig.environment, tmp_path, rig.reloader.current)
    assert found == (rig.file, tmp_path / ".env")
    named = settings(tmp_path, "catalog_file: prices.yaml\n")
    assert watched_files(rig.environment, tmp_path, named)[2] == tmp_path / "prices.yaml"


def test_it_looks_until_it_is_cancelled(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 3:
            raise asyncio.CancelledError

    async def offload(load: Callable[[], Settings]) -> Settings:
        return load()

    async def run() -> None:
        waiting: Awaitable[None] = rig.reloader.run(sleep, offload)
        await waiting

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert slept == [1.0] * 4
