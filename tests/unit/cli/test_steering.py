"""``headgate pause``, ``resume``, ``kill``, ``restart`` and ``watch``, on runs that other processes drive."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event

import pytest

from headgate.assembly.parts import load_parts
from headgate.assembly.resuming import resume_request
from headgate.assembly.run_log import RunLog
from headgate.assembly.runs import RunRequest, open_run
from headgate.assembly.steering import driver_of, kill_run
from headgate.batch.home import Home
from headgate.batch.states import RunState
from headgate.errors import RunError
from headgate.sim.faults import Delay, Match, Rule
from headgate.sim.server import Simulator
from headgate.testing.clock import START, Clock, ScaledClock
from headgate.testing.pipelines import write_quiz
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]
Start = Callable[..., "subprocess.Popen[str]"]
PATIENCE = 30.0


@pytest.fixture
def headgate_sim_clock() -> Clock:
    """A batch of a minute is over in a third of a second."""
    return ScaledClock(START, 200.0)


@pytest.fixture
def slow(headgate_environment: Path, headgate_sim: Simulator) -> Simulator:
    """A simulator that lets every question but the first two wait, and a pipeline to ask it."""
    write_quiz(headgate_environment)
    headgate_sim.set_faults((Rule(Delay(60.0), Match(operation="chat", nth=3)),))
    return headgate_sim


@pytest.fixture
def start(headgate_environment: Path) -> Iterator[Start]:
    """Start ``headgate ARGS`` in a process of its own."""
    with ExitStack() as stack:

        def begin(*arguments: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", "from headgate.cli import main; main()", *arguments]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield begin


def wait_for(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    tick = Event()
    for _ in range(round(PATIENCE * 100)):
        if holds():
            return
        tick.wait(0.01)
    pytest.fail("waited in vain")


def under_way(start: Start) -> subprocess.Popen[str]:
    """A run `one` that has two answers and waits for the third."""
    process = start("run", "Quiz", "-r", "one", "--concurrency", "1")
    wait_for(lambda: claims(Path("runs/one/run.sqlite")) >= 3)
    return process


def claims(path: Path) -> int:
    """Calls that a run has written down, answered or not, 0 while there is none."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        known = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'claim'").fetchone()
        if not known:
            return 0
        return int(database.execute("SELECT (SELECT count(*) FROM claim) + (SELECT count(*) FROM attempt)").fetchone()[0])


def log(folder: Path) -> list[tuple[str, str]]:
    """Tags and texts of the run's log."""
    lines = (folder / "runs" / "one" / "run.log").read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ([A-Z_]+) +(.*)", line) for line in lines]
    return [(match[1], match[2]) for match in found if match is not None]


def test_a_run_is_paused_and_resumed_from_elsewhere(headgate: Command, headgate_environment: Path, slow: Simulator, start: Start) -> None:
    process = under_way(start)
    told = headgate("pause", "one", "--json", code=0).json()
    assert (told["pid"], told["ended"], told["state"], told["reason"]) == (process.pid, True, "paused", "interrupted")
    assert process.wait(PATIENCE) == 130
    assert "paused (interrupted); no process drives it" in headgate("pause", "one", code=0).out
    slow.set_faults(())
    done = headgate("resume", "one", "--json", code=0)
    assert (done.json()["valid"], done.json()["state"]) == (6, "complete")
    assert "resuming one" in done.err
    assert headgate("resume", "one", "--json", code=0).json()["state"] == "complete"
    assert ("STATE", "paused: interrupted") in log(headgate_environment)
    assert [text for tag, text in log(headgate_environment) if tag == "INIT"] == [
        f"run one: Quiz, realtime, sim-openai/sim-small, process {process.pid}",
        *[f"resuming one: Quiz, realtime, sim-openai/sim-small, process {os.getpid()}"] * 2,
    ]
    assert log(headgate_environment)[-1] == ("INFO", "exit code 0: 6 valid, 0 failed")


def test_a_run_is_verified_while_it_is_driven(headgate: Command, slow: Simulator, start: Start) -> None:
    """What is pending is no fault then."""
    process = under_way(start)
    told = headgate("verify", "one", "--deep", "--json", code=0).json()
    assert (told["driven"], told["state"], told["integrity"]) == (True, "running", "OK")
    (step,) = told["steps"]
    assert (step["expected"], step["valid"] + step["pending"]) == (6, 6) and step["pending"] >= 4
    for arguments in (("repair", "one", "--yes"), ("retry", "one"), ("resume", "one")):
        assert f"is driven by process {process.pid}" in headgate(*arguments, code=1).err


def test_a_stuck_process_is_ended_by_force(headgate: Command, headgate_environment: Path, slow: Simulator, start: Start) -> None:
    process = under_way(start)
    os.kill(process.pid, signal.SIGSTOP)
    folder = headgate_environment / "runs" / "one"
    done = kill_run(folder, grace=0.2)
    assert (done.pid, done.ended, done.state, done.reason, done.marked) == (process.pid, True, RunState.PAUSED, "killed", True)
    assert process.wait(PATIENCE) == -signal.SIGKILL
    status = headgate("status", "one", "--json").json()
    assert (status["state"], status["reason"], status["driven"]) == ("paused", "killed", False)
    slow.set_faults(())
    assert headgate("resume", "one", "--json", "-q", code=0).json()["valid"] == 6
    assert headgate("verify", "one", code=0).out.endswith("integrity OK\n")


def test_a_run_whose_process_is_gone_is_marked(headgate: Command, headgate_environment: Path, slow: Simulator, start: Start) -> None:
    process = under_way(start)
    process.kill()
    process.wait(PATIENCE)
    assert headgate("status", "one", "--json").json()["state"] == "running"
    nobody = headgate("pause", "one", code=1)
    assert "running; no process drives it" in nobody.out and "hint: headgate kill runs/one" in nobody.err
    assert headgate("watch", "one", code=1).out.startswith("running: ")
    told = headgate("kill", "one", code=0)
    assert "paused (its process ended without a word); finished work is kept" in told.out
    assert "go on with: headgate resume runs/one" in told.err
    again = headgate("kill", "one", "--json", code=0).json()
    assert (again["pid"], again["marked"], again["state"]) == (None, False, "paused")


def test_restarting_keeps_what_is_finished(headgate: Command, headgate_environment: Path, slow: Simulator, start: Start) -> None:
    process = under_way(start)
    slow.set_faults(())
    done = headgate("restart", "one", "--json", code=0)
    assert process.wait(PATIENCE) in (130, -signal.SIGTERM)
    assert f"process {process.pid} has ended; finished work is kept" in done.err
    assert done.json()["valid"] == 6
    assert len(slow.bill.lines) in (6, 7), "two answers are kept; the one that was under way may be paid for"


def test_a_run_that_was_never_begun_is_begun(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment)
    asked = resume_request_of(headgate_environment)
    assert (asked.max_units, asked.seed, asked.mode) == (3, "s", "batch")
    done = headgate("resume", "one", "--json", code=0).json()
    assert (done["valid"], done["state"]) == (3, "complete")
    assert headgate("status", "one", "--json").json()["mode"] == "batch"


def resume_request_of(folder: Path) -> Json:
    """Plan a run and end before its first row; what it is gone on with."""
    opened = open_run(load_parts(), RunRequest(pipeline="Quiz", run="one", max_units=3, seed="s", mode="batch"))
    opened.home.release()
    return resume_request(folder / "runs" / "one")


def test_only_the_proven_driver_is_signalled(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """The number in the lock file may belong to somebody else by now."""
    write_quiz(headgate_environment)
    headgate("run", "Quiz", "-r", "one", "-q", code=0)
    home = Home(headgate_environment / "runs" / "one")
    assert driver_of(home) is None
    with home:
        with pytest.raises(RunError, match="is driven by this process"):
            driver_of(Home(home.folder))
        for owner in ("1", "999999999", "nobody", ""):
            (home.folder / "home.lock").write_text(owner)
            with pytest.raises(RunError, match="cannot be proven to be number"):
                driver_of(Home(home.folder))
            assert headgate("kill", "one", code=1).out == ""


def test_watching_a_run_to_its_end(headgate: Command, headgate_environment: Path, slow: Simulator, start: Start) -> None:
    process = under_way(start)
    watching = start("watch", "one", "--json", "--interval", "0.05")
    assert watching.stdout is not None
    first = json.loads(watching.stdout.readline())
    assert (first["event"], first["driven"], first["state"], first["units"]) == ("progress", True, "running", 6)
    process.send_signal(signal.SIGINT)
    lines = [json.loads(line) for line in watching.stdout]
    assert watching.wait(PATIENCE) == 130
    assert (lines[-1]["event"], lines[-1]["state"], lines[-1]["exit_code"]) == ("end", "paused", 130)
    nobody = headgate("watch", "one", code=1)
    assert "no process drives one" in nobody.err and "go on with: headgate resume runs/one" in nobody.err
    slow.set_faults(())
    assert headgate("watch", "one", "--resume", "--json", code=0).json()["valid"] == 6
    assert headgate("watch", "one", code=0).out.startswith("complete: 6 valid, 0 failed, $")


def test_the_end_of_a_watched_run_is_told_by_its_code(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment, template="{{ 1 // (text | length - text | length) }}\n")
    headgate("run", "Quiz", "-r", "one", "-q", "--no-preflight", code=1)
    assert "complete (no unit came through" in headgate("watch", "one", code=1).out


def test_a_look_inside_and_a_lost_terminal(headgate: Command, headgate_environment: Path, slow: Simulator, start: Start) -> None:
    """SIGUSR1 tells what every task does; SIGHUP does not end the run."""
    process = under_way(start)
    process.send_signal(signal.SIGUSR1)
    debug = headgate_environment / "runs" / "one" / "debug.log"
    wait_for(lambda: debug.exists() and "most recent call first" in debug.read_text())
    assert re.search(r"DEBUG \d+ tasks", debug.read_text())
    assert "steps/realtime.py" in debug.read_text()
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGUSR1)
    wait_for(lambda: len(re.findall(r"DEBUG \d+ tasks", debug.read_text())) == 2)
    assert process.poll() is None
    assert headgate("pause", "one", code=0).out.startswith("one: paused (interrupted)")


IN_A_TERMINAL = """
import os, pty, sys
process, terminal = pty.fork()
if process == 0:
    os.execv(sys.executable, [sys.executable, "-c", "from headgate.cli import main; main()", *sys.argv[1:]])
sys.stdin.read()
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""


def test_a_run_outlives_its_terminal(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment)
    headgate_sim.set_faults((Rule(Delay(1.5), Match(operation="chat", nth=3)),))
    command = [sys.executable, "-c", IN_A_TERMINAL, "run", "Quiz", "-r", "one", "--concurrency", "1", "-q"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        wait_for(lambda: claims(Path("runs/one/run.sqlite")) >= 3)
        out, _ = holder.communicate("", PATIENCE)
    assert out == "0\n"
    assert headgate("status", "one", "--json").json()["state"] == "complete"
    assert log(headgate_environment)[-1] == ("INFO", "exit code 0: 6 valid, 0 failed")


def test_a_log_is_put_aside_when_it_is_long(tmp_path: Path) -> None:
    lines = RunLog(tmp_path / "run.log", lambda: START, limit=100)
    for text in ("first " * 5, "second " * 5, "third\x1b[2J"):
        lines.write("INFO", text)
    assert (tmp_path / "run.log.1").read_text().count("second") == 5
    assert (tmp_path / "run.log").read_text().endswith("INFO       third\ufffd[2J\n")


def test_polls_that_say_the_same_are_told_once(tmp_path: Path) -> None:
    lines = RunLog(tmp_path / "run.log", lambda: START)
    for tag, text in (("POLL", "a"), ("INFO", "b"), ("POLL", "a"), ("INFO", "b"), ("POLL", "c")):
        lines.write(tag, text)
    assert [line.split()[1:] for line in (tmp_path / "run.log").read_text().splitlines()] == [
        ["POLL", "a"],
        ["INFO", "b"],
        ["INFO", "b"],
        ["POLL", "c"],
    ]


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    lines = RunLog(tmp_path / "nowhere" / "run.log", lambda: START)
    lines.write("INFO", "a")
    assert isinstance(lines.failure, FileNotFoundError)


def test_the_log_of_a_batch(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment)
    headgate("run", "Quiz", "-r", "one", "--mode", "batch", "-q", code=0)
    told = log(headgate_environment)
    tags = [tag for tag, _ in told]
    assert {"INIT", "STEP", "SUBMIT", "POLL", "BATCH", "COLLECT", "STATE", "INFO"} <= set(tags)
    assert ("COLLECT", "step 0: 6 results, 6 valid, 0 failed") in told
    polls = [text for tag, text in told if tag == "POLL"]
    assert len(polls) == len(set(polls))
