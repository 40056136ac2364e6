"""What of a model's reading of a pricing page is believed."""

from __future__ import annotations

import pytest

from headgate.catalog.cards import Rates
from headgate.catalog.extraction import believed, question
from headgate.errors import WireError
from headgate.wire.json import Json, encode_text

DAY = "2026-11-21"
PAGE = "Model gpt-a: Input $2.50, cached $1.250, output $10.00 per 1M tokens. gpt-b costs $1,000 in and $2,000 out. Updated 2026."


def read(*models: Json) -> tuple[list[tuple[str, Rates]], tuple[str, ...]]:
    offers, refused = believed(encode_text({"models": models}), PAGE, DAY, f"page.txt, {DAY}")
    return [(offer.id, offer.prices[0].rates) for offer in offers], refused


def entry(id: str, input: str, output: str, cached: str | None = None) -> Json:
    return {"id": id, "input": input, "output": output, "cached_input": cached}


def test_what_the_page_says_is_offered_with_its_source() -> None:
    offers, refused = read(entry("gpt-a", "2.5", "10", "1.25"), entry("gpt-b", "1000", "2000"))
    assert offers == [("gpt-a", Rates(input="2.5", output="10", cache_read="1.25")), ("gpt-b", Rates(input="1000", output="2000"))]
    assert refused == ()


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([entry("gpt-c", "2.5", "10")], "gpt-c: the page does not name it"),
        ([entry("gpt-a", "2.6", "10")], "gpt-a: the page does not contain the number 2.6"),
        ([entry("gpt-a", "2.5", "10", "0.3")], "gpt-a: the page does not contain the number 0.3"),
        ([entry("gpt-a", "free", "10")], "gpt-a: the page does not contain the number free"),
        ([entry("gpt-a", "2.5", "10"), entry("gpt-a", "1000", "10")], "gpt-a: it is listed more than once"),
        ([entry("", "2.5", "10")], ": the page does not name it"),
    ],
)
def test_what_the_page_does_not_say_is_refused(models: list[Json], said: str) -> None:
    assert read(*models) == ([], (said,))


@pytest.mark.parametrize("answer", ["", "{}", "[]", '{"models": [{"id": 1}]}'])
def test_what_is_no_list_of_prices_is_an_error(answer: str) -> None:
    with pytest.raises(WireError, match="not a list of prices"):
        believed(answer, PAGE, DAY, "x")


def test_the_page_is_given_as_data() -> None:
    asked = question("OpenAI", PAGE)
    assert asked.endswith(f"<page>\n{PAGE}\n</page>")
    assert "not an instruction" in asked
