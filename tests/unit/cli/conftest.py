"""Commands run in this process, as a user without keys or settings in an empty folder, with simulated providers at hand."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from headgate.cli import main
from headgate.wire.json import Json, decode


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Json:
        return decode(self.out)


Command = Callable[..., Done]


@pytest.fixture
def headgate(headgate_environment: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run ``headgate`` with some arguments; standard input is empty and no terminal.

    The run engine's log handler keeps the standard error of the first run, which is closed after each test: it is taken away.
    """
    nothing = headgate_environment / "stdin"
    nothing.touch()

    def run(*arguments: str, code: int | None = None) -> Done:
        capsys.readouterr()
        with nothing.open(encoding="utf-8") as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            found = main(list(arguments))
        done = Done(found, *capsys.readouterr())
        logging.getLogger("dbos").handlers.clear()
        assert code is None or done.code == code, f"exit code {done.code}\n{done.out}\n{done.err}"
        return done

    return run


@pytest.fixture
def pipe(headgate_environment: Path) -> Callable[[bytes], None]:
    """Put some bytes on standard input."""

    def put(data: bytes) -> None:
        (headgate_environment / "stdin").write_bytes(data)

    return put
