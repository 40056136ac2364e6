"""``headgate pause``, ``resume``, ``kill``, ``restart`` and ``watch``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

import click
import msgspec

from headgate.assembly.parts import Parts, load_parts
from headgate.assembly.resuming import find_begun, resume_request
from headgate.assembly.runs import open_run
from headgate.assembly.steering import UNDER_WAY, Steered, kill_run, pause_run
from headgate.assembly.watching import Glance, Watcher, progress_json
from headgate.batch.states import RunState
from headgate.cli import flush, sanitize
from headgate.cli.actions.output import ProgressPrinter
from headgate.cli.actions.plan import Look, announce, look_ahead
from headgate.cli.actions.runs import conclude, drive, ended, short
from headgate.wire.json import Json, encode_text

HEARTBEAT = 30.0
"""Seconds after which `watch` prints a line though nothing changed."""
OVER = frozenset({RunState.COMPLETE, RunState.FAILED})


class Resuming(msgspec.Struct, frozen=True, kw_only=True):
    """How to go on with a run; `max_cost` in nano-dollars, `timeout` in seconds."""

    max_cost: int | None = None
    concurrency: int | None = None
    timeout: float | None = None
    yes: bool = False
    quiet: bool = False
    as_json: bool = False


def resume(run: str, api_key: str | None, **given: Json) -> int:
    """See `headgate resume --help`."""
    parts = load_parts(key=api_key)
    return go_on(parts, find_begun(parts, run), msgspec.convert(given, Resuming))


def go_on(parts: Parts, folder: Path, how: Resuming) -> int:
    """Drive the run in `folder` on; the exit code."""
    request = resume_request(folder)
    changes = {"max_cost_nanos": how.max_cost or request.max_cost_nanos, "concurrency": how.concurrency or request.concurrency}
    look = Look(yes=how.yes)
    opened = open_run(parts, msgspec.structs.replace(request, **changes), lambda drafted: look_ahead(parts, drafted, look))
    if opened.resumed:
        announce(opened)
    result = drive(parts, opened, how.quiet, how.timeout)
    conclude(opened, result, how.as_json)
    return result.exit_code


def pause(run: str, as_json: bool) -> int:
    """See `headgate pause --help`."""
    folder = find_begun(load_parts(), run)
    done = pause_run(folder)
    if as_json:
        click.echo(encode_text(_json(done, folder)))
    elif not done.ended:
        click.echo(f"{done.run}: process {done.pid} has not paused yet", err=True)
        click.echo(f"hint: headgate kill {short(folder)} ends it; finished work is kept", err=True)
    elif done.pid is None:
        click.echo(f"{done.run}: {_word(done)}; no process drives it")
    else:
        click.echo(f"{done.run}: {_word(done)}; process {done.pid} has ended")
    rests = done.ended and done.state not in UNDER_WAY
    if not as_json and done.ended and not rests:
        click.echo(f"hint: headgate kill {short(folder)} marks it paused", err=True)
    if not as_json and rests and done.state not in OVER:
        click.echo(f"go on with: headgate resume {short(folder)}", err=True)
    return 0 if rests else 1


def kill(run: str, as_json: bool) -> int:
    """See `headgate kill --help`."""
    folder = find_begun(load_parts(), run)
    done = kill_run(folder)
    if as_json:
        click.echo(encode_text(_json(done, folder)))
        return 0 if done.ended else 1
    _tell_killed(done, folder)
    if done.ended and done.state not in OVER:
        click.echo(f"go on with: headgate resume {short(folder)}", err=True)
    return 0 if done.ended else 1


def _tell_killed(done: Steered, folder: Path) -> None:
    if not done.ended:
        click.echo(f"{done.run}: process {done.pid} is still there", err=True)
        click.echo(f"hint: headgate status {short(folder)}", err=True)
    elif done.pid is not None:
        click.echo(f"{done.run}: {_word(done)}; process {done.pid} has ended, finished work is kept")
    elif done.marked:
        click.echo(f"{done.run}: {_word(done)}; finished work is kept")
    else:
        click.echo(f"{done.run}: {_word(done)}; no process drives it")


def _word(done: Steered) -> str:
    state = "not begun" if done.state is None else done.state.value
    return state + (f" ({sanitize(done.reason)})" if done.reason else "")


def _json(done: Steered, folder: Path) -> Json:
    return {**msgspec.structs.asdict(done), "folder": str(folder)}


def restart(run: str, api_key: str | None, **given: Json) -> int:
    """See `headgate restart --help`."""
    parts = load_parts(key=api_key)
    folder = find_begun(parts, run)
    done = kill_run(folder)
    if not done.ended:
        _tell_killed(done, folder)
        return 1
    met = "no process drove it" if done.pid is None else f"process {done.pid} has ended"
    click.echo(f"{met}; finished work is kept, the run goes on where it stood", err=True)
    return go_on(parts, folder, msgspec.convert(given, Resuming))


def watch(run: str, interval: float, go: bool, as_json: bool) -> int:
    """See `headgate watch --help`."""
    parts = load_parts()
    folder = find_begun(parts, run)
    shown: _Shown = _JsonLines() if as_json else _Lines()
    with Watcher(folder, time.time) as watcher:
        first = last = watcher.glance()
        while last.driven:
            shown.show(last)
            time.sleep(interval)
            last = watcher.glance()
    if go and not first.driven and first.run.state is not RunState.COMPLETE:
        return go_on(parts, folder, Resuming(as_json=as_json))
    code = last.exit_code if first.driven or last.run.state in OVER else 1
    shown.end(last, code)
    if last.run.state is not RunState.COMPLETE:
        if last.run.state in UNDER_WAY or not first.driven:
            click.echo(f"no process drives {sanitize(last.run.id)}", err=True)
        click.echo(f"go on with: headgate resume {short(folder)}", err=True)
    return code


class _Shown(Protocol):
    """How a watched run is shown."""

    def show(self, glance: Glance) -> None: ...

    def end(self, glance: Glance, code: int) -> None: ...


class _Lines:
    """The lines that ``headgate run`` prints."""

    def __init__(self) -> None:
        self._printer = ProgressPrinter(heartbeat=HEARTBEAT)

    def show(self, glance: Glance) -> None:
        """A line, if something changed."""
        self._printer(glance.progress)

    def end(self, glance: Glance, code: int) -> None:
        """The end in a line."""
        self._printer.finish()
        click.echo(ended(glance.run.state, glance.progress, glance.run.reason))


class _JsonLines:
    """A line of JSON for each change, one at least every half minute."""

    def __init__(self) -> None:
        self._last: tuple[float, Json] = (0.0, None)

    def show(self, glance: Glance) -> None:
        """A line, if something changed or none came for long."""
        now, document = time.monotonic(), progress_json(glance)
        what = {**document, "eta": None, "waiting": glance.progress.waiting.partition(",")[0]}
        if what != self._last[1] or now - self._last[0] >= HEARTBEAT:
            event = "progress" if what != self._last[1] else "heartbeat"
            click.echo(encode_text({"event": event, **document}))
            flush()
            self._last = (now, what)

    def end(self, glance: Glance, code: int) -> None:
        """The last line."""
        click.echo(encode_text({"event": "end", **progress_json(glance), "reason": glance.run.reason, "exit_code": code}))
