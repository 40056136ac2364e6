"""What users are told of a run's warnings."""

from __future__ import annotations

from headgate.batch.notices import notices
from headgate.batch.steps.collect import all_there
from headgate.dialects.batch import BatchState, BatchStatus


def test_the_same_warning_is_told_once_with_its_sum() -> None:
    warnings = [
        ("too_few_for_batch", {"chunk": 1, "units": 20, "least": 100}),
        ("poll_failed", {"error": "a passing fault"}),
        ("too_few_for_batch", {"chunk": 4, "units": 3, "least": 100}),
        ("queue_full", {"submission": "a-1-2-1", "error": "too many tokens"}),
    ]
    assert notices(warnings) == (
        "units asked one by one, at realtime prices: 23; a batch of the provider has at least 100 rows",
        "batches the provider had no room for, and that were submitted again: 1",
    )


def test_a_lost_parameter_and_a_lost_cache_are_told() -> None:
    lost = {"step": "ask", "field": "seed", "action": "dropped", "why": "the model takes none"}
    other = {**lost, "field": "top_k"}
    warnings = [("lost_parameter", lost), ("cache_failed", {"error": "a full disk"}), ("lost_parameter", other), ("lost_parameter", lost)]
    assert notices(warnings) == (
        "the run went on without answers of earlier runs: a full disk",
        "not everything reaches the model as it was asked for: seed of step 'ask' was dropped (the model takes none); "
        "top_k of step 'ask' was dropped (the model takes none)",
    )


def test_what_concerns_nobody_is_not_told() -> None:
    assert notices([]) == notices([("poll_failed", {"error": "a passing fault"})]) == ()


def ended(status: BatchStatus, succeeded: int | None, failed: int | None) -> BatchState:
    return BatchState(status=status, raw_status=status.value, total=10, succeeded=succeeded, failed=failed)


def test_rows_beside_those_a_partial_job_counts_were_never_worked_on() -> None:
    assert all_there(ended(BatchStatus.PARTIAL, 5, 1), received=6)
    assert not all_there(ended(BatchStatus.PARTIAL, 5, 1), received=5), "a counted row did not come: it may have been paid for"
    assert not all_there(ended(BatchStatus.PARTIAL, None, None), received=0)
    assert not all_there(ended(BatchStatus.COMPLETED, 5, 1), received=6)
