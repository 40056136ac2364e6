"""Pages and data on their way to standard output or a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from headgate.batch.document import Document, as_text
from headgate.batch.drafts import write_text
from headgate.cli import sanitize
from headgate.wire.json import Json, encode_text


def moment(at: float) -> str:
    """A time for reading, in this machine's zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


PAGES = frozenset({"text", "table", "md"})
"""Forms for people; the others are data, which is printed as it is, so that it can be read again."""


def deliver(text: str, kind: str, output: Path | None = None) -> None:
    """Print a page or data, or write it to a file and say so."""
    if output is None:
        echo_pieces((text,), sanitize if kind in PAGES or sys.stdout.isatty() else str)
    else:
        write_text(output, (text,))
        click.echo(f"written to {sanitize(str(output))}", err=True)


def echo_pieces(pieces: Iterable[str], shown: Callable[[str], str]) -> None:
    """Print text piece by piece, each as `shown` makes it."""
    for piece in pieces:
        click.echo(shown(piece), nl=False)


def show(as_json: bool, value: Callable[[], Json], page: Callable[[], Document]) -> None:
    """Print what was read, as JSON or as a page."""
    deliver(*((json_line(value()), "json") if as_json else (as_text(page()), "text")))


def json_line(value: Json) -> str:
    """A value as a line of JSON."""
    return encode_text(value) + "\n"
