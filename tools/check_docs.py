#!/usr/bin/env python3
"""Check the documentation: links lead somewhere, pages can be reached, code blocks say their language.

    tools/check_docs.py            # every Markdown file of the repository's root and of docs/

The exit status is 1 when something is wrong; each problem is a line ``file:line: what``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
INDEX = ROOT / "docs" / "index.md"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
CODE_SPAN = re.compile(r"`[^`]*`")
HEADING = re.compile(r"#{1,6} +(.+?) *#*$")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,}) *(\S*)")


class Line(NamedTuple):
    """A line of prose (outside code blocks), numbered from 1."""

    number: int
    text: str


class Block(NamedTuple):
    """A fenced code block: its language, the number of its first line, its text."""

    language: str
    number: int
    text: str


def pages() -> list[Path]:
    """Every documentation file."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def split(text: str) -> tuple[list[Line], list[Block]]:
    """Prose lines and code blocks of a Markdown text."""
    prose: list[Line] = []
    blocks: list[Block] = []
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        match = FENCE.match(line)
        if fence:
            if match and match[1].startswith(fence) and not match[2]:
                fence = ""
            else:
                blocks[-1] = blocks[-1]._replace(text=f"{blocks[-1].text}{line}\n")
        elif match:
            fence = match[1]
            blocks.append(Block(match[2], number + 1, ""))
        else:
            prose.append(Line(number, line))
    return prose, blocks


def slug(heading: str) -> str:
    """The anchor of a heading: lower case, punctuation dropped, spaces as hyphens."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    """Every anchor of a page."""
    prose, _ = split(path.read_text(encoding="utf-8"))
    return {slug(match[1]) for line in prose if (match := HEADING.match(line.text))}


def links(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and target of each link of a page."""
    prose, _ = split(path.read_text(encoding="utf-8"))
    for line in prose:
        for match in LINK.finditer(CODE_SPAN.sub("", line.text)):
            yield line.number, match[1]


def resolve(page: Path, target: str) -> tuple[Path, str]:
    """File and anchor that a relative link of `page` means."""
    name, _, anchor = target.partition("#")
    return (page.parent / name).resolve() if name else page, anchor


def link_problems(page: Path) -> Iterator[str]:
    """Links of a page that lead nowhere."""
    where = page.relative_to(ROOT)
    for number, target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, anchor = resolve(page, target)
        if not path.exists():
            yield f"{where}:{number}: there is no {target}"
        elif anchor and anchor not in anchors(path):
            yield f"{where}:{number}: {path.relative_to(ROOT)} has no heading #{anchor}"


def block_problems(page: Path) -> Iterator[str]:
    """Code blocks without a language."""
    _, blocks = split(page.read_text(encoding="utf-8"))
    for block in blocks:
        if not block.language:
            yield f"{page.relative_to(ROOT)}:{block.number - 1}: a code block says no language (use text for output)"


def unreachable() -> Iterator[str]:
    """Pages under docs/ to which no chain of links leads from the index."""
    seen: set[Path] = set()
    todo = [INDEX]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        todo += [resolve(page, target)[0] for _, target in links(page) if ":" not in target]
    for page in (ROOT / "docs").rglob("*.md"):
        if page not in seen:
            yield f"{page.relative_to(ROOT)}:1: no link leads here from {INDEX.relative_to(ROOT)}"


def problems() -> list[str]:
    """Everything that is wrong."""
    found = [problem for page in pages() for check in (link_problems, block_problems) for problem in check(page)]
    return [*found, *unreachable()]


def main() -> int:
    """Run the command."""
    found = problems()
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(pages())} pages, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
