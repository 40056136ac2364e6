"""``headgate capabilities``: prints the shipped matrix."""

from __future__ import annotations

import click

from headgate.catalog.fidelity import Matrix, load_matrix
from headgate.cli.actions.output import table
from headgate.errors import UsageError
from headgate.wire.json import encode_text

MARKS = {"sent": "yes", "same wire": "bytes", "approximated": "approx", "dropped": "dropped", "refused": "refused", "—": "—"}


def capabilities(provider: str | None, surface: str, as_json: bool) -> int:
    """See `headgate capabilities --help`."""
    matrix = load_matrix()
    _check("surface", surface, {fate.surface for fate in matrix.fates})
    if provider is not None:
        _check("provider", provider, {fate.provider for fate in matrix.fates})
    if as_json:
        click.echo(encode_text({"generated": matrix.generated, "fates": matrix.of(provider=provider)}))
        return 0
    click.echo(_one(matrix, surface, provider) if provider is not None else _all(matrix, surface))
    click.echo(
        f"\nFrom {surface}, found by the conformance suite on {matrix.generated}. yes: as asked; bytes: passed through unread;\n"
        "approx, dropped: reported in x-headgate-fidelity, and refused in strict requests; —: the surface has no words for it."
    )
    return 0


def _check(what: str, name: str, known: set[str]) -> None:
    if name not in known:
        raise UsageError(f"unknown {what} {name!r}; known are {', '.join(sorted(known))}", hint="headgate capabilities --help")


def _all(matrix: Matrix, surface: str) -> str:
    fates = matrix.of(surface=surface)
    providers = list(dict.fromkeys(fate.provider for fate in fates))
    marks = {(fate.feature, fate.provider): MARKS[fate.fate] for fate in fates}
    features = dict.fromkeys(fate.feature for fate in fates)
    return table([(name, *(marks[name, provider] for provider in providers)) for name in features], ("feature", *providers))


def _one(matrix: Matrix, surface: str, provider: str) -> str:
    return table(
        [(fate.feature, MARKS[fate.fate], fate.why) for fate in matrix.of(surface=surface, provider=provider)], ("feature", provider, "why")
    )
