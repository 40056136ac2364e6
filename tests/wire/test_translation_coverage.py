"""The chat dialects together show every translation case that concerns chat: 1 to 77."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = tuple(
    HERE / f"test_translation_{name}.py"
    for name in (
        "openai_chat",
        "anthropic_messages",
        "gemini_generate",
        "ollama_chat",
        "openai_responses",
        "bedrock_converse",
        "openai_completions",
        "embeddings",
    )
)
WANTED = frozenset(range(1, 78))

ELSEWHERE = {
    58: "answers from a cache, which is not there",
    60: "tests/unit/client/test_chat.py::test_case_60_what_a_failure_costs",
    66: "tests/unit/client/test_chat.py::test_case_66_a_client_that_leaves_cancels_upstream",
    68: "tests/gateway_sdk/test_openai.py::test_stamps",
}
"""Cases no chat dialect can show: of another wire, or of the layers above, with the test that shows them."""


def cases(path: Path) -> frozenset[int]:
    """The numbers a file says it covers, from its own `CASES`."""
    spec = importlib.util.spec_from_file_location(f"cases_of_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.CASES
    assert isinstance(found, frozenset)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem.removeprefix("test_translation_"))
def test_a_dialect_covers_only_cases_that_exist(path: Path) -> None:
    assert cases(path)
    assert cases(path) <= frozenset(range(1, 118))


def test_every_case_is_shown_by_one_dialect_or_named_elsewhere() -> None:
    shown = frozenset().union(*(cases(path) for path in FILES))
    missing = sorted(WANTED - shown - set(ELSEWHERE))
    assert not missing, f"translation cases without a test: {', '.join(map(str, missing))}"
    assert not shown & set(ELSEWHERE), "shown by a dialect after all: take it off the list"


@pytest.mark.parametrize("place", sorted(place for place in ELSEWHERE.values() if place.startswith("tests/")))
def test_a_test_that_is_named_exists(place: str) -> None:
    path, _, name = place.partition("::")
    assert f"\ndef {name}(" in (HERE.parents[1] / path).read_text(encoding="utf-8")
