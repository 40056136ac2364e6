"""How text and counts are shown."""

from __future__ import annotations

import pytest

from headgate.domain.printable import counted

COUNTS = [
    (0, "unit", "0 units"),
    (1, "unit", "1 unit"),
    (1000, "unit", "1,000 units"),
    (2, "batch", "2 batches"),
    (2, "retry", "2 retries"),
]


@pytest.mark.parametrize(("number", "noun", "text"), [*COUNTS, (1, "retry", "1 retry"), (1, "new chunk", "1 new chunk")])
def test_nouns_agree_with_their_number(number: int, noun: str, text: str) -> None:
    assert counted(number, noun) == text
