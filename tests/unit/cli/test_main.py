"""The command itself: help, exit codes, errors as what, why and what to do, nothing hostile on the terminal."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from headgate import cli
from headgate.cli import COMMANDS, SUMMARIES, closest, exit_code, report, sanitize
from headgate.errors import (
    ConfigError,
    ErrorKind,
    HeadgateError,
    MissingKey,
    ProviderError,
    RunError,
    StoreError,
    Truncated,
    Unsupported,
    UsageError,
    WireError,
)

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., tuple[int, str, str]]


def test_every_command_has_a_summary_and_can_be_imported() -> None:
    assert set(COMMANDS) == set(SUMMARIES)
    context = click.Context(cli.cli)
    for name in COMMANDS:
        command = cli.cli.get_command(context, name)
        assert command is not None
        assert command.help


def test_help_lists_every_command(headgate: Command) -> None:
    code, out, _ = headgate("--help")
    assert code == 0
    assert re.findall(r"^  (\w+)  ", out, re.MULTILINE) == sorted(COMMANDS)
    assert all(summary in out for summary in SUMMARIES.values())


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(headgate: Command, name: str) -> None:
    code, out, _ = headgate(name, "--help")
    assert code == 0
    assert out.startswith("Usage: headgate " + name)


@pytest.mark.parametrize(
    ("typed", "meant"), [("rnu", "run"), ("staus", "status"), ("modles", "models"), ("docter", "doctor"), ("servr", "serve")]
)
def test_a_mistyped_command_is_answered_with_the_nearest(headgate: Command, typed: str, meant: str) -> None:
    code, _, err = headgate(typed)
    assert code == 2
    assert f"No such command {typed!r}. Did you mean {meant!r}?" in err


def test_a_command_like_no_other_is_simply_unknown(headgate: Command) -> None:
    code, _, err = headgate("xyzzy")
    assert code == 2
    assert "No such command 'xyzzy'" in err
    assert "Did you mean" not in err
    assert closest("xyzzy", list(COMMANDS)) is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HeadgateError("x"), 1),
        (StoreError("x"), 1),
        (WireError("x"), 5),
        (Truncated("x"), 5),
        (RunError("x"), 1),
        (RunError("x", exit_code=2), 2),
        (RunError("x", exit_code=3), 3),
        (RunError("x", exit_code=130), 130),
        (UsageError("x"), 2),
        (Unsupported("x", param="n"), 2),
        (ConfigError("x"), 3),
        (MissingKey("x"), 3),
        (ProviderError(ErrorKind.AUTH, "x"), 4),
        (ProviderError(ErrorKind.PERMISSION, "x"), 4),
        *((ProviderError(kind, "x"), 5) for kind in ErrorKind if kind not in (ErrorKind.AUTH, ErrorKind.PERMISSION)),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'kind', '')}" if isinstance(value, Exception) else str(value),
)
def test_exit_codes(error: HeadgateError, code: int, headgate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert exit_code(error) == code

    @click.command()
    def broken() -> None:
        raise error

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: broken)
    assert headgate("models")[0] == code


@pytest.mark.parametrize("error", [KeyboardInterrupt, click.Abort])
def test_an_interrupt_is_130(error: type[BaseException], headgate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def broken() -> None:
        raise error

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: broken)
    code, _, err = headgate("models")
    assert code == 130
    assert err.strip().splitlines()[-1] == "interrupted"


def test_a_bug_is_no_error_of_ours(headgate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: broken)
    with pytest.raises(ZeroDivisionError):
        headgate("models")


def test_an_error_says_what_why_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    error = ConfigError("the key is missing", where="a.yaml:3:5", hint="export KEY=…")
    error.__cause__ = OSError("no such file")
    report(error)
    assert capsys.readouterr().err == "error: a.yaml:3:5: the key is missing\n  because: no such file\nhint: export KEY=…\n"


def test_a_cause_that_is_told_already_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    error = WireError("the body ends early: at byte 3")
    error.__cause__ = ValueError("at byte 3")
    report(error)
    assert capsys.readouterr().err == "error: the body ends early: at byte 3\n"


HOSTILE = "a\x1b[2Jb\x1b]0;title\x07c\x00d\re\x9bf\u202eg\u2066h\u200fi\x7fj\x85k"


@pytest.mark.parametrize("text", [HOSTILE, "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "\ud800", "\ufeff\u2028\u2029"])
def test_nothing_that_drives_a_terminal_gets_through(text: str) -> None:
    clean = sanitize(text)
    assert all(char.isprintable() for char in clean)
    assert not set(clean) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\x1b")
    assert len(clean) == len(text)


@pytest.mark.parametrize("text", ["plain", "ünïcödé 日本語 🙂", "two\nlines\tand a tab", ""])
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert sanitize(text) == text


def test_a_hostile_error_is_made_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    report(HeadgateError(HOSTILE, hint=HOSTILE))
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\r" not in err


def test_a_reader_that_leaves_is_no_error(headgate_environment: Path) -> None:
    """``headgate models --json | head -c 1``: no traceback, no message."""
    command = [sys.executable, "-c", "from headgate.cli import main; main()", "models", "--json", "--all"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() >= 0, "the process was killed by a signal"


def test_sigpipe_does_not_end_the_process() -> None:
    """A connection that the other side closed is written to all the time: that is an exception, not a signal."""
    code = (
        "import contextlib, socket, sys\n"
        "from headgate.cli import main\n"
        "with contextlib.redirect_stdout(open('/dev/null', 'w')): main(['--version'])\n"
        "ours, theirs = socket.socketpair(); theirs.close()\n"
        "try: ours.send(b'x')\n"
        "except BrokenPipeError: print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
