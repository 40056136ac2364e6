#!/usr/bin/env python3
"""Write the parts of the documentation that the code already says: commands and options, errors, providers, wires.

    tools/generate_reference.py            # write
    tools/generate_reference.py --check    # exit 1 when something would change

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; the rest of a page is written by hand.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import provider_report
import settings_table
import wire_table

from headgate import errors
from headgate.batch.pipeline_schema import pipeline_schema_text
from headgate.catalog.fidelity import load_matrix
from headgate.cli import cli
from headgate.gateway.surfaces import ANTHROPIC, OPENAI
from headgate.providers import PROVIDERS, Provider
from headgate.serving.envelopes import Surface, error_response
from headgate.wire.json import decode

DOCS = Path(__file__).resolve().parent.parent / "docs"
WIDTH = 100


def commands() -> Iterator[str]:
    """One section for each command: its help, as it is printed."""
    yield from help_block(cli, "headgate", None)
    context = context_of(cli, "headgate", None)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is not None:
            yield from ("", f"## headgate {name}", "")
            yield from help_block(command, name, context)
            yield from subcommands(command, name, context)


def subcommands(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    """The commands of a group."""
    if not isinstance(command, click.Group):
        return
    context = context_of(command, name, parent)
    for child_name in command.list_commands(context):
        child = command.get_command(context, child_name)
        if child is not None:
            yield from ("", f"### headgate {name} {child_name}", "")
            yield from help_block(child, child_name, context)


def help_block(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    """The help text of a command as a code block."""
    yield "```text"
    yield from (line.rstrip() for line in command.get_help(context_of(command, name, parent)).splitlines())
    yield "```"


def context_of(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    """The context a command is run in, but of a fixed width."""
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    return click.Context(command, info_name=name, parent=parent, **settings)


def error_tree() -> Iterator[str]:
    """The tree drawn in the docstring of the module."""
    drawn = (errors.__doc__ or "").partition("::\n\n")[2].partition("\n\n")[0]
    yield "```text"
    yield from (line.removeprefix("    ") for line in drawn.splitlines())
    yield "```"


def error_kinds() -> Iterator[str]:
    """A row for each kind of provider error."""
    yield "| Kind | Worth another try | Stops a run |"
    yield "|---|---|---|"
    for kind in errors.ErrorKind:
        yield f"| `{kind.value}` | {yes(kind in errors.TRANSIENT_KINDS)} | {yes(kind in errors.RUN_FATAL_KINDS)} |"


def upstream_errors() -> Iterator[str]:
    """What a client of the gateway is told for each kind of provider error."""
    yield "| Kind | OpenAI's endpoint | Anthropic's endpoint |"
    yield "|---|---|---|"
    for kind in errors.ErrorKind:
        error = errors.ProviderError(kind, "")
        yield f"| `{kind.value}` | {answer(error, OPENAI)} | {answer(error, ANTHROPIC)} |"


OURS: tuple[tuple[str, errors.HeadgateError], ...] = (
    ("no key for the provider is set", errors.MissingKey("")),
    ("unknown, ambiguous or retired model", errors.ConfigError("")),
    ("a field the wire cannot carry, or any loss with `strict`", errors.Unsupported("")),
    ("another request that cannot be carried out", errors.UsageError("")),
    ("the answer stopped before its end", errors.Truncated("")),
    ("what came is no answer", errors.WireError("")),
    ("receipts cannot be written", errors.StoreError("")),
)
"""Failures that are not a provider's refusal, each with an error that stands for it."""


def own_errors() -> Iterator[str]:
    """What a client of the gateway is told for errors of ours."""
    yield "| What | Class | OpenAI's endpoint | Anthropic's endpoint |"
    yield "|---|---|---|---|"
    for what, error in OURS:
        yield f"| {what} | `{type(error).__name__}` | {answer(error, OPENAI)} | {answer(error, ANTHROPIC)} |"


def answer(error: errors.HeadgateError, surface: Surface) -> str:
    """Status, type and, where it says more, code of an error on a surface."""
    response = error_response(error, surface)
    body = decode(response.body)["error"]
    code = body.get("code") or body.get("details", {}).get("error_code")
    more = f" / `{code}`" if code and code != body["type"] else ""
    return f"{response.status} `{body['type']}`{more}"


def providers() -> Iterator[str]:
    """A row for each provider."""
    yield "| Provider | Chat wires | Embeddings | Batch wire | Key from | Default model |"
    yield "|---|---|---|---|---|---|"
    for provider in PROVIDERS.values():
        wires = ", ".join(code(dialect.name) for dialect in provider.dialects)
        embed = code(provider.embed.name if provider.embed else None)
        batch = code(provider.batch.name if provider.batch else None)
        yield f"| `{provider.name}` | {wires} | {embed} | {batch} | {key_from(provider)} | {code(provider.default_model)} |"


def code(text: str | None) -> str:
    """A name for a cell; a dash for none."""
    return f"`{text}`" if text else "–"


def key_from(provider: Provider) -> str:
    """The variables of a provider's key: each of `env` alone, those of `parts` together."""
    together = " + ".join(f"`{name.removesuffix('?')}`" for name in provider.auth.parts if not name.endswith("?"))
    found = ", ".join((*(f"`{name}`" for name in provider.auth.env), *([together] if together else [])))
    return f"{found}; none needed" if provider.auth.optional and not provider.simulated else found


def capabilities() -> Iterator[str]:
    """A table for each surface: what becomes of each feature at each real provider."""
    matrix = load_matrix()
    yield f"Found by the conformance suite on {matrix.generated}."
    for surface in dict.fromkeys(fate.surface for fate in matrix.fates):
        fates = matrix.of(surface=surface)
        columns = list(dict.fromkeys(fate.provider for fate in fates))
        found = {(fate.feature, fate.provider): FATES[fate.fate] for fate in fates}
        yield from ("", f"## From `{surface}`", "")
        yield f"| | {' | '.join(f'`{name}`' for name in columns)} |"
        yield "|---" * (len(columns) + 1) + "|"
        for feature in dict.fromkeys(fate.feature for fate in fates):
            yield f"| {feature} | {' | '.join(found[feature, name] for name in columns)} |"


FATES = {"sent": "yes", "same wire": "bytes", "approximated": "approx", "dropped": "dropped", "refused": "refused", "—": "–"}
"""Fates as the command `headgate capabilities` calls them."""


def yes(flag: bool) -> str:
    """A word for a table."""
    return "yes" if flag else "no"


PARTS: dict[str, dict[str, Callable[[], Iterator[str]]]] = {
    "reference/cli.md": {"commands": commands},
    "reference/configuration.md": {name: settings_table.table(name) for name in settings_table.VALUES},
    "reference/errors.md": {"tree": error_tree, "kinds": error_kinds, "upstream": upstream_errors, "ours": own_errors},
    "reference/wire-support.md": {"providers": providers, "chat": wire_table.rows},
    "reference/capabilities.md": {"matrix": capabilities},
    "reference/provider-report.md": {
        "date": provider_report.date,
        "states": provider_report.states,
        "realtime": provider_report.realtime_cases,
        "batch": provider_report.batch_cases,
        "exceptions": provider_report.exceptions,
    },
}
"""Page → name of a generated part → what writes it."""
WHOLE: dict[str, Callable[[], str]] = {"reference/pipeline.schema.json": pipeline_schema_text}
"""File → what writes all of it."""


def rendered(page: str) -> tuple[str, str]:
    """A page as it is, and as it should be. Raises `SystemExit` when a part's marks are missing."""
    if page in WHOLE:
        return (DOCS / page).read_text(encoding="utf-8") if (DOCS / page).exists() else "", WHOLE[page]()
    text = (DOCS / page).read_text(encoding="utf-8")
    wanted = text
    for name, write in PARTS[page].items():
        opening, closing = f"<!-- generated: {name} -->\n", "<!-- end -->"
        before, found, rest = wanted.partition(opening)
        _, ended, after = rest.partition(closing)
        if not found or not ended:
            raise SystemExit(f"docs/{page} has no part '{opening.strip()}' … '{closing}'")
        wanted = "".join((before, opening, "\n", "\n".join(write()), "\n\n", closing, after))
    return text, wanted


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when something would change")
    options = parser.parse_args(argv)
    stale = 0
    for page in (*PARTS, *WHOLE):
        text, wanted = rendered(page)
        if text == wanted:
            continue
        stale += 1
        if options.check:
            name = f"docs/{page}"
            print(*difflib.unified_diff(text.splitlines(), wanted.splitlines(), name, f"{name} (generated)", lineterm=""), sep="\n")
            print(f"{name} is not up to date; run: make reference")
        else:
            (DOCS / page).write_text(wanted, encoding="utf-8")
            print(f"wrote docs/{page}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
