"""Starts commands for the crash tests: imports the product once, then forks a process for each line on standard input.

A forked process runs ``headgate ARGS`` as the console script would, in a session of its own; a small process beside it writes how it
ended to a FIFO. Nothing here reaches into the product.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from signal import SIG_DFL, SIG_IGN, SIGCHLD, SIGINT, default_int_handler, signal
from traceback import print_exc

import headgate.cli.actions.runs
from headgate.cli import main


def run(order: dict[str, object]) -> None:
    """Become the command."""
    os.setsid()
    signal(SIGCHLD, SIG_DFL)
    environment, args, cwd = order["environment"], order["args"], order["cwd"]
    assert isinstance(environment, dict) and isinstance(args, list) and isinstance(cwd, str)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    output = os.open(str(order["output"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if order.get("file_size") is not None:
        size = order["file_size"]
        assert isinstance(size, int)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    code = 70
    try:
        code = main(list(args))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def watch(order: dict[str, object], report: int) -> None:
    """Fork the command, tell its process id, and how it ended."""
    signal(SIGCHLD, SIG_DFL)
    signal(SIGINT, SIG_IGN)
    child = os.fork()
    if child == 0:
        signal(SIGINT, default_int_handler)
        os.close(report)
        run(order)
    os.write(report, f"{child}\n".encode())
    fifo = os.open(str(order["status"]), os.O_WRONLY)
    status = os.waitpid(child, 0)[1]
    os.write(fifo, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


LOADED = (headgate.assembly.runs,)
"""Most of what ``headgate run`` loads, so that no run has to load it again."""

if __name__ == "__main__":
    signal(SIGCHLD, SIG_IGN)
    for line in sys.stdin:
        if os.fork() == 0:
            watch(json.loads(line), 1)
