"""Pages hold whatever they are given: nothing in it becomes markup, a line, or a command to the terminal."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.document import Document, Section, Table, as_html, as_markdown, as_text, clip, flat, share_text
from headgate.batch.statistics import Interval

HOSTILE = "<script>alert(1)</script>|`*_x\n\n# heading\x1b[2J\u202e[a](http://b) &amp;"


class Tags(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name in ("src", "href") or name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(text: str) -> Document:
    table = Table((text, "n"), ((text, "1"), ("plain", "22")), frozenset({1}))
    return Document(text, ((text, text),), (Section(text, table, (text,)), Section("", None, ("last",))))


@given(st.text(max_size=40))
def test_no_text_becomes_markup(text: str) -> None:
    parser = Tags()
    parser.feed(as_html(page(text)))
    expected = Tags()
    expected.feed(as_html(page("x")))
    assert parser.tags == (expected.tags if text else [tag for i, tag in enumerate(expected.tags) if tag != "h2"])
    assert as_html(page(text)).count("<script") == 0
    for made in (as_text(page(text)), as_markdown(page(text)), as_html(page(text))):
        assert all(character == "\n" or character.isprintable() for character in made)


def test_hostile_text_in_every_form() -> None:
    assert "<script>" not in as_html(page(HOSTILE))
    markdown = as_markdown(page(HOSTILE))
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}, "a bar in a cell makes no column"
    assert not re.search(r"(?m)^# heading", markdown)
    assert "\x1b" not in as_text(page(HOSTILE)) + markdown


def test_a_page_as_text_and_markdown() -> None:
    document = Document(
        "Runs", (("run", "one"), ("cost", "$1")), (Section("Steps", Table(("a", "n"), (("x", "5"),), frozenset({1})), ("Done.",)),)
    )
    assert as_text(document) == "Runs\n  run   one\n  cost  $1\n\nSteps\na  n\n-  -\nx  5\nDone.\n"
    assert as_markdown(document) == "# Runs\n\n- **run**: one\n- **cost**: $1\n\n## Steps\n\n| a | n |\n| --- | --: |\n| x | 5 |\n\nDone.\n"


@pytest.mark.parametrize(("text", "clipped"), [("a\n b", "a b"), ("12345", "12345"), ("123456", "1234…"), ("\x07", "\ufffd")])
def test_clipping(text: str, clipped: str) -> None:
    assert clip(text, 5) == clipped
    assert flat(clipped) == clipped


def test_shares() -> None:
    assert share_text(Interval(0.46, 0.366, 0.557)) == "46.0% (36.6–55.7)"
    assert share_text(None) == "—"
