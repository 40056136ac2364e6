"""Signals of a process that drives a run: a look inside, and going on without the terminal (OCT-160)."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import click

from headgate.cli.actions.output import ProgressPrinter

DEBUG_LOG = "debug.log"


def listen(loop: asyncio.AbstractEventLoop, folder: Path, printer: ProgressPrinter) -> None:
    """SIGUSR1 writes what every task and thread is doing into the run's ``debug.log``; SIGHUP lets the run go on without its terminal."""
    terminals = [descriptor for descriptor in (0, 1, 2) if os.isatty(descriptor)]
    loop.add_signal_handler(signal.SIGUSR1, dump, folder)
    loop.add_signal_handler(signal.SIGHUP, detach, printer, terminals)


def detach(printer: ProgressPrinter, terminals: list[int]) -> None:
    """Print nothing any more where the terminal was: writing there would fail."""
    printer.silence()
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in terminals:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def dump(folder: Path) -> None:
    """Append what every task and thread is doing now. To be called in the loop."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    lines = [f"{moment} DEBUG {len(tasks)} tasks", *(line for task in tasks for line in stack_of(task)), f"{moment} DEBUG threads", ""]
    try:
        with (folder / DEBUG_LOG).open("a", encoding="utf-8") as handle:
            handle.write("\n".join(lines))
            handle.flush()
            faulthandler.dump_traceback(handle, all_threads=True)
            handle.write("\n")
    except OSError as error:
        click.echo(f"cannot write {folder / DEBUG_LOG}: {error.strerror}", err=True)


def stack_of(task: asyncio.Task[object]) -> Iterator[str]:
    """Where a task waits, from the outermost coroutine to the innermost."""
    yield f"  task {task.get_name()}"
    waiting: object = task.get_coro()
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None)
        if frame is None:
            yield f"    {type(waiting).__name__}"
            return
        yield f"    {frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}"
        waiting = getattr(waiting, "cr_await", None)
