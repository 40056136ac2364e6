"""The three chat dialects together show every translation case that concerns chat: 1 to 77."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = tuple(HERE / f"test_translation_{name}.py" for name in ("openai_chat", "anthropic_messages", "gemini_generate"))
WANTED = frozenset(range(1, 78))


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


def test_every_case_is_shown_by_one_dialect_at_least() -> None:
    missing = sorted(WANTED - frozenset().union(*(cases(path) for path in FILES)))
    assert not missing, f"translation cases without a test: {', '.join(map(str, missing))}"
