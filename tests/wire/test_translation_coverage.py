"""Every numbered translation case is shown by a test, or listed with the reason why there is none.

Shown between pairs of wires (`test_translation_pairs`, `test_translation_pairs_answers`), by one dialect (`test_translation_<dialect>`,
each with its `CASES`), or by a test elsewhere that is named here.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent
DIALECT_FILES = tuple(
    sorted(
        path
        for path in HERE.glob("test_translation_*.py")
        if "CASES" in path.read_text(encoding="utf-8") and path.name != Path(__file__).name
    )
)
PAIR_FILES = ("test_translation_pairs", "test_translation_pairs_answers")
ALL_CASES = frozenset(range(1, 118))
_PAIRED = ((1, 56), (61, 65), (69, 82), (84, 89), (92, 93), (107, 108), (112, 112), (114, 117))
PAIRED = frozenset(case for first, last in _PAIRED for case in range(first, last + 1))
"""Cases that are about what one wire says and another hears: each is shown between pairs."""

ELSEWHERE: dict[int, tuple[str, ...]] = {
    57: ("tests/unit/catalog/test_prices.py::test_tiers_batches_and_fees",),
    60: ("tests/unit/client/test_chat.py::test_case_60_what_a_failure_costs",),
    66: (
        "tests/unit/client/test_chat.py::test_case_66_a_client_that_leaves_cancels_upstream",
        "tests/unit/gateway/test_disconnect.py::test_mid_stream",
    ),
    67: (
        "tests/unit/serving/test_server.py::test_slow_reader",
        "tests/unit/transport/test_stream.py::test_a_slow_reader_slows_the_server",
        "tests/unit/transport/test_stream.py::test_every_silence_has_its_deadline",
    ),
    68: (
        "tests/unit/gateway/test_requests.py::test_headers_that_come_back",
        "tests/gateway_sdk/test_openai.py::test_stamps",
    ),
    83: (
        "tests/crash/test_faults.py::test_7_to_13_only_the_spoilt_rows_are_sent_again",
        "tests/unit/batch/test_pipeline.py::test_a_rejected_answer_is_explained_to_the_model",
    ),
    90: ("tests/unit/gateway/test_requests.py::test_headers_that_come_back",),
    95: (
        "tests/unit/batch/test_decide.py::test_every_state_has_a_row_and_final_ones_lead_nowhere",
        "tests/unit/dialects/test_batch_words.py::test_every_word_of_every_table_is_read_in_any_case",
    ),
    96: (
        "tests/crash/test_faults.py::test_1_every_row_in_the_error_file",
        "tests/crash/test_faults.py::test_3_an_empty_error_file_id_is_no_file",
        "tests/crash/test_faults.py::test_4_what_an_ended_batch_has_done_is_kept_and_only_the_rest_is_sent_again",
        "tests/unit/batch/test_matching.py::test_every_row_is_counted_as_one_thing",
    ),
    97: ("tests/unit/dialects/test_batch_ids.py::test_an_id_comes_back_as_it_was_and_only_allowed_characters_are_sent",),
    98: (
        "tests/crash/test_faults.py::test_24_chunks_are_split_to_the_limits_of_the_provider",
        "tests/unit/dialects/test_batch_check.py::test_too_few_rows_say_what_to_do_instead",
    ),
    100: (
        "tests/crash/test_faults.py::test_18_a_job_whose_confirmation_was_lost_is_found_and_adopted",
        "tests/crash/test_faults.py::test_18_two_jobs_that_could_be_ours_mean_waiting_until_one_proves_itself",
        "tests/unit/batch/test_decide.py::test_one_intent_is_submitted_once_and_one_job_exists_whatever_crashes",
    ),
    101: ("tests/crash/test_faults.py::test_20_exactly_the_failed_units_are_sent_again",),
    102: (
        "tests/unit/serving/test_job_receipts.py::test_each_row_has_one_receipt_and_a_row_without_id_or_come_twice_none",
        "tests/unit/serving/test_job_receipts.py::test_the_tier_of_batches_has_the_batch_price_and_others_none",
    ),
    103: (
        "tests/unit/batch/test_decide.py::test_polling_slows_down_to_its_longest",
        "tests/crash/test_faults.py::test_16_a_job_that_vanished_is_booked_at_its_bound_and_sent_again",
    ),
    105: ("tests/unit/client/test_jobs.py::test_a_chat_answer_is_read",),
    109: ("tests/gateway_sdk/test_openai_embeddings.py::test_case_109_a_failure_is_told_and_no_other_model_asked",),
    110: ("tests/unit/gateway/test_models.py::test_openai_shape", "tests/unit/gateway/test_models.py::test_one"),
    113: ("tests/unit/gateway/test_requests.py::test_headers_that_cross",),
}
"""Cases of the layers above, with the tests that show them."""

NOT_HERE: dict[int, str] = {
    58: "the gateway keeps no answers, so none comes from a cache",
    91: "no Idempotency-Key is honoured yet; calls that cost money are never repeated by the transport (`Send.once`)",
    94: "the gateway takes no batches (501): there is no validation to time",
    99: "a chunk belongs to one step of a run and a step to one model, so no file mixes any",
    104: "a provider has one key at a time; there is no rotation",
    106: "the gateway keeps no files (501)",
    111: "there is no realtime surface",
}
"""Cases nothing can show, with the reason."""


@cache
def loaded(name: str) -> ModuleType:
    """A test file as a module."""
    spec = importlib.util.spec_from_file_location(f"covered_{name}", HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown_by(path: Path) -> frozenset[int]:
    """The numbers a file says it covers, from its own `CASES`."""
    found = loaded(path.stem).CASES
    assert isinstance(found, frozenset)
    return found


def ids(function: Any) -> list[str]:
    """The ids of a test's parameters that name a case and two wires, as often as further parameters repeat them."""
    marks = [mark.args[1] for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
    named = [param.id for values in marks for param in values if getattr(param, "id", None) and "-to-" in param.id]
    others = [len(list(values)) for values in marks if not any(getattr(param, "id", None) for param in values)]
    times = 1
    for count in others:
        times *= count
    return named * times


@cache
def pairs() -> Counter[str]:
    """How many tests between two wires each case has; "4" stands for the table of section 4."""
    functions = [value for name in PAIR_FILES for key, value in vars(loaded(name)).items() if key.startswith("test_")]
    found = [re.match(r"(?:case|section)-(\d+)", identifier) for function in functions for identifier in ids(function)]
    sections = [identifier for function in functions for identifier in ids(function) if identifier.startswith("section-4")]
    counted = Counter(match[1] for match in found if match is not None)
    counted["4"] -= len(sections)
    counted["section 4"] = len(sections)
    return counted


@pytest.mark.parametrize("path", DIALECT_FILES, ids=lambda path: path.stem.removeprefix("test_translation_"))
def test_a_dialect_covers_only_cases_that_exist(path: Path) -> None:
    assert shown_by(path)
    assert shown_by(path) <= ALL_CASES


def test_every_case_of_translation_is_shown_between_pairs() -> None:
    missing = sorted(case for case in PAIRED if not pairs()[str(case)])
    assert not missing, f"cases without a test between two wires: {missing}"
    assert pairs()["section 4"] > 200


def test_every_case_is_accounted_for() -> None:
    """Each number is shown between pairs, by a dialect or elsewhere, or listed with a reason; never shown and excused at once."""
    shown = PAIRED.union(ELSEWHERE, *(shown_by(path) for path in DIALECT_FILES))
    assert not ALL_CASES - shown - NOT_HERE.keys(), "neither shown nor excused"
    assert not shown & NOT_HERE.keys(), "shown after all: take it off the list"
    assert all(NOT_HERE.values())


@pytest.mark.parametrize("place", sorted({place for places in ELSEWHERE.values() for place in places}))
def test_a_test_that_is_named_exists(place: str) -> None:
    path, _, name = place.partition("::")
    assert re.search(rf"^(async )?def {name}\(", (HERE.parents[1] / path).read_text(encoding="utf-8"), re.MULTILINE)


def how(case: int) -> str:
    """Where a case is shown, in a few words."""
    count, files = pairs()[str(case)], sum(case in shown_by(path) for path in DIALECT_FILES)
    parts = [f"{count} pairs"] if count else []
    parts += [f"{files} dialects"] if files else []
    parts += [f"{len(ELSEWHERE[case])} elsewhere"] if case in ELSEWHERE else []
    return " + ".join(parts) or f"none: {NOT_HERE[case]}"


def test_the_table_of_cases(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"case {case}: {how(case)}" for case in sorted(ALL_CASES)]
    total = sum(pairs().values())
    with capsys.disabled():
        print(f"\ntranslation: {total} tests between two wires, {pairs()['section 4']} of them of section 4")
        print("; ".join(lines))
    assert total > 4000
