"""A real process that reads its settings anew when it is asked to."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.assembly.parts import Parts, load_parts
from headgate.assembly.reloading import ask_reload, checked_parts, make_reloader
from headgate.errors import ConfigError
from headgate.serving.pid_file import pid_file, read_pid_file

pytest_plugins = ["headgate.testing.pytest_plugin"]

SERVE = """
import asyncio, signal, sys
from headgate.assembly.parts import load_parts
from headgate.assembly.reloading import make_reloader
from headgate.serving.pid_file import PidFile, pid_file

async def main():
    parts = load_parts()
    with PidFile(pid_file(parts.settings.data_dir, 6120)) as pid:
        reloader = make_reloader(parts, lambda new: None, print, note=pid.note)
        waiting = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: (reloader.ask(), waiting.set()))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sys.exit)

        async def sleep(seconds):
            await waiting.wait()
            waiting.clear()

        print("ready", flush=True)
        await reloader.run(sleep, asyncio.to_thread)

asyncio.run(main())
"""


@pytest.fixture
def server(headgate_environment: Path) -> Iterator[Path]:
    """A process that serves nothing and reloads; its working folder."""
    (headgate_environment / "headgate.yaml").write_text("request_timeout: 5\n")
    process = subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True, cwd=headgate_environment)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield headgate_environment
    process.kill()
    process.communicate()


def test_a_running_process_takes_new_settings_and_keeps_the_old_when_they_are_wrong(server: Path) -> None:
    data = server / "data"
    (server / "headgate.yaml").write_text("request_timeout: 6\nrouting: {strategy: speed}\n")
    before, after = ask_reload(data, 6120, 20, time.sleep)
    assert (before.reload.generation, after.reload.generation, after.reload.error) == (1, 2, None)
    (server / "headgate.yaml").write_text("request_timeout: 6\nroutes: {r: {deployments: [nobody/x]}}\n")
    _, after = ask_reload(data, 6120, 20, time.sleep)
    assert after.reload.generation == 2
    assert after.reload.error is not None
    assert f"{server}/headgate.yaml:2:28: unknown model 'nobody/x'" in after.reload.error
    (server / "headgate.yaml").write_text("gateway_port: 7000\n")
    _, after = ask_reload(data, 6120, 20, time.sleep)
    assert (after.reload.generation, after.reload.error, after.reload.restart) == (3, None, ("gateway_port",))


def test_nobody_is_asked_where_nobody_serves(headgate_environment: Path) -> None:
    with pytest.raises(ConfigError, match=r"no gateway of .* is running on port 6120"):
        ask_reload(headgate_environment, 6120, 1, time.sleep)
    assert read_pid_file(pid_file(headgate_environment, 6120)) is None


def test_parts_are_checked_before_they_are_taken(headgate_environment: Path) -> None:
    (headgate_environment / "headgate.yaml").write_text("aliases: {a: nobody/x}\n")
    with pytest.raises(ConfigError, match="1:14: unknown model 'nobody/x'"):
        checked_parts(None, headgate_environment)


def test_new_parts_keep_what_the_command_line_said(headgate_environment: Path) -> None:
    taken: list[Parts] = []
    parts = load_parts({"gateway_host": "127.0.0.2"}, key="from-the-command-line")
    reloader = make_reloader(parts, taken.append, print, flags={"gateway_host": "127.0.0.2"})
    assert reloader.current is parts
    loaded = reloader._load()
    assert (loaded.key, loaded.settings.gateway_host) == (parts.key, "127.0.0.2")
