"""The files an import writes, and its three tables."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from headgate.compat.litellm.convert import Imported
from headgate.compat.litellm.fates import Fate, Outcome
from headgate.wire.json import JsonObject

_TITLES: tuple[tuple[Outcome, str], ...] = (
    ("mapped", "Mapped: as it was"),
    ("approximated", "Approximated: nearly as it was"),
    ("dropped", "Dropped: without a counterpart"),
)


def settings_text(imported: Imported, source: str) -> str:
    """The settings file."""
    head = f"# yaml-language-server: $schema=headgate.schema.json\n# Taken over from {source}; check with: headgate config check\n"
    return head + _yaml(imported.settings)


def prices_text(imported: Imported, source: str) -> str:
    """The price file: a document for each provider."""
    return f"# Prices and sizes taken over from {source}\n" + "---\n".join(map(_yaml, imported.prices))


def _yaml(value: JsonObject) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120) if value else ""


def report_text(imported: Imported) -> str:
    """What became of each key, as Markdown."""
    return "\n".join(_report(imported)) + "\n"


def _report(imported: Imported) -> Iterator[str]:
    counts = ", ".join(f"{sum(fate.outcome == outcome for fate in imported.fates)} {outcome}" for outcome, _ in _TITLES)
    yield f"{len(imported.fates)} keys: {counts}"
    for outcome, title in _TITLES:
        found = [fate for fate in imported.fates if fate.outcome == outcome]
        if found:
            yield from ("", f"## {title}", "", *_head(outcome))
            yield from (_row(fate) for fate in found)


def _head(outcome: Outcome) -> tuple[str, ...]:
    columns = {"mapped": ("key", "now"), "approximated": ("key", "now", "difference"), "dropped": ("key", "reason")}[outcome]
    return f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"


def _row(fate: Fate) -> str:
    cells = {"mapped": (fate.to,), "approximated": (fate.to, fate.reason), "dropped": (fate.reason,)}[fate.outcome]
    return f"| `{_cell(fate.key)}` | {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
