"""``headgate import``: configurations of other gateways."""

from __future__ import annotations

from pathlib import Path

import click

from headgate.catalog.load import load_catalog
from headgate.cli import sanitize
from headgate.compat.litellm import read_litellm
from headgate.compat.litellm.report import prices_text, report_text, settings_text
from headgate.errors import ConfigError, StoreError

DROPPED = 7


def litellm(file: str, output: str | None, report: str | None, force: bool) -> int:
    """See `headgate import litellm --help`."""
    target = None if output is None else Path(output)
    prices = Path("headgate-prices.yaml") if target is None else target.with_name(f"{target.stem}-prices.yaml")
    imported = read_litellm(Path(file), load_catalog(), prices.name)
    source = Path(file).name
    texts = {}
    if target is None:
        click.echo(sanitize(settings_text(imported, source)))
        if imported.prices:
            click.echo(sanitize(f"# {prices.name}:\n{prices_text(imported, source)}"))
    else:
        texts[target] = settings_text(imported, source)
        if imported.prices:
            texts[prices] = prices_text(imported, source)
    if report is None:
        click.echo(sanitize(report_text(imported)), err=target is None)
    else:
        texts[Path(report)] = report_text(imported)
    write_all(texts, force)
    for path in texts:
        click.echo(f"wrote {path}", err=True)
    return DROPPED if imported.dropped else 0


def write_all(texts: dict[Path, str], force: bool) -> None:
    """Write files. Raises `ConfigError`, before writing any, when one is there and may not be overwritten."""
    there = [path for path in texts if path.exists()]
    if there and not force:
        raise ConfigError(f"{there[0]} is there already", hint="headgate import litellm --force …, or another name")
    for path, text in texts.items():
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror}") from error
