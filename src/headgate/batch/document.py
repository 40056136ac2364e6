"""A page of facts and tables, written as plain text, Markdown or HTML. Pure; whatever it is given may be hostile."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape

import msgspec

from headgate.batch.statistics import Interval
from headgate.domain.printable import sanitize

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&])")
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}"
    "table{border-collapse:collapse;margin:.5rem 0 1rem;font-variant-numeric:tabular-nums}"
    "th,td{padding:.2rem .7rem;border-bottom:1px solid #d8dee4;text-align:left;vertical-align:top;overflow-wrap:anywhere}"
    "td.n,th.n{text-align:right}dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem}dd{margin:0}dt{color:#59636e}"
    "@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}dt{color:#9198a1}}"
)

_POLICY = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"


class Table(msgspec.Struct, frozen=True):
    """Rows of text under a header; columns numbered in `right` are aligned to the right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()


class Section(msgspec.Struct, frozen=True):
    """A part with a title (empty: none is shown), a table perhaps, and sentences below it."""

    title: str
    table: Table | None = None
    notes: tuple[str, ...] = ()


class Document(msgspec.Struct, frozen=True):
    """A title, facts by name, and sections."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    sections: tuple[Section, ...] = ()


def percent(share: float, digits: int = 1) -> str:
    """A share as percent."""
    return f"{100 * share:.{digits}f}%"


def share_text(interval: Interval | None) -> str:
    """A share with its interval: ``46.0% (36.6–55.7)``; a dash for none."""
    return "—" if interval is None else f"{percent(interval.value)} ({100 * interval.low:.1f}–{100 * interval.high:.1f})"


def flat(text: str) -> str:
    """`text` on one line, without what could drive a terminal or a reader: control characters and direction overrides."""
    return sanitize(" ".join(text.split()))


def clip(text: str, most: int) -> str:
    """At most `most` characters of `text`, on one line."""
    line = flat(text[: 4 * most])
    return line if len(line) <= most else line[: most - 1] + "…"


def text_table(rows: Sequence[tuple[str, ...]], header: tuple[str, ...], right: frozenset[int] = frozenset()) -> str:
    """Columns of text; those numbered in `right` are aligned to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(row: tuple[str, ...]) -> str:
        cells = (cell.rjust(widths[i]) if i in right else cell.ljust(widths[i]) for i, cell in enumerate(row))
        return "  ".join(cells).rstrip()

    return "\n".join((line(header), line(tuple("-" * width for width in widths)), *(line(row) for row in rows)))


def as_text(document: Document) -> str:
    """Plain text for a terminal."""
    parts = [flat(document.title)]
    facts = [(flat(name), flat(value)) for name, value in document.facts]
    width = max((len(name) for name, _ in facts), default=0)
    parts += [f"  {name.ljust(width)}  {value}" for name, value in facts]
    for section in document.sections:
        parts += ["", *([flat(section.title)] if section.title else ())]
        if section.table is not None:
            rows = [tuple(map(flat, row)) for row in section.table.rows]
            parts.append(text_table(rows, tuple(map(flat, section.table.header)), section.table.right))
        parts += [flat(note) for note in section.notes]
    return "\n".join(parts) + "\n"


def as_markdown(document: Document) -> str:
    """Markdown; nothing in the values is taken for markup."""
    parts = [f"# {_marked(document.title)}", ""]
    parts += [f"- **{_marked(name)}**: {_marked(value)}" for name, value in document.facts]
    for section in document.sections:
        blocks = [f"## {_marked(section.title)}"] if section.title else []
        blocks += ["\n".join(_markdown_table(section.table))] if section.table is not None else []
        parts += [line for block in (*blocks, *map(_marked, section.notes)) for line in ("", block)]
    return "\n".join(parts).rstrip("\n") + "\n"


def _markdown_table(table: Table) -> Iterator[str]:
    for row in (table.header, tuple("--:" if i in table.right else "---" for i in range(len(table.header))), *table.rows):
        yield "| " + " | ".join(cell if cell in ("---", "--:") else _marked(cell) for cell in row) + " |"


def _marked(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", flat(text))


def as_html(document: Document) -> str:
    """A page that needs nothing else: no scripts, no addresses."""
    return "".join(html_parts(document))


def html_parts(document: Document, after: Iterable[str] = ()) -> Iterator[str]:
    """The page piece by piece; `after` are further pieces of markup that stand at the end of its body."""
    title = _shown(document.title)
    yield f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{_POLICY}<title>{title}</title><style>{STYLE}</style></head>\n'
    facts = "".join(f"<dt>{_shown(name)}</dt><dd>{_shown(value)}</dd>" for name, value in document.facts)
    yield f"<body><h1>{title}</h1>\n<dl>{facts}</dl>\n"
    for section in document.sections:
        if section.title:
            yield f"<h2>{_shown(section.title)}</h2>\n"
        if section.table is not None:
            yield from html_table(section.table.header, section.table.rows, section.table.right)
        yield from (f"<p>{_shown(note)}</p>\n" for note in section.notes)
    yield from after
    yield "</body></html>\n"


def html_table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]], right: frozenset[int] = frozenset()) -> Iterator[str]:
    """A table piece by piece."""
    yield f"<table><thead>{_html_row(header, 'th', right)}</thead><tbody>\n"
    for row in rows:
        yield _html_row(row, "td", right) + "\n"
    yield "</tbody></table>\n"


def _html_row(row: tuple[str, ...], tag: str, right: frozenset[int]) -> str:
    cells = (f"<{tag}{' class=n' if i in right else ''}>{_shown(cell)}</{tag}>" for i, cell in enumerate(row))
    return "<tr>" + "".join(cells) + "</tr>"


def _shown(text: str) -> str:
    return escape(flat(text))
